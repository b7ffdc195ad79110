// The run-time choice of the kernels of convolutions with a filter a channel.
#include "common.h"

#define DECLARE(name, ...)                                                                        \
  void name##_portable(__VA_ARGS__);                                                              \
  void name##_avx2(__VA_ARGS__);                                                                  \
  void name##_avx512(__VA_ARGS__);

DECLARE(depthwise, const attn_window *window, const float *x, const float *w, const float *bias, int32_t adds, float *y,
    ptrdiff_t first, ptrdiff_t last)
DECLARE(depthwise_scatter, const attn_window *window, const float *dy, const float *w, float *dx, ptrdiff_t first,
    ptrdiff_t last)
DECLARE(depthwise_gradient, const attn_window *window, const float *dy, const float *x, float *dw, float *dbias)

#if defined(__x86_64__)
#define CALL(isa, name, ...)                  \
  ((isa) == 2   ? name##_avx512(__VA_ARGS__)  \
   : (isa) == 1 ? name##_avx2(__VA_ARGS__)    \
                : name##_portable(__VA_ARGS__))
#else
#define CALL(isa, name, ...) ((void)(isa), name##_portable(__VA_ARGS__))
#endif

void attn_depthwise(int32_t isa, const attn_window *window, const float *x, const float *w, const float *bias, int32_t
    adds, float *y, ptrdiff_t first, ptrdiff_t last) {
  CALL(isa, depthwise, window, x, w, bias, adds, y, first, last);
}
void attn_depthwise_scatter(int32_t isa, const attn_window *window, const float *dy, const float *w, float *dx,
    ptrdiff_t first, ptrdiff_t last) {
  CALL(isa, depthwise_scatter, window, dy, w, dx, first, last);
}
void attn_depthwise_gradient(int32_t isa, const attn_window *window, const float *dy, const float *x, float *dw, float
    *dbias) {
  CALL(isa, depthwise_gradient, window, dy, x, dw, dbias);
}
