// The run-time choice of the kernel that selects.
#include "common.h"

#define DECLARE(name)                                                                                            \
  ptrdiff_t name(const float *x, float sign, ptrdiff_t first, ptrdiff_t split, ptrdiff_t resume, ptrdiff_t end, \
      ptrdiff_t k, ptrdiff_t always, ptrdiff_t kept, int32_t *out);
DECLARE(select_largest_portable)
DECLARE(select_largest_avx2)
DECLARE(select_largest_avx512)

ptrdiff_t attn_select_largest(
    int32_t isa, const float *x, float sign, ptrdiff_t first, ptrdiff_t split, ptrdiff_t resume, ptrdiff_t end,
    ptrdiff_t k, ptrdiff_t always, ptrdiff_t kept, int32_t *out) {
#if defined(__x86_64__)
  if (isa == 2) return select_largest_avx512(x, sign, first, split, resume, end, k, always, kept, out);
  if (isa == 1) return select_largest_avx2(x, sign, first, split, resume, end, k, always, kept, out);
#endif
  (void)isa;
  return select_largest_portable(x, sign, first, split, resume, end, k, always, kept, out);
}
