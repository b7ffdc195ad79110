// The run-time choice of the kernels of short convolutions and gates.
#include "common.h"

#define DECLARE(name, ...)                                                                        \
  void name##_portable(__VA_ARGS__);                                                              \
  void name##_avx2(__VA_ARGS__);                                                                  \
  void name##_avx512(__VA_ARGS__);

DECLARE(convolve, const float *x, const float *past, const float *w, const float *bias, float *y, ptrdiff_t
    stride, ptrdiff_t rows, ptrdiff_t columns, ptrdiff_t taps)
DECLARE(convolve_back, const float *dy, const float *w, float *dx, ptrdiff_t stride, ptrdiff_t rows, ptrdiff_t
    columns, ptrdiff_t taps)
DECLARE(convolve_gradient, const float *dy, const float *x, float *dw, float *dbias, ptrdiff_t stride, ptrdiff_t
    rows, ptrdiff_t columns, ptrdiff_t taps)
DECLARE(gate, int kind, const float *x, const float *z, float *y, ptrdiff_t n)
DECLARE(gate_back, int kind, const float *dy, const float *x, const float *z, float *dx, float *dz, ptrdiff_t n)

#if defined(__x86_64__)
#define CALL(isa, name, ...)                  \
  ((isa) == 2   ? name##_avx512(__VA_ARGS__)  \
   : (isa) == 1 ? name##_avx2(__VA_ARGS__)    \
                : name##_portable(__VA_ARGS__))
#else
#define CALL(isa, name, ...) ((void)(isa), name##_portable(__VA_ARGS__))
#endif

void attn_convolve(int32_t isa, const float *x, const float *past, const float *w, const float *bias, float *y,
    ptrdiff_t stride, ptrdiff_t rows, ptrdiff_t columns, ptrdiff_t taps) {
  CALL(isa, convolve, x, past, w, bias, y, stride, rows, columns, taps);
}
void attn_convolve_backward(int32_t isa, const float *dy, const float *w, float *dx, ptrdiff_t stride, ptrdiff_t
    rows, ptrdiff_t columns, ptrdiff_t taps) {
  CALL(isa, convolve_back, dy, w, dx, stride, rows, columns, taps);
}
void attn_convolve_gradient(int32_t isa, const float *dy, const float *x, float *dw, float *dbias, ptrdiff_t
    stride, ptrdiff_t rows, ptrdiff_t columns, ptrdiff_t taps) {
  CALL(isa, convolve_gradient, dy, x, dw, dbias, stride, rows, columns, taps);
}
void attn_gate(int32_t isa, int32_t kind, const float *x, const float *z, float *y, ptrdiff_t n) {
  CALL(isa, gate, kind, x, z, y, n);
}
void attn_gate_backward(int32_t isa, int32_t kind, const float *dy, const float *x, const float *z, float *dx,
    float *dz, ptrdiff_t n) {
  CALL(isa, gate_back, kind, dy, x, z, dx, dz, n);
}
