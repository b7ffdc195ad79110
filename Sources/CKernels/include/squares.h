#ifndef ATTNLAB_SQUARES_H
#define ATTNLAB_SQUARES_H
#include <math.h>
#include <stdint.h>

// Sums of squares in single precision, of numbers of any size. A sum within these bounds has lost nothing: no square has
// overflowed, and those that have vanished or been rounded as denormal numbers are too small to matter beside it. Any
// other is summed again, of numbers multiplied by a power of two, which is exact.

/// Whether a sum of squares is to be believed.
static inline int32_t attn_squares_are_safe(float sum) { return sum >= 0x1p-90f && sum <= 0x1p120f; }

/// The power of two that brings the largest magnitude to about 1: 1 for 0 and for what is not finite.
static inline float attn_square_scale(float largest) {
  if (!(largest > 0) || largest - largest != 0) return 1;
  const int exponent = ilogbf(largest);
  return ldexpf(1, -exponent < 127 ? -exponent : 127);
}
#endif
