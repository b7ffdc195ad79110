// One query tile, forward, with q, k and v in bfloat16. Where the processor multiplies pairs of bfloat16 the tile is
// computed as in forward.h with pairs in place of numbers (bfloat16_dot.h); elsewhere the rows of a block are up-converted and the
// float32 tile does the rest. Tiles of a few rows, which are bound by reading K and V, are up-converted in registers (gemv.h).

void KERNEL(upconvert16)(float *target, const uint16_t *source, int64_t count) {
  int64_t i = 0;
  for (; i + VL <= count; i += VL) store(target + i, KERNEL(upconvert)(*(const vh *)(source + i)));
  if (i < count) store_part(target + i, KERNEL(upconvert)(KERNEL(load16_part)(source + i, (int)(count - i))), (int)(count - i));
}

/// To nearest, ties to even; a NaN becomes the quiet NaN of its upper half.
INLINE vh KERNEL(downconvert)(vf x) {
  vw bits = (vw)x;
  vw rounded = (bits + (0x7FFFu + (bits >> 16 & 1u))) >> 16;
  vw quiet = bits >> 16 | 0x40u;
  return __builtin_convertvector(x == x ? rounded : quiet, vh);
}

void KERNEL(downconvert16)(uint16_t *target, const float *source, int64_t count) {
  int64_t i = 0;
  for (; i + VL <= count; i += VL) *(vh *)(target + i) = KERNEL(downconvert)(load(source + i));
  if (i == count) return;
  vh x = KERNEL(downconvert)(load_part(source + i, (int)(count - i)));
  memcpy(target + i, &x, (size_t)(count - i) * sizeof(uint16_t));
}

typedef struct {
  attn_head16 head;
  /// Everything that is float32: geometry, waiting keys, references, sums, Oᵀ.
  forward_tile *tile;
  /// The rows of the waiting keys; NULL of those that are up-converted already, which the block points to.
  const uint16_t *keys[ATTN_BLOCK], *values[ATTN_BLOCK];
  /// Up-converted rows, padded: of the tile's queries at first, then of a block's keys and values.
  float *wide;
#if ISA_BF16
  /// Whether the tile is computed in pairs, and what its scores are multiplied by: |scale|·log2 e.
  int32_t paired;
  float factor;
  /// Pairs: Qᵀ [strip][dims/2][lane], Pᵀ [keys/2][lane], V and a column of ones [keys/2][value dim + 1, padded].
  uint32_t *qt, *pt, *vt;
  /// The down-converted weights' sums.
  float sum[ATTN_LANES];
#endif
} KERNEL(forward_tile16);
#define forward_tile16 KERNEL(forward_tile16)

#define HALF(x) (((x) + 1) / 2)

size_t KERNEL(forward16_bytes)(int32_t head_dim, int32_t value_dim) {
  const size_t wide = ATTN_BLOCK * (size_t)(ROUND_UP(head_dim, VL) + ROUND_UP(value_dim, VL));
  const size_t pairs = ATTN_LANES * (size_t)(ROUND_UP(HALF(head_dim), VL) + HALF(ATTN_BLOCK)) +
                       HALF(ATTN_BLOCK) * (size_t)ROUND_UP(value_dim + 1, VL);
  return ALIGNED(sizeof(forward_tile16)) + ALIGNED(KERNEL(forward_bytes)(head_dim, value_dim)) +
         sizeof(float) * (wide > pairs ? wide : pairs);
}

#if ISA_BF16
#include "bfloat16_dot.h"
#endif

/// A head for the float32 tile: its queries are rows of `wide`, one after another and padded; its keys and values are
/// never read.
INLINE attn_head KERNEL(wide_head)(const attn_head16 *head, const float *wide) {
  return (attn_head){
      .query = wide, .key = wide, .value = wide, .query_stride = ROUND_UP(head->head_dim, VL),
      .head_dim = head->head_dim, .value_dim = head->value_dim, .key_limit = head->key_limit,
      .query_offset = head->query_offset, .scale = head->scale, .softcap = head->softcap,
      .near_floats = head->near_floats, .ahead = head->ahead};
}

/// Up-converts the queries of a tile, for `wide_head`.
INLINE void KERNEL(upconvert_queries)(float *wide, const attn_head16 *head, attn_list rows) {
  const ptrdiff_t padded = ROUND_UP(head->head_dim, VL);
  for (int i = 0; i < rows.count; i++)
    KERNEL(upconvert16)(wide + i * padded, head->query + attn_row(&rows, i) * head->query_stride, head->head_dim);
}

/// Up-converts the t-th key and value of a block, padded, and lets the block point to them.
INLINE void KERNEL(upconvert_key)(attn_block *block, const attn_head16 *head, float *wide, int t) {
  const ptrdiff_t dk = ROUND_UP(head->head_dim, VL), dv = ROUND_UP(head->value_dim, VL);
  float *const key = wide + t * dk, *const value = wide + ATTN_BLOCK * dk + t * dv;
  KERNEL(upconvert16)(key, head->key + block->key[t] * head->key_stride, head->head_dim);
  KERNEL(upconvert16)(value, head->value + block->key[t] * head->value_stride, head->value_dim);
  block->keys[t] = key;
  block->values[t] = value;
}

/// The same of all keys of a block.
INLINE void KERNEL(upconvert_block)(attn_block *block, const attn_head16 *head, float *wide) {
  for (int t = 0; t < block->count; t++) KERNEL(upconvert_key)(block, head, wide, t);
}

void KERNEL(forward16_begin)(void *scratch, const attn_head16 *head, attn_list rows) {
  forward_tile16 *own = scratch;
  char *const base = (char *)scratch + ALIGNED(sizeof(forward_tile16));
  own->head = *head;
  own->tile = (forward_tile *)base;
  own->wide = (float *)(base + ALIGNED(KERNEL(forward_bytes)(head->head_dim, head->value_dim)));
  attn_head wide = KERNEL(wide_head)(head, own->wide);
#if ISA_BF16
  own->paired = rows.count > ATTN_GEMV_ROWS || rows.index;
  // Pairs take the place of up-converted rows.
  if (own->paired) wide.head_dim = 0;
#endif
  if (wide.head_dim > 0) KERNEL(upconvert_queries)(own->wide, head, rows);
  // Gathered rows stay gathered, in the order of the up-converted ones.
  int32_t order[ATTN_LANES];
  for (int i = 0; i < rows.count; i++) order[i] = i;
  const attn_list packed = {.index = rows.index ? order : 0, .start = 0, .stride = 1, .count = rows.count};
  KERNEL(forward_begin)(own->tile, &wide, packed);
  forward_tile *tile = own->tile;
  KERNEL(take_rows)(rows, head->query_offset, tile->lanes, tile->row, tile->position);
  KERNEL(strip_reach)(tile->position, tile->rows, tile->strips, tile->nv * VL, tile->low, tile->high);
#if ISA_BF16
  if (own->paired) KERNEL(pairs_begin)(own);
#endif
}

static __attribute__((noinline)) void KERNEL(forward16_flush)(forward_tile16 *own) {
  attn_block *block = &own->tile->block;
  if (block->count == 0) return;
#if ISA_BF16
  if (own->paired) {
    KERNEL(pairs_flush)(own);
    return;
  }
#endif
  if (own->tile->gemv) {
    const gemv_source keys = {.rows = (const void *const *)own->keys};
    const gemv_source values = {.rows = (const void *const *)own->values};
    KERNEL(gemv_keys)(1, 0, own->tile, &keys, &values, block->count, 0);
    block->count = block->pieces = 0;
    return;
  }
  for (int t = 0; t < block->count; t++)
    if (own->keys[t]) KERNEL(upconvert_key)(block, &own->head, own->wide, t);
  KERNEL(forward_flush)(own->tile);
}

static __attribute__((noinline)) void KERNEL(gemv_run16)(forward_tile16 *own, const attn_run *run) {
  const attn_head16 *head = &own->head;
  KERNEL(gemv_run)(
      1, own->tile, run, head->key, head->key_stride * (ptrdiff_t)sizeof(uint16_t), head->value,
      head->value_stride * (ptrdiff_t)sizeof(uint16_t));
}

#define SHARED_HEAD ALIGNED(sizeof(attn_shared_rows))

size_t KERNEL(shared_bytes)(int32_t head_dim, int32_t value_dim, int32_t capacity) {
  return SHARED_HEAD +
         sizeof(float) * (size_t)capacity * (size_t)(ROUND_UP(head_dim, VL) + ROUND_UP(value_dim, VL));
}

/// Where shared rows begin: keys, then values, so many floats apart.
INLINE float *KERNEL(shared_keys)(attn_shared_rows *shared) { return (float *)((char *)shared + SHARED_HEAD); }

/// Sees to it that keys first ..< last are among the shared ones: appends those that are not, or makes room for all of them
/// where they do not follow or do not fit.
static void KERNEL(share)(attn_shared_rows *shared, const attn_head16 *head, int32_t first, int32_t last) {
  const ptrdiff_t dk = ROUND_UP(head->head_dim, VL), dv = ROUND_UP(head->value_dim, VL);
  const int others = shared->key != head->key || shared->value != head->value;
  if (others || first < shared->first || first > shared->last || last - shared->first > shared->capacity) {
    shared->key = head->key;
    shared->value = head->value;
    shared->first = shared->last = first;
  }
  float *const keys = KERNEL(shared_keys)(shared), *const values = keys + shared->capacity * dk;
  for (int32_t t = shared->last; t < last; t++) {
    const ptrdiff_t place = t - shared->first;
    KERNEL(upconvert16)(keys + place * dk, head->key + t * head->key_stride, head->head_dim);
    KERNEL(upconvert16)(values + place * dv, head->value + t * head->value_stride, head->value_dim);
  }
  if (last > shared->last) shared->last = last;
}

/// A run whose keys are shared.
static void KERNEL(run_shared)(forward_tile16 *own, const attn_run *run, attn_shared_rows *shared) {
  const attn_head16 *head = &own->head;
  attn_block *block = &own->tile->block;
  const int32_t first = run->keys.start, last = first + run->keys.count;
  if (first >= head->key_limit) return;
  KERNEL(share)(shared, head, first, last < head->key_limit ? last : head->key_limit);
  const ptrdiff_t dk = ROUND_UP(head->head_dim, VL), dv = ROUND_UP(head->value_dim, VL);
  const float *keys = KERNEL(shared_keys)(shared), *values = keys + shared->capacity * dk;
  for (int32_t next = 0; next < run->keys.count;) {
    const int waiting = block->count;
    next = attn_block_fill(block, &own->tile->head, run, next);
    for (int t = waiting; t < block->count; t++) {
      const ptrdiff_t place = block->key[t] - shared->first;
      own->keys[t] = 0;
      block->keys[t] = keys + place * dk;
      block->values[t] = values + place * dv;
    }
    if (block->count == block->capacity) KERNEL(forward16_flush)(own);
  }
  // Keys that wait for others must not wait where the next run may make room.
  for (int t = 0; t < block->count; t++)
    if (!own->keys[t]) KERNEL(upconvert_key)(block, head, own->wide, t);
}

void KERNEL(forward16_run)(void *scratch, const attn_run *run, attn_shared_rows *shared) {
  forward_tile16 *own = scratch;
  if (KERNEL(gemv_direct)(own->tile, run)) {
    KERNEL(gemv_run16)(own, run);
    return;
  }
#if ISA_BF16
  if (own->paired) shared = 0;
#endif
  const int32_t count = run->keys.count;
  const int side_by_side = !run->keys.index && run->keys.stride == 1 && !own->tile->gemv;
  if (shared && side_by_side && count >= shared->shortest && count <= shared->capacity) {
    KERNEL(run_shared)(own, run, shared);
    return;
  }
  attn_block *block = &own->tile->block;
  for (int32_t next = 0; next < count;) {
    const int first = block->count;
    next = attn_block_fill(block, &own->tile->head, run, next);
    for (int t = first; t < block->count; t++) {
      own->keys[t] = own->head.key + (ptrdiff_t)block->key[t] * own->head.key_stride;
      own->values[t] = own->head.value + (ptrdiff_t)block->key[t] * own->head.value_stride;
    }
    if (block->count == block->capacity) KERNEL(forward16_flush)(own);
  }
}

void KERNEL(forward16_end)(
    void *scratch, float *output, int64_t output_stride, float *lse, int32_t in_place, int32_t merge) {
  forward_tile16 *own = scratch;
  KERNEL(forward16_flush)(own);
#if ISA_BF16
  if (own->paired) KERNEL(pairs_end)(own);
#endif
  KERNEL(forward_end)(own->tile, output, output_stride, lse, in_place, merge);
}

#if !ISA_BF16
double KERNEL(dot16_loop)(int64_t rounds) { return KERNEL(fma_loop)(rounds); }
#endif
