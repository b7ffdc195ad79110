#ifndef ATTNLAB_DENSE_H
#define ATTNLAB_DENSE_H
#include <stdint.h>

#pragma clang assume_nonnull begin

/// The bucket of `count` rows in every round: argmax [xR ; −xR], with a second factor when second_half > 0:
/// bucket = first + 2·first_half·second, of sums of fused products in the order of dims. rotations: what attn_hash_pack
/// makes; bucket: [hashes][…], bucket_stride apart; scratch: 64 floats for every dim, rounded up to 16. The same bits on every instruction set.
void attn_hash_rows(
    int32_t isa, const float *rows, int64_t row_stride, int32_t count, int32_t dim, const float *rotations,
    int32_t hashes, int32_t first_half, int32_t second_half, int32_t *bucket, int64_t bucket_stride, float *scratch);

/// Columns that are computed together when `left` of a factor are to come: 6 or 4, in fours and sixes as far as they go.
static inline int32_t attn_hash_group(int32_t left) {
  const int32_t even = left & ~1;
  return even < 4 ? (even ? even : 1) : even % 4 == 2 || even >= 12 ? 6 : 4;
}

/// rotations [dim][hashes][first_half + second_half] → the same numbers in the order in which they are read:
/// [hash][factor][group of columns][dim][column of the group].
void attn_hash_pack(
    float *target, const float *rotations, int32_t dim, int32_t hashes, int32_t first_half, int32_t second_half);

/// weights ← softmax of the first `count` of `size` scores, 0 beyond; returns the natural-log LSE, −∞ of none.
float attn_dense_softmax(int32_t isa, float *weights, const float *scores, int32_t count, int32_t size);

/// gradient ← weights ∘ (gradient − weights·gradient) over the first `count` of `size`, 0 beyond.
void attn_dense_softmax_gradient(int32_t isa, float *gradient, const float *weights, int32_t count, int32_t size);

#pragma clang assume_nonnull end
#endif
