// The run-time choice of the kernels of convolutions with a filter a channel.
#include "choose.h"

DECLARE(void, depthwise, (const attn_window *window, const float *x, const float *w, const float *bias, int32_t adds, float *y,
    ptrdiff_t first, ptrdiff_t last))
DECLARE(void, depthwise_scatter, (const attn_window *window, const float *dy, const float *w, float *dx, ptrdiff_t first,
    ptrdiff_t last))
DECLARE(void, depthwise_gradient, (const attn_window *window, const float *dy, const float *x, float *dw, float *dbias))

void attn_depthwise(int32_t isa, const attn_window *window, const float *x, const float *w, const float *bias, int32_t
    adds, float *y, ptrdiff_t first, ptrdiff_t last) {
  CHOOSE(isa, depthwise, window, x, w, bias, adds, y, first, last);
}
void attn_depthwise_scatter(int32_t isa, const attn_window *window, const float *dy, const float *w, float *dx,
    ptrdiff_t first, ptrdiff_t last) {
  CHOOSE(isa, depthwise_scatter, window, dy, w, dx, first, last);
}
void attn_depthwise_gradient(int32_t isa, const attn_window *window, const float *dy, const float *x, float *dw, float
    *dbias) {
  CHOOSE(isa, depthwise_gradient, window, dy, x, dw, dbias);
}
