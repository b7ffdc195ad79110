// One query tile, backward, with q, k and v in bfloat16: the rows of the tile and of a block of keys are up-converted
// as they are read, and the float32 tile (backward.h) does the rest. The bits are those of inputs that were up-converted before.

typedef struct {
  attn_head16 head;
  backward_tile *tile;
  /// Up-converted rows, padded: of the tile's queries at first, then of a block's keys and values.
  float *wide;
} KERNEL(backward_tile16);
#define backward_tile16 KERNEL(backward_tile16)

size_t KERNEL(backward16_bytes)(int32_t head_dim, int32_t value_dim) {
  const size_t wide = ATTN_BLOCK * (size_t)(ROUND_UP(head_dim, VL) + ROUND_UP(value_dim, VL));
  return ALIGNED(sizeof(backward_tile16)) + ALIGNED(KERNEL(backward_bytes)(head_dim, value_dim)) +
         sizeof(float) * wide;
}

void KERNEL(backward16_begin)(
    void *scratch, const attn_head16 *head, const attn_gradient *gradient, attn_list rows) {
  backward_tile16 *own = scratch;
  char *const base = (char *)scratch + ALIGNED(sizeof(backward_tile16));
  own->head = *head;
  own->tile = (backward_tile *)base;
  own->wide = (float *)(base + ALIGNED(KERNEL(backward_bytes)(head->head_dim, head->value_dim)));
  const attn_head wide = KERNEL(wide_head)(head, own->wide);
  KERNEL(upconvert_queries)(own->wide, head, rows);
  int32_t order[ATTN_LANES];
  for (int i = 0; i < rows.count; i++) order[i] = i;
  KERNEL(backward_start)(own->tile, &wide, gradient, rows, order);
}

void KERNEL(backward16_flush)(void *scratch) {
  backward_tile16 *own = scratch;
  KERNEL(upconvert_block)(&own->tile->block, &own->head, own->wide);
  KERNEL(backward_flush)(own->tile);
}

void KERNEL(backward16_run)(void *scratch, const attn_run *run) {
  backward_tile16 *own = scratch;
  attn_block *block = &own->tile->block;
  for (int32_t t = 0; t < run->keys.count;) {
    t = attn_block_fill(block, &own->tile->head, run, t);
    if (block->count == block->capacity) KERNEL(backward16_flush)(own);
  }
}

void KERNEL(backward16_end)(void *scratch, float *target, int64_t target_stride, int32_t in_place, int32_t adds) {
  backward_tile16 *own = scratch;
  KERNEL(backward16_flush)(own);
  KERNEL(backward_end)(own->tile, target, target_stride, in_place, adds);
}
