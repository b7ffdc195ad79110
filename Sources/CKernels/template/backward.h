// One query tile, backward, for keys in any order: P is recomputed from LSE; five products in register tiles. Of additive scores
// (energy.h) rows of dQ are followed by rows of what each row adds to dw.
//   Sᵀ = K·Qᵀ, P = exp2(Sᵀ − LSE)     dPᵀ = V·dOᵀ, dSᵀ = P ∘ (dPᵀ − D)
//   dQᵀ += Kᵀ·dSᵀ (stays in the scratch)   dV += Pᵀ·dO, dK += dSᵀ·Q (added to the rows of the gradients)

typedef struct {
  attn_head head;
  attn_gradient gradient;
  attn_block block;
  int32_t rows, lanes, nv, strips;
  int32_t row[ATTN_LANES], position[ATTN_LANES];
  int32_t low[MAX_STRIPS], high[MAX_STRIPS];
  /// The keys of the block that each strip's rows see.
  attn_span span[MAX_STRIPS];
  float lse[ATTN_LANES], delta[ATTN_LANES];
  float *qt, *gt, *dqt;        // [strip][dim][lane]: Qᵀ, dOᵀ, dQᵀ
  float *q_rows, *g_rows;      // [row][dim, padded]: scale·Q, dO
  float *p, *ds;               // [strip][key][lane]
  float *dwt;                  // [strip][dim][lane], behind all others: of additive scores alone
  float *sums;                 // [strip][sum][lane], behind that
} KERNEL(backward_tile);
#define backward_tile KERNEL(backward_tile)

size_t KERNEL(backward_bytes)(int32_t head_dim, int32_t value_dim) {
  const size_t dims = 3 * (size_t)ROUND_UP(head_dim, VL) + 2 * (size_t)ROUND_UP(value_dim, VL);
  return ALIGNED(sizeof(backward_tile)) + sizeof(float) * ATTN_LANES * (dims + 2 * ATTN_BLOCK);
}

INLINE void KERNEL(copy_rows)(
    float *target, const float *source, int64_t stride, const int32_t *row, const uint8_t *live, int lanes, int dim,
    float factor) {
  const int padded = ROUND_UP(dim, VL);
  for (int i = 0; i < lanes; i++)
    for (int d = 0; d < padded; d += VL) {
      const int part = dim - d < VL ? dim - d : VL;
      vf x = (vf)0.0f;
      if (live[i]) {
        const float *p = source + (ptrdiff_t)row[i] * stride + d;
        x = factor * (part == VL ? load(p) : load_part(p, part));
      }
      store(target + (ptrdiff_t)i * padded + d, x);
    }
}

/// Packed rows, padded, to [strip][dim][lane], times a factor.
INLINE void KERNEL(transpose_rows)(float *target, const float *source, int dim, float factor, int nv, int strips) {
  const int width = nv * VL, padded = ROUND_UP(dim, VL);
  for (int lane = 0; lane < strips * width; lane += VL) {
    float *strip = target + (ptrdiff_t)(lane / width) * width * padded + lane % width;
    for (int d = 0; d < padded; d += VL) {
      vf x[VL];
      UNROLL for (int i = 0; i < VL; i++) x[i] = factor * load(source + (ptrdiff_t)(lane + i) * padded + d);
      transpose(x);
      UNROLL for (int i = 0; i < VL; i++) store(strip + (ptrdiff_t)(d + i) * width, x[i]);
    }
  }
}

/// Starts a tile whose t-th row of q is row `query_row[t]` of the head; `NULL`: its own.
INLINE void KERNEL(backward_start)(
    backward_tile *tile, const attn_head *head, const attn_gradient *gradient, attn_list rows,
    const int32_t *query_row) {
  tile->head = *head;
  tile->gradient = *gradient;
  tile->rows = rows.count;
  tile->block.count = tile->block.pieces = 0;
  tile->block.capacity = ATTN_BLOCK;
  KERNEL(geometry)(rows.count, &tile->lanes, &tile->nv, &tile->strips);
  KERNEL(take_rows)(rows, head->query_offset, tile->lanes, tile->row, tile->position);
  KERNEL(strip_reach)(tile->position, tile->rows, tile->strips, tile->nv * VL, tile->low, tile->high);
  const ptrdiff_t lanes = tile->lanes, dk = ROUND_UP(head->head_dim, VL), dv = ROUND_UP(head->value_dim, VL);
  tile->qt = (float *)((char *)tile + ALIGNED(sizeof(backward_tile)));
  tile->gt = tile->qt + lanes * dk;
  tile->dqt = tile->gt + lanes * dv;
  tile->q_rows = tile->dqt + lanes * dk;
  tile->g_rows = tile->q_rows + lanes * dk;
  tile->p = tile->g_rows + lanes * dv;
  tile->ds = tile->p + lanes * ATTN_BLOCK;
  memset(tile->dqt, 0, sizeof(float) * (size_t)(lanes * dk));
  tile->dwt = tile->ds + lanes * ATTN_BLOCK;
  if (head->energy) memset(tile->dwt, 0, sizeof(float) * (size_t)(lanes * dk));
  tile->sums = tile->dwt + (head->energy ? lanes * dk : 0);
  if (head->sums) memset(tile->sums, 0, sizeof(float) * (size_t)(lanes * head->sums));
  KERNEL(prefetch_rows)(gradient->output, gradient->output_stride, tile->row, tile->rows, head->value_dim);
  KERNEL(prefetch_rows)(
      gradient->output_gradient, gradient->output_gradient_stride, tile->row, tile->rows, head->value_dim);
  if (!query_row) {
    query_row = tile->row;
    KERNEL(prefetch_rows)(head->query, head->query_stride, query_row, tile->rows, head->head_dim);
  }
  // Rows without keys (LSE −∞) and lanes without a row take part as zeros: their weights multiply zero gradients.
  uint8_t live[ATTN_LANES];
  for (int i = 0; i < tile->lanes; i++) {
    float lse = i < tile->rows ? gradient->lse[tile->row[i]] : -__builtin_inff();
    live[i] = lse != -__builtin_inff();
    tile->lse[i] = live[i] ? (float)(lse * 1.4426950408889634) : 0;
    vf sum = (vf)0.0f;
    if (live[i]) {
      const float *o = gradient->output + (ptrdiff_t)tile->row[i] * gradient->output_stride;
      const float *g = gradient->output_gradient + (ptrdiff_t)tile->row[i] * gradient->output_gradient_stride;
      for (int d = 0; d < head->value_dim; d += VL) {
        const int part = head->value_dim - d < VL ? head->value_dim - d : VL;
        sum = part == VL ? vfma(load(o + d), load(g + d), sum) : vfma(load_part(o + d, part), load_part(g + d, part), sum);
      }
    }
    float delta = 0;
    for (int j = 0; j < VL; j++) delta += sum[j];
    tile->delta[i] = delta;
  }
  KERNEL(copy_rows)(
      tile->q_rows, head->query, head->query_stride, query_row, live, tile->lanes, head->head_dim, head->scale);
  KERNEL(copy_rows)(
      tile->g_rows, gradient->output_gradient, gradient->output_gradient_stride, tile->row, live, tile->lanes,
      head->value_dim, 1.0f);
  KERNEL(transpose_rows)(
      tile->qt, tile->q_rows, head->head_dim, head->energy ? 1.0f : 1.44269504f, tile->nv, tile->strips);
  KERNEL(transpose_rows)(tile->gt, tile->g_rows, head->value_dim, 1.0f, tile->nv, tile->strips);
}

void KERNEL(backward_begin)(void *scratch, const attn_head *head, const attn_gradient *gradient, attn_list rows) {
  KERNEL(backward_start)(scratch, head, gradient, rows, 0);
}

/// P and dS of `rows` keys, step by step together (see exponentials).
INLINE void KERNEL(slope_rows)(
    const int rows, const int nv, float *p, float *ds, const vf *restrict base, const vf *restrict delta,
    const int masked) {
  vf x[8], t[8], y[8];
  const int n = rows * nv;
  UNROLL for (int i = 0; i < n; i++) x[i] = load(p + i * VL) - base[i % nv];
  UNROLL for (int i = 0; i < n; i++) t[i] = x[i] + MAGIC;
  UNROLL for (int i = 0; i < n; i++) y[i] = t[i] - MAGIC;
  UNROLL for (int i = 0; i < n; i++) x[i] = x[i] - y[i];
  UNROLL for (int i = 0; i < n; i++) y[i] = vfma(splat(EXP2_5), x[i], splat(EXP2_4));
  UNROLL for (int i = 0; i < n; i++) y[i] = vfma(y[i], x[i], splat(EXP2_3));
  UNROLL for (int i = 0; i < n; i++) y[i] = vfma(y[i], x[i], splat(EXP2_2));
  UNROLL for (int i = 0; i < n; i++) y[i] = vfma(y[i], x[i], splat(EXP2_1));
  UNROLL for (int i = 0; i < n; i++) y[i] = vfma(y[i], x[i], splat(EXP2_0));
  UNROLL for (int i = 0; i < n; i++) y[i] *= KERNEL(power)(t[i]);
  if (masked) UNROLL for (int i = 0; i < n; i++) y[i] = load(p + i * VL) == MASKED ? splat(0.0f) : y[i];
  UNROLL for (int i = 0; i < n; i++) {
    store(p + i * VL, y[i]);
    store(ds + i * VL, y[i] * (load(ds + i * VL) - delta[i % nv]));
  }
}

/// Scores and dP of one strip → P and dS, in place.
INLINE void KERNEL(slopes_nv)(
    const int nv, float *p, float *ds, int count, const float *lse, const float *delta, const int masked) {
  vf base[NV_MAX], d[NV_MAX];
  UNROLL for (int v = 0; v < nv; v++) {
    base[v] = load(lse + v * VL);
    d[v] = load(delta + v * VL);
  }
  const int rows = EXP_VECTORS / nv;
  int t = 0;
  for (; t + rows <= count; t += rows)
    KERNEL(slope_rows)(rows, nv, p + (ptrdiff_t)t * nv * VL, ds + (ptrdiff_t)t * nv * VL, base, d, masked);
  for (; t < count; t++)
    KERNEL(slope_rows)(1, nv, p + (ptrdiff_t)t * nv * VL, ds + (ptrdiff_t)t * nv * VL, base, d, masked);
}

/// What is left to subtract where it has been done.
static const float KERNEL(no_delta)[STRIP];

/// Scores → scores under a soft cap, and dP → (dP − D)·(the cap's derivative), for one strip, in place.
static __attribute__((noinline)) void KERNEL(cap_slopes)(
    int nv, float *s, float *dp, int count, float softcap, const float *delta) {
  const float most = softcap * LOG2_E, by = 1 / most;
  for (int t = 0; t < count; t++)
    for (int v = 0; v < nv; v++) {
      const ptrdiff_t at = ((ptrdiff_t)t * nv + v) * VL;
      const vf x = load(s + at);
      store(dp + at, (load(dp + at) - load(delta + v * VL)) * KERNEL(tanh_slope)(x * by));
      store(s + at, KERNEL(capped)(x, by, most));
    }
}

/// target row of every key [column ..] += Σ_lanes weights[strip][key][lane] · rows[lane][column ..], nv vectors wide,
/// the last of them `part` floats. Loops unroll so that the sums stay in registers across strips.
INLINE void KERNEL(outer_group)(
    const int mr, const int nv, const int width, const int part, float *const *target, int first,
    const float *weights, const backward_tile *tile, const float *rows, int padded, int column) {
  vf c[32];
  UNROLL for (int t = 0; t < mr * nv; t++) c[t] = (vf)0.0f;
  const float *a = weights + (ptrdiff_t)first * width, *b = rows + column;
  const attn_span *span = tile->span;
  for (int left = tile->rows; left > 0; left -= width, span++) {
    if (first < span->last && first + mr > span->first)
      KERNEL(tile_packed)(mr, nv, width, c, a, left < width ? left : width, b, padded);
    a += (ptrdiff_t)ATTN_BLOCK * width;
    b += (ptrdiff_t)width * padded;
  }
  UNROLL for (int i = 0; i < mr; i++) {
    float *p = target[first + i] + column;
    UNROLL for (int v = 0; v < nv; v++) {
      if (v < nv - 1 || part == VL) store(p + v * VL, load(p + v * VL) + c[i * nv + v]);
      else store_part(p + v * VL, load_part(p + v * VL, part) + c[i * nv + v], part);
    }
  }
}

INLINE void KERNEL(outer_columns)(
    const int mr, const int nv, const int width, const int part, float *const *target, int count,
    const float *weights, const backward_tile *tile, const float *rows, int padded, int column) {
  int i = 0;
  for (; i + mr <= count; i += mr)
    KERNEL(outer_group)(mr, nv, width, part, target, i, weights, tile, rows, padded, column);
  for (; i + 2 <= count; i += 2)
    KERNEL(outer_group)(2, nv, width, part, target, i, weights, tile, rows, padded, column);
  for (; i < count; i++)
    KERNEL(outer_group)(1, nv, width, part, target, i, weights, tile, rows, padded, column);
}

/// A strip is STRIP lanes wide but in small tiles; its width is a constant then, so that rows need no pointers.
INLINE void KERNEL(outer_nv)(
    const int mr, const int nv, float *const *target, int count, const float *weights, const backward_tile *tile,
    const float *rows, int dim, int column) {
  const int padded = ROUND_UP(dim, VL), part = dim - column - (nv - 1) * VL;
  const int width = tile->nv * VL;
  if (width < STRIP)
    KERNEL(outer_columns)(
        2, nv, width, part < VL ? part : VL, target, count, weights, tile, rows, padded, column);
  else if (part < VL)
    KERNEL(outer_columns)(mr, nv, STRIP, part, target, count, weights, tile, rows, padded, column);
  else
    KERNEL(outer_columns)(mr, nv, STRIP, VL, target, count, weights, tile, rows, padded, column);
}

/// The columns in chunks of up to NV_MAX vectors, as even as can be.
static __attribute__((noinline)) void KERNEL(outer)(
    float *const *target, int count, const float *weights, const backward_tile *tile, const float *rows, int dim) {
  const int vectors = (dim + VL - 1) / VL, chunks = (vectors + NV_MAX - 1) / NV_MAX;
  for (int chunk = 0; chunk < chunks; chunk++) {
    const int first = vectors * chunk / chunks, last = vectors * (chunk + 1) / chunks, column = first * VL;
    switch (last - first) {
    case 1: KERNEL(outer_nv)(MR1, 1, target, count, weights, tile, rows, dim, column); break;
    case 2: KERNEL(outer_nv)(MR2, 2, target, count, weights, tile, rows, dim, column); break;
#if NV_MAX >= 4
    case 3: KERNEL(outer_nv)(MR3, 3, target, count, weights, tile, rows, dim, column); break;
    default: KERNEL(outer_nv)(MR4, 4, target, count, weights, tile, rows, dim, column); break;
#endif
    }
  }
}

INLINE void KERNEL(backward_strip)(const int mr, const int nv, backward_tile *tile, int strip, int masked) {
  const attn_block *block = &tile->block;
  const attn_head *head = &tile->head;
  const int lane0 = strip * nv * VL;
  const ptrdiff_t dk = (ptrdiff_t)lane0 * ROUND_UP(head->head_dim, VL);
  float *p = tile->p + (ptrdiff_t)lane0 * ATTN_BLOCK, *ds = tile->ds + (ptrdiff_t)lane0 * ATTN_BLOCK;
  const attn_span span =
      masked ? attn_block_span(block, tile->low[strip], tile->high[strip]) : (attn_span){0, block->count};
  const int count = span.last - span.first, width = nv * VL;
  tile->span[strip] = span;
  // Weights of keys that the strip does not see are zeros in the outer products of the keys beside them.
  if (count < block->count)
    for (int side = 0; side < 2; side++) {
      const ptrdiff_t from = side ? span.last : 0, to = side ? block->count : span.first;
      memset(p + from * width, 0, sizeof(float) * (size_t)((to - from) * width));
      memset(ds + from * width, 0, sizeof(float) * (size_t)((to - from) * width));
    }
  if (count == 0) return;
  const float *const *keys = block->keys + span.first, *const *values = block->values + span.first;
  float *weights = p + (ptrdiff_t)span.first * width, *slopes = ds + (ptrdiff_t)span.first * width;
  KERNEL(strip_scores)(mr, nv, weights, keys, count, head, tile->qt + dk);
  const int32_t *key = block->key + span.first, *position = tile->position + lane0;
  const int live = tile->rows - lane0 < width ? tile->rows - lane0 : width;
  if (head->bias) KERNEL(add_bias)(nv, weights, key, count, head->bias, position, live);
  KERNEL(scores_nv)(
      mr, nv, slopes, values, count, head->value_dim, tile->gt + (ptrdiff_t)lane0 * ROUND_UP(head->value_dim, VL));
  const float *lse = tile->lse + lane0, *delta = tile->delta + lane0;
  if (head->softcap != 0) {
    KERNEL(cap_slopes)(nv, weights, slopes, count, head->softcap, delta);
    delta = KERNEL(no_delta);
  }
  if (masked) {
    KERNEL(mask_block)(nv, p, block, span, tile->position, lane0, 0);
    KERNEL(slopes_nv)(nv, weights, slopes, count, lse, delta, 1);
  } else {
    KERNEL(slopes_nv)(nv, weights, slopes, count, lse, delta, 0);
  }
  if (head->bias)
    KERNEL(sum_slopes)(
        nv, slopes, key, count, head->bucket, position, live, tile->sums + (ptrdiff_t)lane0 * head->sums);
  if (head->energy) {
    float *target[ATTN_BLOCK];
    for (int t = 0; t < count; t++)
      target[t] = attn_gradient_row(tile->gradient.key_gradient, block->key[span.first + t], head->head_dim);
    KERNEL(energy_slopes)(
        nv, slopes, keys, count, head->head_dim, tile->qt + dk, head->energy, tile->dqt + dk, tile->dwt + dk, target);
    return;
  }
  KERNEL(weighted_nv)(mr, nv, tile->dqt + dk, head->head_dim, keys, count, slopes);
}

void KERNEL(backward_flush)(void *scratch) {
  backward_tile *tile = scratch;
  attn_block *block = &tile->block;
  if (block->count == 0) return;
  const int masked = attn_block_masked(block);
  for (int strip = 0; strip < tile->strips; strip++) {
    switch (tile->nv) {
    case 1: KERNEL(backward_strip)(MR1, 1, tile, strip, masked); break;
    case 2: KERNEL(backward_strip)(MR2, 2, tile, strip, masked); break;
#if NV_MAX >= 4
    case 3: KERNEL(backward_strip)(MR3, 3, tile, strip, masked); break;
    default: KERNEL(backward_strip)(MR4, 4, tile, strip, masked); break;
#endif
    }
  }
  float *target[ATTN_BLOCK];
  const int dk = tile->head.head_dim, dv = tile->head.value_dim;
  for (int t = 0; t < block->count; t++)
    target[t] = attn_gradient_row(tile->gradient.value_gradient, block->key[t], dv);
  KERNEL(outer)(target, block->count, tile->p, tile, tile->g_rows, dv);
  for (int t = 0; t < block->count && !tile->head.energy; t++)
    target[t] = attn_gradient_row(tile->gradient.key_gradient, block->key[t], dk);
  if (!tile->head.energy) KERNEL(outer)(target, block->count, tile->ds, tile, tile->q_rows, dk);
  block->count = block->pieces = 0;
}

void KERNEL(backward_run)(void *scratch, const attn_run *run) {
  backward_tile *tile = scratch;
  for (int32_t t = 0; t < run->keys.count;) {
    t = attn_block_fill(&tile->block, &tile->head, run, t);
    if (tile->block.count == tile->block.capacity) KERNEL(backward_flush)(tile);
  }
}

/// Writes, or with `adds` adds, factor·source [strip][dim][lane] to the tile's rows.
INLINE void KERNEL(end_rows)(
    const backward_tile *tile, const float *source, float factor, float *target, int64_t target_stride, int32_t in_place,
    int32_t adds) {
  const int dim = tile->head.head_dim, padded = ROUND_UP(dim, VL), width = tile->nv * VL;
  for (int lane = 0; lane < tile->lanes; lane += VL) {
    const float *strip = source + (ptrdiff_t)(lane / width) * width * padded + lane % width;
    const int live = tile->rows - lane < VL ? tile->rows - lane : VL;
    for (int d = 0; d < dim; d += VL) {
      vf x[VL];
      const int part = dim - d < VL ? dim - d : VL;
      UNROLL for (int i = 0; i < VL; i++) x[i] = load(strip + (ptrdiff_t)(d + i) * width) * factor;
      transpose(x);
      for (int i = 0; i < live; i++) {
        float *p = target + (ptrdiff_t)(in_place ? tile->row[lane + i] : lane + i) * target_stride + d;
        if (adds) x[i] += part == VL ? load(p) : load_part(p, part);
        if (part == VL) store(p, x[i]);
        else store_part(p, x[i], part);
      }
    }
  }
}

/// Writes, or with `adds` adds, the sums of the tile's rows.
INLINE void KERNEL(end_sums)(
    const backward_tile *tile, float *target, int64_t target_stride, int32_t in_place, int32_t adds) {
  const int width = tile->nv * VL, sums = tile->head.sums;
  for (int i = 0; i < tile->rows; i++) {
    const float *source = tile->sums + (ptrdiff_t)(i / width) * width * sums + i % width;
    float *p = target + (ptrdiff_t)(in_place ? tile->row[i] : i) * target_stride;
    for (int k = 0; k < sums; k++) p[k] = source[(ptrdiff_t)k * width] + (adds ? p[k] : 0);
  }
}

void KERNEL(backward_end)(void *scratch, float *target, int64_t target_stride, int32_t in_place, int32_t adds) {
  backward_tile *tile = scratch;
  KERNEL(backward_flush)(tile);
  KERNEL(end_rows)(tile, tile->dqt, tile->head.scale, target, target_stride, in_place, adds);
  if (tile->head.energy)
    KERNEL(end_rows)(tile, tile->dwt, 1, target + tile->head.head_dim, target_stride, in_place, adds);
  if (tile->head.sums)
    KERNEL(end_sums)(
        tile, target + tile->head.head_dim * (tile->head.energy ? 2 : 1), target_stride, in_place, adds);
}

void KERNEL(add)(float *target, const float *source, int64_t count) {
  int64_t i = 0;
  for (; i + VL <= count; i += VL) store(target + i, load(target + i) + load(source + i));
  for (; i < count; i++) target[i] += source[i];
}
