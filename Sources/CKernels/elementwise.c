// The run-time choice of the row and element-wise kernels.
#include "common.h"

#define ROW_KERNELS(X) \
  X(row_activate, (const float *x, float *y, ptrdiff_t n, int kind)) \
  X(row_deactivate, (const float *x, const float *dy, float *dx, ptrdiff_t n, int kind)) \
  X(row_glu, (const float *x, float *y, ptrdiff_t rows, ptrdiff_t h, int kind, float alpha, float most)) \
  X(row_glu_back, (const float *x, const float *dy, float *dx, ptrdiff_t rows, ptrdiff_t h, int kind, float alpha, float most)) \
  X(row_gru, (const float *x, const float *h, const float *before, float *gates, float *after, ptrdiff_t rows, ptrdiff_t n)) \
  X(row_gru_back, (const float *h, const float *before, const float *gates, const float *dafter, float *dx, float *dh, float *dbefore, ptrdiff_t rows, ptrdiff_t n)) \
  X(row_norm, (const float *x, const float *gain, const float *shift, float *y, float *mean, float *rstd, ptrdiff_t rows, ptrdiff_t dim, float epsilon, int centred)) \
  X(row_norm_back, (const float *x, const float *gain, const float *mean, const float *rstd, const float *dy, const float *add, float *dx, float *dgain, float *dshift, ptrdiff_t rows, ptrdiff_t dim, int centred)) \
  X(row_colsum, (const float *x, float *out, ptrdiff_t rows, ptrdiff_t dim, ptrdiff_t ld)) \
  X(row_axpy, (float a, const float *x, float *y, ptrdiff_t n)) \
  X(row_blend, (float a, const float *x, float b, const float *z, float *y, ptrdiff_t n)) \
  X(row_sumsq, (const float *x, ptrdiff_t n, double *out)) \
  X(row_dropout, (const float *x, float *y, ptrdiff_t n, uint64_t position, uint64_t key, float p)) \
  X(row_xent, (float *z, const int32_t *targets, double *losses, int32_t *hits, ptrdiff_t rows, ptrdiff_t vocab, float epsilon, float scale)) \
  X(row_adamw, (float *w, const float *g, float *m, float *v, ptrdiff_t n, float lr, float beta1, float beta2, float epsilon, float decay, float c1, float c2, float clip)) \
  X(row_sgd, (float *w, const float *g, float *m, ptrdiff_t n, float lr, float momentum, float decay, float clip)) \
  X(row_head, (float *rows, ptrdiff_t ld, float *head, ptrdiff_t length, ptrdiff_t dim, ptrdiff_t turned, const float *cosine, const float *sine, float sign, int half, int gather))

#define DECLARE(name, parameters)  \
  void name##_portable parameters; \
  void name##_avx2 parameters;     \
  void name##_avx512 parameters;
ROW_KERNELS(DECLARE)

#if defined(__x86_64__)
#define CALL(isa, name, ...)                            \
  do {                                                  \
    if ((isa) == 2) row_##name##_avx512(__VA_ARGS__);    \
    else if ((isa) == 1) row_##name##_avx2(__VA_ARGS__); \
    else row_##name##_portable(__VA_ARGS__);             \
  } while (0)
#else
#define CALL(isa, name, ...) ((void)(isa), row_##name##_portable(__VA_ARGS__))
#endif

void attn_activate(int32_t isa, int32_t kind, const float *x, float *y, ptrdiff_t n) {
  CALL(isa, activate, x, y, n, kind);
}
void attn_activate_backward(int32_t isa, int32_t kind, const float *x, const float *dy, float *dx, ptrdiff_t n) {
  CALL(isa, deactivate, x, dy, dx, n, kind);
}
void attn_glu(
    int32_t isa, int32_t kind, float alpha, float most, const float *x, float *y, ptrdiff_t rows, ptrdiff_t hidden) {
  CALL(isa, glu, x, y, rows, hidden, kind, alpha, most);
}
void attn_glu_backward(
    int32_t isa, int32_t kind, float alpha, float most, const float *x, const float *dy, float *dx, ptrdiff_t rows,
    ptrdiff_t hidden) {
  CALL(isa, glu_back, x, dy, dx, rows, hidden, kind, alpha, most);
}
void attn_gru(
    int32_t isa, const float *x, const float *h, const float *before, float *gates, float *after, ptrdiff_t rows,
    ptrdiff_t n) {
  CALL(isa, gru, x, h, before, gates, after, rows, n);
}
void attn_gru_backward(
    int32_t isa, const float *h, const float *before, const float *gates, const float *dafter, float *dx, float *dh,
    float *dbefore, ptrdiff_t rows, ptrdiff_t n) {
  CALL(isa, gru_back, h, before, gates, dafter, dx, dh, dbefore, rows, n);
}
void attn_norm(
    int32_t isa, int32_t centred, const float *x, const float *gain, const float *shift, float *y, float *mean,
    float *rstd, ptrdiff_t rows, ptrdiff_t dim, float epsilon) {
  CALL(isa, norm, x, gain, shift, y, mean, rstd, rows, dim, epsilon, centred);
}
void attn_norm_backward(
    int32_t isa, int32_t centred, const float *x, const float *gain, const float *mean, const float *rstd,
    const float *dy, const float *add, float *dx, float *dgain, float *dshift, ptrdiff_t rows, ptrdiff_t dim) {
  CALL(isa, norm_back, x, gain, mean, rstd, dy, add, dx, dgain, dshift, rows, dim, centred);
}
void attn_column_sums(int32_t isa, const float *x, float *out, ptrdiff_t rows, ptrdiff_t dim, ptrdiff_t ld) {
  CALL(isa, colsum, x, out, rows, dim, ld);
}
void attn_axpy(int32_t isa, float a, const float *x, float *y, ptrdiff_t n) { CALL(isa, axpy, a, x, y, n); }
void attn_blend(int32_t isa, float a, const float *x, float b, const float *z, float *y, ptrdiff_t n) {
  CALL(isa, blend, a, x, b, z, y, n);
}
double attn_sum_of_squares(int32_t isa, const float *x, ptrdiff_t n) {
  double total = 0;
  CALL(isa, sumsq, x, n, &total);
  return total;
}
void attn_dropout(
    int32_t isa, const float *x, float *y, ptrdiff_t n, uint64_t position, uint64_t key, float probability) {
  CALL(isa, dropout, x, y, n, position, key, probability);
}
void attn_cross_entropy(
    int32_t isa, float *logits, const int32_t *targets, double *losses, int32_t *hits, ptrdiff_t rows, ptrdiff_t vocab,
    float smoothing, float gradient_scale) {
  CALL(isa, xent, logits, targets, losses, hits, rows, vocab, smoothing, gradient_scale);
}
void attn_adamw(
    int32_t isa, float *w, const float *g, float *m, float *v, ptrdiff_t n, float lr, float beta1, float beta2,
    float epsilon, float decay, float correction1, float correction2, float clip) {
  CALL(isa, adamw, w, g, m, v, n, lr, beta1, beta2, epsilon, decay, correction1, correction2, clip);
}
void attn_sgd(
    int32_t isa, float *w, const float *g, float *m, ptrdiff_t n, float lr, float momentum, float decay, float clip) {
  CALL(isa, sgd, w, g, m, n, lr, momentum, decay, clip);
}
void attn_head_rows(
    int32_t isa, float *rows, ptrdiff_t ld, float *head, ptrdiff_t length, ptrdiff_t dim, ptrdiff_t turned,
    const float *cosine, const float *sine, float sign, int32_t half, int32_t gather) {
  CALL(isa, head, rows, ld, head, length, dim, turned, cosine, sine, sign, half, gather);
}
