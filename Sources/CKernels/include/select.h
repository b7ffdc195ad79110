#ifndef ATTNLAB_SELECT_H
#define ATTNLAB_SELECT_H
#include <stddef.h>
#include <stdint.h>

#pragma clang assume_nonnull begin

/// Chooses the places of the k largest sign·x among first ..< split and resume ..< end, of equal ones the first; NaN counts as
/// infinity. Writes what was chosen before `split`, then the `kept` places from `always` on, then what was chosen from `resume` on: each part
/// rises. With k places or fewer all are chosen. Returns how many places were written.
ptrdiff_t attn_select_largest(
    int32_t isa, const float *x, float sign, ptrdiff_t first, ptrdiff_t split, ptrdiff_t resume, ptrdiff_t end,
    ptrdiff_t k, ptrdiff_t always, ptrdiff_t kept, int32_t *out);

/// y[r] = [max(sign·x[r], 0), min(sign·x[r], 0)], rows of 2·dim floats without gaps.
void attn_signed_halves(
    int32_t isa, const float *x, ptrdiff_t x_stride, float sign, float *y, ptrdiff_t rows, ptrdiff_t dim);

#pragma clang assume_nonnull end
#endif
