// The run-time choice of the kernel that selects.
#include "choose.h"

DECLARE(ptrdiff_t, select_largest,
    (const float *x, float sign, ptrdiff_t first, ptrdiff_t split, ptrdiff_t resume, ptrdiff_t end, ptrdiff_t k,
    ptrdiff_t always, ptrdiff_t kept, int32_t *out))

ptrdiff_t attn_select_largest(
    int32_t isa, const float *x, float sign, ptrdiff_t first, ptrdiff_t split, ptrdiff_t resume, ptrdiff_t end,
    ptrdiff_t k, ptrdiff_t always, ptrdiff_t kept, int32_t *out) {
  return CHOOSE(isa, select_largest, x, sign, first, split, resume, end, k, always, kept, out);
}
