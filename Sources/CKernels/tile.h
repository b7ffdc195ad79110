// What the templates share: the part of a tile's scratch that does not depend on the vector width.
#ifndef ATTNLAB_TILE_H
#define ATTNLAB_TILE_H
#include "include/attention.h"
#include "include/bfloat16.h"

/// Keys first ..< last of a block come from one run and share its mask.
typedef struct {
  int32_t first, last, mask, low, high;
} attn_piece;

/// The keys that wait to be computed, until there are `capacity` of them.
typedef struct {
  int32_t count, pieces, capacity;
  const float *keys[ATTN_BLOCK], *values[ATTN_BLOCK];
  int32_t key[ATTN_BLOCK];
  uint64_t word[ATTN_BLOCK];
  attn_piece piece[ATTN_BLOCK];
} attn_block;

/// Keys first ..< last of one head, up-converted; the rows follow, at the next cache line.
struct attn_shared_rows {
  /// Whose they are.
  const uint16_t *key, *value;
  int32_t first, last, capacity, shortest;
};

static inline int32_t attn_row(const attn_list *list, int32_t t) {
  return list->index ? list->index[t] : list->start + t * list->stride;
}

/// A key's row of a gradient that lies in blocks of 64 rows.
static inline float *attn_gradient_row(float *const *blocks, int32_t key, int32_t dim) {
  return blocks[key >> 6] + (ptrdiff_t)(key & 63) * dim;
}

/// Appends the keys `from ..` of a run until the block is full or the run ends; returns the next key.
static inline int32_t attn_block_fill(attn_block *block, const attn_head *head, const attn_run *run, int32_t from) {
  attn_piece piece = {block->count, block->count, run->mask, run->low, run->high};
  const int32_t room = block->capacity - block->count, *index = run->keys.index;
  const float **keys = block->keys + block->count, **values = block->values + block->count;
  int32_t *key = block->key + block->count, count = 0, next;
  uint64_t *word = block->word + block->count;
  if (index) {
    for (next = from; next < run->keys.count && count < room; next++) {
      if (index[next] >= head->key_limit) continue;
      key[count] = index[next];
      if (run->bits) word[count] = run->bits[next];
      keys[count] = head->key + (ptrdiff_t)index[next] * head->key_stride;
      values[count] = head->value + (ptrdiff_t)index[next] * head->value_stride;
      count++;
    }
  } else {
    const int32_t stride = run->keys.stride, start = run->keys.start + from * stride, left = run->keys.count - from;
    const int32_t reach = start < head->key_limit ? (head->key_limit - start - 1) / stride + 1 : 0;
    const int32_t live = left < reach ? left : reach;
    const float *k = head->key + (ptrdiff_t)start * head->key_stride;
    const float *v = head->value + (ptrdiff_t)start * head->value_stride;
    const ptrdiff_t key_step = stride * head->key_stride, value_step = stride * head->value_stride;
    count = live < room ? live : room;
    for (int32_t t = 0; t < count; t++) key[t] = start + t * stride;
    for (int32_t t = 0; t < count; t++) keys[t] = k + t * key_step;
    for (int32_t t = 0; t < count; t++) values[t] = v + t * value_step;
    if (run->bits) for (int32_t t = 0; t < count; t++) word[t] = run->bits[from + t];
    next = count == live ? run->keys.count : from + count;
  }
  block->count += count;
  piece.last = block->count;
  if (count > 0) block->piece[block->pieces++] = piece;
  return next;
}

/// Whether any of the block's pieces has a mask.
static inline int attn_block_masked(const attn_block *block) {
  for (int i = 0; i < block->pieces; i++)
    if (block->piece[i].mask != ATTN_FULL) return 1;
  return 0;
}

/// The keys `first ..< last` of a block, without those at its ends that a band hides from all rows at `low … high`.
typedef struct {
  int32_t first, last;
} attn_span;

static inline int attn_hides(const attn_piece *piece, int32_t key, int32_t low, int32_t high) {
  return low - key > piece->high || high - key < piece->low;
}

static inline attn_span attn_block_span(const attn_block *block, int32_t low, int32_t high) {
  attn_span span = {0, block->count};
  for (int i = 0; i < block->pieces && block->piece[i].mask == ATTN_BAND; i++) {
    const attn_piece *piece = &block->piece[i];
    while (span.first < piece->last && attn_hides(piece, block->key[span.first], low, high)) span.first++;
    if (span.first < piece->last) break;
  }
  for (int i = block->pieces - 1; i >= 0 && block->piece[i].mask == ATTN_BAND; i--) {
    const attn_piece *piece = &block->piece[i];
    while (span.last > piece->first && attn_hides(piece, block->key[span.last - 1], low, high)) span.last--;
    if (span.last > piece->first) break;
  }
  if (span.last < span.first) span.last = span.first;
  return span;
}
#endif
