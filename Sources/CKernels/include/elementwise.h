#ifndef ATTNLAB_ELEMENTWISE_H
#define ATTNLAB_ELEMENTWISE_H
#include <stddef.h>
#include <stdint.h>

/// y = f(x). kind: 0 ReLU, 1 GELU (erf), 2 GELU (tanh), 3 SiLU, 4 tanh, 5 sigmoid (of what is no number none).
void attn_activate(int32_t isa, int32_t kind, const float *x, float *y, ptrdiff_t n);
/// dx = dy·f′(x).
void attn_activate_backward(int32_t isa, int32_t kind, const float *x, const float *dy, float *dx, ptrdiff_t n);

/// x [rows][2·hidden] = gate | factor; y [rows][hidden] = f(gate)·factor, f of a kind above; kind 6: of the gate g = min(gate, most)
/// and the factor u within ±most (u + 1)·g·σ(alpha·g).
void attn_glu(
    int32_t isa, int32_t kind, float alpha, float most, const float *x, float *y, ptrdiff_t rows, ptrdiff_t hidden);
/// The gradient of gate | factor.
void attn_glu_backward(
    int32_t isa, int32_t kind, float alpha, float most, const float *x, const float *dy, float *dx, ptrdiff_t rows,
    ptrdiff_t hidden);

/// A step of a gated recurrent unit. x, h [rows][3·n]: what input and state give to r | z | n; gates [rows][3·n] = r | z | n;
/// after = (1 − z)·n + z·before [rows][n].
void attn_gru(
    int32_t isa, const float *x, const float *h, const float *before, float *gates, float *after, ptrdiff_t rows,
    ptrdiff_t n);
/// The gradients of x, h and before.
void attn_gru_backward(
    int32_t isa, const float *h, const float *before, const float *gates, const float *dafter, float *dx, float *dh,
    float *dbefore, ptrdiff_t rows, ptrdiff_t n);

/// y = (x − mean)·rstd·gain + shift a row; centred 0: mean is 0 (RMSNorm). shift may be null.
void attn_norm(
    int32_t isa, int32_t centred, const float *x, const float *gain, const float *shift, float *y, float *mean,
    float *rstd, ptrdiff_t rows, ptrdiff_t dim, float epsilon);
/// dx (+ add, unless null); adds to dgain and (unless null) dshift.
void attn_norm_backward(
    int32_t isa, int32_t centred, const float *x, const float *gain, const float *mean, const float *rstd,
    const float *dy, const float *add, float *dx, float *dgain, float *dshift, ptrdiff_t rows, ptrdiff_t dim);

/// out[dim] += sums over rows of x (row stride ld).
void attn_column_sums(int32_t isa, const float *x, float *out, ptrdiff_t rows, ptrdiff_t dim, ptrdiff_t ld);
/// y += a·x.
void attn_axpy(int32_t isa, float a, const float *x, float *y, ptrdiff_t n);
/// y = a·x + b·z.
void attn_blend(int32_t isa, float a, const float *x, float b, const float *z, float *y, ptrdiff_t n);
/// Σ x².
double attn_sum_of_squares(int32_t isa, const float *x, ptrdiff_t n);

/// y = x/(1−p) or 0; the choice for element i hashes (key, position + i).
void attn_dropout(
    int32_t isa, const float *x, float *y, ptrdiff_t n, uint64_t position, uint64_t key, float probability);

/// Softmax cross-entropy a row with label smoothing; target < 0: ignored (loss 0, gradient 0). hits: 1 when the target
/// has the largest logit. gradient_scale ≠ 0: logits become gradients times it.
void attn_cross_entropy(
    int32_t isa, float *logits, const int32_t *targets, double *losses, int32_t *hits, ptrdiff_t rows, ptrdiff_t vocab,
    float smoothing, float gradient_scale);

/// AdamW (Loshchilov and Hutter, 2019); correction = 1 − βᵗ; gradients are read times `clip`.
void attn_adamw(
    int32_t isa, float *w, const float *g, float *m, float *v, ptrdiff_t n, float lr, float beta1, float beta2,
    float epsilon, float decay, float correction1, float correction2, float clip);
/// SGD with momentum.
void attn_sgd(
    int32_t isa, float *w, const float *g, float *m, ptrdiff_t n, float lr, float momentum, float decay, float clip);

/// Copies one head between token rows (stride ld) and [length][dim], its first `turned` elements rotated by [length][turned/2]
/// tables unless null. sign −1 rotates back; half 1: pairs (i, i + turned/2), 0: (2i, 2i + 1); gather 1: rows → head, 0: back.
void attn_head_rows(
    int32_t isa, float *rows, ptrdiff_t ld, float *head, ptrdiff_t length, ptrdiff_t dim, ptrdiff_t turned,
    const float *cosine, const float *sine, float sign, int32_t half, int32_t gather);
#endif
