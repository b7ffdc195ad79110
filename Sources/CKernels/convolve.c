// The run-time choice of the kernels of short convolutions and gates.
#include "choose.h"

DECLARE(void, convolve, (const float *x, const float *past, const float *w, const float *bias, float *y, float *slope,
    ptrdiff_t stride, ptrdiff_t rows, ptrdiff_t columns, ptrdiff_t taps))
DECLARE(void, convolve_back, (const float *dy, const float *slope, const float *x, const float *w, float *dx, float *dw,
    float *dbias, ptrdiff_t stride, ptrdiff_t rows, ptrdiff_t columns, ptrdiff_t taps))
DECLARE(void, gate, (int kind, const float *x, const float *z, float *y, ptrdiff_t n))
DECLARE(void, gate_back, (int kind, const float *dy, const float *x, const float *z, float *dx, float *dz, ptrdiff_t n))

void attn_convolve(int32_t isa, const float *x, const float *past, const float *w, const float *bias, float *y,
    float *slope, ptrdiff_t stride, ptrdiff_t rows, ptrdiff_t columns, ptrdiff_t taps) {
  CHOOSE(isa, convolve, x, past, w, bias, y, slope, stride, rows, columns, taps);
}
void attn_convolve_backward(int32_t isa, const float *dy, const float *slope, const float *x, const float *w, float *dx,
    float *dw, float *dbias, ptrdiff_t stride, ptrdiff_t rows, ptrdiff_t columns, ptrdiff_t taps) {
  CHOOSE(isa, convolve_back, dy, slope, x, w, dx, dw, dbias, stride, rows, columns, taps);
}
void attn_gate(int32_t isa, int32_t kind, const float *x, const float *z, float *y, ptrdiff_t n) {
  CHOOSE(isa, gate, kind, x, z, y, n);
}
void attn_gate_backward(int32_t isa, int32_t kind, const float *dy, const float *x, const float *z, float *dx,
    float *dz, ptrdiff_t n) {
  CHOOSE(isa, gate_back, kind, dy, x, z, dx, dz, n);
}
