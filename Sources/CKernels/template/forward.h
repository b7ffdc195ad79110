// One query tile, forward: Sᵀ = K·Qᵀ, softmax down the keys, Oᵀ += Vᵀ·Pᵀ. Lanes are query rows, so maxima, sums and
// masks are vertical and nothing of K or V is packed. A tile is `strips` column strips of nv vectors.

#define MAX_STRIPS (ATTN_LANES / STRIP)
/// The keys of a shorter block, which stays in the part of the first-level cache that the head says from strip to strip.
#define SHORT_BLOCK 64

typedef struct {
  attn_head head;
  attn_block block;
  int32_t rows, lanes, nv, strips;
  /// Whether it is computed row by row. Gathered rows are not, however few: how many share a tile depends on the data, and what
  /// a row gets must not depend on later rows.
  int32_t gemv;
  int32_t row[ATTN_LANES], position[ATTN_LANES];
  /// The lowest and the highest position of every strip's rows.
  int32_t low[MAX_STRIPS], high[MAX_STRIPS];
  float m[ATTN_LANES], l[ATTN_LANES];
  float *qt, *ot, *s;
} KERNEL(forward_tile);
#define forward_tile KERNEL(forward_tile)

#define ROUND_UP(x, to) (((x) + (to) - 1) / (to) * (to))
#define ALIGNED(bytes) ROUND_UP((size_t)(bytes), 64)

size_t KERNEL(forward_bytes)(int32_t head_dim, int32_t value_dim) {
  const size_t rows = (size_t)ROUND_UP(head_dim, VL) + (size_t)ROUND_UP(value_dim, VL) + ATTN_BLOCK;
  return ALIGNED(sizeof(forward_tile)) + sizeof(float) * ATTN_LANES * rows;
}

int32_t KERNEL(strip_rows)(void) { return STRIP; }

/// The lanes, vectors a strip and strips for a number of rows.
INLINE void KERNEL(geometry)(int32_t rows, int32_t *lanes, int32_t *nv, int32_t *strips) {
  if (rows >= STRIP) {
    *strips = (rows + STRIP - 1) / STRIP;
    *nv = NV_MAX;
  } else {
    *strips = 1;
    *nv = (rows + VL - 1) / VL;
  }
  *lanes = *strips * *nv * VL;
}

/// The keys of a block. Several strips would each read 96 keys of 43 to 64 dims (near_floats 4096) from the second-level cache,
/// so they get fewer. Gathered rows always do, however few: how many share a tile depends on the data, and what a row gets must not.
INLINE int32_t KERNEL(block_keys)(attn_list rows, int strips, const attn_head *head) {
  const int often = MAX_STRIPS > 2 && (strips > 2 || rows.index);
  const int gains =
      ATTN_BLOCK * head->head_dim > head->near_floats && SHORT_BLOCK * head->head_dim <= head->near_floats;
  return often && gains ? SHORT_BLOCK : ATTN_BLOCK;
}

/// Packs factor·rowsᵀ: target[strip][dim][lane of strip]; lanes without a row are 0.
INLINE void KERNEL(pack)(
    float *target, const float *source, int64_t stride, const int32_t *row, int rows, int dim, float factor, int nv,
    int strips) {
  const int width = nv * VL, padded = ROUND_UP(dim, VL);
  for (int lane = 0; lane < strips * width; lane += VL) {
    float *strip = target + (ptrdiff_t)(lane / width) * width * padded + lane % width;
    for (int d = 0; d < dim; d += VL) {
      vf x[VL];
      const int part = dim - d < VL ? dim - d : VL;
      UNROLL for (int i = 0; i < VL; i++) {
        x[i] = (vf)0.0f;
        if (lane + i < rows) {
          const float *p = source + (ptrdiff_t)row[lane + i] * stride + d;
          x[i] = factor * (part == VL ? load(p) : load_part(p, part));
        }
      }
      transpose(x);
      UNROLL for (int i = 0; i < VL; i++) store(strip + (ptrdiff_t)(d + i) * width, x[i]);
    }
  }
}

INLINE void KERNEL(take_rows)(
    attn_list rows, int32_t query_offset, int32_t lanes, int32_t *row, int32_t *position) {
  for (int i = 0; i < lanes; i++) {
    row[i] = i < rows.count ? attn_row(&rows, i) : 0;
    position[i] = row[i] + query_offset;
  }
}

/// The lowest and highest position of the rows of each strip.
INLINE void KERNEL(strip_reach)(const int32_t *position, int rows, int strips, int width, int32_t *low, int32_t *high) {
  for (int strip = 0; strip < strips; strip++) {
    const int first = strip * width, last = first + width < rows ? first + width : rows;
    low[strip] = high[strip] = position[first];
    for (int i = first + 1; i < last; i++) {
      low[strip] = position[i] < low[strip] ? position[i] : low[strip];
      high[strip] = position[i] > high[strip] ? position[i] : high[strip];
    }
  }
}

/// Asks for the rows of a tile, all at once: packing reads them a vector's column at a time.
INLINE void KERNEL(prefetch_rows)(const float *source, int64_t stride, const int32_t *row, int rows, int dim) {
  for (int i = 0; i < rows; i++)
    for (int d = 0; d < dim; d += 16) __builtin_prefetch(source + (ptrdiff_t)row[i] * stride + d);
}

void KERNEL(forward_begin)(void *scratch, const attn_head *head, attn_list rows) {
  forward_tile *tile = scratch;
  tile->head = *head;
  tile->rows = rows.count;
  tile->gemv = rows.count <= ATTN_GEMV_ROWS && !rows.index && !head->energy && !head->bias;
  tile->block.count = tile->block.pieces = 0;
  KERNEL(geometry)(rows.count, &tile->lanes, &tile->nv, &tile->strips);
  tile->block.capacity = KERNEL(block_keys)(rows, tile->strips, head);
  KERNEL(take_rows)(rows, head->query_offset, tile->lanes, tile->row, tile->position);
  KERNEL(strip_reach)(tile->position, tile->rows, tile->strips, tile->nv * VL, tile->low, tile->high);
  KERNEL(prefetch_rows)(head->query, head->query_stride, tile->row, tile->rows, head->head_dim);
  tile->qt = (float *)((char *)scratch + ALIGNED(sizeof(forward_tile)));
  tile->ot = tile->qt + (ptrdiff_t)tile->lanes * ROUND_UP(head->head_dim, VL);
  tile->s = tile->ot + (ptrdiff_t)tile->lanes * ROUND_UP(head->value_dim, VL);
  for (int i = 0; i < ATTN_LANES; i++) {
    tile->m[i] = NO_REFERENCE;
    tile->l[i] = 0;
  }
  memset(tile->ot, 0, sizeof(float) * (size_t)tile->lanes * ROUND_UP(head->value_dim, VL));
  const float factor = head->energy ? 1.0f : (float)(head->scale * 1.4426950408889634);
  if (tile->gemv) {
    const int padded = ROUND_UP(head->head_dim, VL);
    for (int i = 0; i < tile->rows; i++)
      for (int d = 0; d < padded; d++)
        tile->qt[i * padded + d] =
            d < head->head_dim ? factor * head->query[(ptrdiff_t)tile->row[i] * head->query_stride + d] : 0;
    return;
  }
  KERNEL(pack)(
      tile->qt, head->query, head->query_stride, tile->row, tile->rows, head->head_dim, factor, tile->nv,
      tile->strips);
}

INLINE void KERNEL(forward_strip)(const int mr, const int nv, forward_tile *tile, int strip, int masked) {
  const attn_block *block = &tile->block;
  const attn_head *head = &tile->head;
  const int width = nv * VL, lane0 = strip * width;
  float *ot = tile->ot + (ptrdiff_t)lane0 * ROUND_UP(head->value_dim, VL);
  const float *qt = tile->qt + (ptrdiff_t)lane0 * ROUND_UP(head->head_dim, VL);
  float *m = tile->m + lane0, *l = tile->l + lane0;
  float *s = tile->s;
  const int live = tile->rows - lane0 < width ? tile->rows - lane0 : width;
  if (masked) {
    const attn_span span = attn_block_span(block, tile->low[strip], tile->high[strip]);
    const int count = span.last - span.first;
    if (count == 0) return;
    s += (ptrdiff_t)span.first * width;
    KERNEL(strip_scores)(mr, nv, s, block->keys + span.first, count, head, qt);
    if (head->bias) KERNEL(add_bias)(nv, s, block->key + span.first, count, head->bias, tile->position + lane0, live);
    KERNEL(soft_cap)(s, (ptrdiff_t)count * nv, head->softcap);
    KERNEL(mask_block)(nv, tile->s, block, span, tile->position, lane0, 1);
    KERNEL(softmax_nv)(nv, s, count, m, l, ot, head->value_dim, 1);
    KERNEL(weighted_nv)(mr, nv, ot, head->value_dim, block->values + span.first, count, s);
    return;
  }
  KERNEL(strip_scores)(mr, nv, s, block->keys, block->count, head, qt);
  if (head->bias) KERNEL(add_bias)(nv, s, block->key, block->count, head->bias, tile->position + lane0, live);
  KERNEL(soft_cap)(s, (ptrdiff_t)block->count * nv, head->softcap);
  KERNEL(softmax_nv)(nv, s, block->count, m, l, ot, head->value_dim, 0);
  KERNEL(weighted_nv)(mr, nv, ot, head->value_dim, block->values, block->count, s);
}

#include "gemv.h"

static __attribute__((noinline)) void KERNEL(forward_flush)(forward_tile *tile) {
  if (tile->block.count == 0) return;
  const int masked = attn_block_masked(&tile->block);
  if (tile->gemv) KERNEL(gemv_flush)(tile);
  else for (int strip = 0; strip < tile->strips; strip++) {
    switch (tile->nv) {
    case 1: KERNEL(forward_strip)(MR1, 1, tile, strip, masked); break;
    case 2: KERNEL(forward_strip)(MR2, 2, tile, strip, masked); break;
#if NV_MAX >= 4
    case 3: KERNEL(forward_strip)(MR3, 3, tile, strip, masked); break;
    default: KERNEL(forward_strip)(MR4, 4, tile, strip, masked); break;
#endif
    }
  }
  tile->block.count = tile->block.pieces = 0;
}

void KERNEL(forward_run)(void *scratch, const attn_run *run) {
  forward_tile *tile = scratch;
  if (KERNEL(gemv_direct)(tile, run)) {
    KERNEL(gemv_run32)(tile, run);
    return;
  }
  for (int32_t t = 0; t < run->keys.count;) {
    t = attn_block_fill(&tile->block, &tile->head, run, t);
    if (tile->block.count == tile->block.capacity) KERNEL(forward_flush)(tile);
  }
}

/// The LSE of every lane from its reference and sum, written to `lse`, and the factors of what the tile has summed
/// (`inverse`) and of what is in the output already (`keep`; 0 where nothing is).
INLINE void KERNEL(finish_rows)(forward_tile *tile, float *lse, int in_place, int merge, float *inverse, float *keep) {
  const vf nothing = splat(-__builtin_inff());
  float before[ATTN_LANES];
  for (int i = 0; i < tile->lanes; i++)
    before[i] = merge && i < tile->rows ? lse[in_place ? tile->row[i] : i] : -__builtin_inff();
  for (int lane = 0; lane < tile->lanes; lane += VL) {
    const vf l = load(tile->l + lane), at = load(before + lane);
    const vi none = l == 0.0f, first = at == nothing;
    const vf natural = none ? nothing : KERNEL(natural_log)(l, load(tile->m + lane));
    const vf high = natural > at ? natural : at;
    const vf a = KERNEL(natural_exp)(at - high), b = KERNEL(natural_exp)(natural - high), sum = a + b;
    const vf both = high + KERNEL(natural_log)(sum, splat(0.0f));
    store(inverse + lane, none ? splat(0.0f) : first ? 1 / l : b / (sum * l));
    store(keep + lane, first ? splat(0.0f) : none ? splat(1.0f) : a / sum);
    store(before + lane, first ? natural : none ? at : both);
  }
  for (int i = 0; i < tile->rows; i++) lse[in_place ? tile->row[i] : i] = before[i];
}

void KERNEL(forward_end)(
    void *scratch, float *output, int64_t output_stride, float *lse, int32_t in_place, int32_t merge) {
  forward_tile *tile = scratch;
  KERNEL(forward_flush)(tile);
  const int dim = tile->head.value_dim, padded = ROUND_UP(dim, VL), width = tile->nv * VL;
  float inverse[ATTN_LANES], keep[ATTN_LANES];
  KERNEL(finish_rows)(tile, lse, in_place, merge, inverse, keep);
  if (tile->gemv) {
    for (int i = 0; i < tile->rows; i++) {
      float *row = output + (ptrdiff_t)(in_place ? tile->row[i] : i) * output_stride;
      const int adds = merge == ATTN_MERGE_ROWS && keep[i] != 0;
      for (int d = 0; d < dim; d++) row[d] = tile->ot[i * padded + d] * inverse[i] + (adds ? keep[i] * row[d] : 0);
    }
    return;
  }
  for (int lane = 0; lane < tile->lanes; lane += VL) {
    const float *strip = tile->ot + (ptrdiff_t)(lane / width) * width * padded + lane % width;
    const vf by = load(inverse + lane);
    for (int d = 0; d < dim; d += VL) {
      vf x[VL];
      const int part = dim - d < VL ? dim - d : VL;
      UNROLL for (int i = 0; i < VL; i++) x[i] = load(strip + (ptrdiff_t)(d + i) * width) * by;
      transpose(x);
      const int live = tile->rows - lane < VL ? tile->rows - lane : VL;
      for (int i = 0; i < live; i++) {
        float *p = output + (ptrdiff_t)(in_place ? tile->row[lane + i] : lane + i) * output_stride + d;
        if (merge == ATTN_MERGE_ROWS && keep[lane + i] != 0)
          x[i] = vfma(splat(keep[lane + i]), part == VL ? load(p) : load_part(p, part), x[i]);
        if (part == VL) store(p, x[i]);
        else store_part(p, x[i], part);
      }
    }
  }
}

void KERNEL(merge_row)(float *output, float *lse, const float *partial, float partial_lse, int32_t value_dim) {
  if (partial_lse == -__builtin_inff()) return;
  float a = 0, b = 1, both = partial_lse;
  if (*lse != -__builtin_inff()) {
    float high = *lse > partial_lse ? *lse : partial_lse;
    a = expf(*lse - high), b = expf(partial_lse - high);
    float sum = a + b;
    both = high + logf(sum);
    a /= sum, b /= sum;
  }
  for (int i = 0; i < value_dim; i++) output[i] = a * (a != 0 ? output[i] : 0) + b * (b != 0 ? partial[i] : 0);
  *lse = both;
}
