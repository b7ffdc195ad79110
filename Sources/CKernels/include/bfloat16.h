#ifndef ATTNLAB_BFLOAT16_H
#define ATTNLAB_BFLOAT16_H
#include <stddef.h>
#include <stdint.h>
#include "attention.h"

#pragma clang assume_nonnull begin

/// One (batch, head) whose q, k and v are bfloat16; strides in elements. The rest as in `attn_head`.
typedef struct {
  const uint16_t *query, *key, *value;
  int64_t query_stride, key_stride, value_stride;
  int32_t head_dim, value_dim, key_limit, query_offset;
  float scale, softcap;
  int32_t near_floats, ahead;
} attn_head16;

/// Instruction set 3, for the functions of this header alone: avx512 with AVX512-BF16. All others up-convert to float32.
enum { ATTN_AVX512_BF16 = 3 };

/// target[i] ← source[i], down-converted: rounded to nearest, ties to even; a NaN stays one.
void attn_downconvert16(int32_t isa, uint16_t *target, const float *source, int64_t count);
/// target[i] ← source[i], exactly.
void attn_upconvert16(int32_t isa, float *target, const uint16_t *source, int64_t count);

/// Keys and values of one head that are up-converted once for all tiles that see them, a worker's own: rows side by side, of at
/// most `capacity` keys. A tile that needs others makes room for them.
typedef struct attn_shared_rows attn_shared_rows;
/// Bytes of so many keys and values, 64-byte aligned.
size_t attn_shared_bytes(int32_t isa, int32_t head_dim, int32_t value_dim, int32_t capacity);
/// Makes empty shared rows in so many bytes. Runs of fewer than `shortest` keys are not taken from there.
void attn_shared_begin(void *room, int32_t capacity, int32_t shortest);

/// As attn_forward_…, for bfloat16 q, k and v; outputs and LSE are float32.
size_t attn_forward16_bytes(int32_t isa, int32_t head_dim, int32_t value_dim);
void attn_forward16_begin(int32_t isa, void *scratch, const attn_head16 *head, attn_list rows);
/// `shared`: rows that tiles share where rows are up-converted, or NULL: each tile up-converts its own. The bits are the same.
void attn_forward16_run(int32_t isa, void *scratch, const attn_run *run, attn_shared_rows *_Nullable shared);
void attn_forward16_end(
    int32_t isa, void *scratch, float *output, int64_t output_stride, float *lse, int32_t in_place, int32_t merge);

/// As attn_backward_…, for bfloat16 q, k and v; the output, gradients and LSE are float32, and so are all products, on
/// every instruction set: there is no ATTN_AVX512_BF16 here.
size_t attn_backward16_bytes(int32_t isa, int32_t head_dim, int32_t value_dim);
void attn_backward16_begin(
    int32_t isa, void *scratch, const attn_head16 *head, const attn_gradient *gradient, attn_list rows);
void attn_backward16_prefetch(const attn_head16 *head, const attn_gradient *gradient, attn_list keys);
void attn_backward16_warm(const attn_head16 *head, const attn_gradient *gradient, attn_list keys);
void attn_backward16_run(int32_t isa, void *scratch, const attn_run *run);
void attn_backward16_flush(int32_t isa, void *scratch);
void attn_backward16_end(
    int32_t isa, void *scratch, float *target, int64_t target_stride, int32_t in_place, int32_t adds);

/// Independent bfloat16 dot products on registers (fused multiply-adds where there are none); returns the flops done.
double attn_dot16_loop(int32_t isa, int64_t rounds);

#pragma clang assume_nonnull end
#endif
