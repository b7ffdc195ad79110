// What the templates share: the part of a tile's scratch that does not depend on the vector width.
#ifndef ATTNLAB_TILE_H
#define ATTNLAB_TILE_H
#include "include/attention.h"

/// Keys first ..< last of a block come from one run and share its mask.
typedef struct {
  int32_t first, last, mask, low, high;
} attn_piece;

/// The keys that wait to be computed.
typedef struct {
  int32_t count, pieces;
  const float *keys[ATTN_BLOCK], *values[ATTN_BLOCK];
  int32_t key[ATTN_BLOCK];
  uint64_t word[ATTN_BLOCK];
  attn_piece piece[ATTN_BLOCK];
} attn_block;

static inline int32_t attn_row(const attn_list *list, int32_t t) {
  return list->index ? list->index[t] : list->start + t * list->stride;
}

/// Asks for a row before its turn: gathered and strided rows follow no order that the processor could foresee.
static inline void attn_prefetch_row(const float *row, int32_t dim) {
  for (int32_t d = 0; d < dim; d += 16) __builtin_prefetch(row + d);
}

/// Appends the keys `from ..` of a run until the block is full or the run ends; returns the next key.
static inline int32_t attn_block_fill(attn_block *block, const attn_head *head, const attn_run *run, int32_t from) {
  attn_piece piece = {block->count, block->count, run->mask, run->low, run->high};
  const int scattered = run->keys.index != NULL || run->keys.stride > 1;
  int32_t t = from, count = block->count;
  for (; t < run->keys.count && count < ATTN_BLOCK; t++) {
    int32_t key = attn_row(&run->keys, t);
    if (key >= head->key_limit) continue;
    block->keys[count] = head->key + (ptrdiff_t)key * head->key_stride;
    block->values[count] = head->value + (ptrdiff_t)key * head->value_stride;
    block->key[count] = key;
    block->word[count] = run->bits ? run->bits[t] : 0;
    if (scattered) {
      attn_prefetch_row(block->keys[count], head->head_dim);
      attn_prefetch_row(block->values[count], head->value_dim);
    }
    count++;
  }
  piece.last = count;
  block->count = count;
  if (piece.last > piece.first) block->piece[block->pieces++] = piece;
  return t;
}

/// Whether any of the block's pieces has a mask.
static inline int attn_block_masked(const attn_block *block) {
  for (int i = 0; i < block->pieces; i++)
    if (block->piece[i].mask != ATTN_FULL) return 1;
  return 0;
}
#endif
