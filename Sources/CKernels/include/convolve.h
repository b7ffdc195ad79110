#ifndef ATTNLAB_CONVOLVE_H
#define ATTNLAB_CONVOLVE_H
#include <stddef.h>
#include <stdint.h>

#pragma clang assume_nonnull begin

/// y[t][c] = SiLU(z), z = bias[c] + Σ_u w[u][c]·x[t − taps + 1 + u][c], and SiLU′(z) to slope, which may be null, for `columns`
/// columns of rows that are `stride` apart, as w and the past are: a causal convolution with a filter a column of at most eight taps. Row
/// −taps + 1 + i is row i of `past`; null: zeros. bias may be null.
void attn_convolve(
    int32_t isa, const float *x, const float *_Nullable past, const float *w, const float *_Nullable bias, float *y,
    float *_Nullable slope, ptrdiff_t stride, ptrdiff_t rows, ptrdiff_t columns, ptrdiff_t taps);
/// dx, from dy and the slope; adds dw, and dbias, which may be null.
void attn_convolve_backward(
    int32_t isa, const float *dy, const float *slope, const float *x, const float *w, float *dx, float *dw,
    float *_Nullable dbias, ptrdiff_t stride, ptrdiff_t rows, ptrdiff_t columns, ptrdiff_t taps);

/// y = x∘f(z); kind: 0 SiLU, 1 the logistic function.
void attn_gate(int32_t isa, int32_t kind, const float *x, const float *z, float *y, ptrdiff_t n);
/// dx = dy∘f(z) and dz = dy∘x∘f'(z).
void attn_gate_backward(
    int32_t isa, int32_t kind, const float *dy, const float *x, const float *z, float *dx, float *dz, ptrdiff_t n);

#pragma clang assume_nonnull end
#endif
