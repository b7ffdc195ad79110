// The run-time choice of the kernels that select.
#include "choose.h"

DECLARE(ptrdiff_t, select_largest,
    (const float *x, float sign, ptrdiff_t first, ptrdiff_t split, ptrdiff_t resume, ptrdiff_t end, ptrdiff_t k,
    ptrdiff_t always, ptrdiff_t kept, int32_t *out))
DECLARE(void, signed_halves, (const float *x, ptrdiff_t xs, float sign, float *y, ptrdiff_t rows, ptrdiff_t dim))

void attn_signed_halves(
    int32_t isa, const float *x, ptrdiff_t x_stride, float sign, float *y, ptrdiff_t rows, ptrdiff_t dim) {
  CHOOSE(isa, signed_halves, x, x_stride, sign, y, rows, dim);
}

ptrdiff_t attn_select_largest(
    int32_t isa, const float *x, float sign, ptrdiff_t first, ptrdiff_t split, ptrdiff_t resume, ptrdiff_t end,
    ptrdiff_t k, ptrdiff_t always, ptrdiff_t kept, int32_t *out) {
  return CHOOSE(isa, select_largest, x, sign, first, split, resume, end, k, always, kept, out);
}
