// The decode (GEMV) path: tiles of up to ATTN_GEMV_ROWS rows that are not gathered (decoding, single rows that see all keys).
// Lanes run along the head dimension instead, so that a row costs what it is and the pass is bound by reading K and V once.
// Q is [row][dim], O is [row][dim], both padded.
// Runs of keys without a mask are read where they lie, GEMV_KEYS at a time and without a list of pointers; `half`: in bfloat16,
// up-converted in registers.

/// Keys of a run that are computed at once.
#define GEMV_KEYS 512
_Static_assert(ATTN_GEMV_ROWS * GEMV_KEYS <= ATTN_LANES * ATTN_BLOCK, "scores of all rows fit the tile's scratch");
/// Keys whose values stay in the first-level cache while several rows use them.
#define GEMV_VALUES 16
/// The fewest keys of a run that are asked for ahead: a shorter run, a window's, stays in the caches from token to token.
#define GEMV_FAR (4 * GEMV_KEYS)

/// Rows of keys or values: `stride` bytes apart, or where `rows` points when a call says that they are not direct.
typedef struct {
  const char *base;
  ptrdiff_t stride;
  const void *const *rows;
} KERNEL(gemv_source);
#define gemv_source KERNEL(gemv_source)

INLINE const void *KERNEL(gemv_row)(const int direct, const gemv_source *source, int t) {
  return direct ? source->base + t * source->stride : source->rows[t];
}

/// Asks for `dim` elements `ahead` bytes behind a place, for the second-level cache; 0: for nothing. Four rows and more compute so long
/// with a key that the processor asks for too little of its own accord. A request beyond the last row does no harm.
INLINE void KERNEL(gemv_ahead)(const int half, const void *place, ptrdiff_t ahead, int dim) {
  if (ahead == 0) return;
  const char *at = (const char *)place + ahead;
  for (int b = 0; b < dim * (half ? 2 : 4); b += 64) __builtin_prefetch(at + b, 0, 2);
}

/// VL elements of a row from its d-th on, or its last `part`.
INLINE vf KERNEL(gemv_load)(const int half, const void *row, int d) {
  return half ? KERNEL(upconvert)(*(const vh *)((const uint16_t *)row + d)) : load((const float *)row + d);
}
INLINE vf KERNEL(gemv_load_part)(const int half, const void *row, int d, int part) {
  return half ? KERNEL(upconvert)(KERNEL(load16_part)((const uint16_t *)row + d, part))
              : load_part((const float *)row + d, part);
}

#if VL == 16
#define EVEN_4 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27
#define ODD_4 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31
#endif
#define PAIR(a, b, FIRST, SECOND) (__builtin_shufflevector(a, b, FIRST) + __builtin_shufflevector(a, b, SECOND))

/// Σ of every vector's lanes: x[i] → lane i. VL vectors in, one out; three instructions a sum.
INLINE vf KERNEL(sum_each)(vf *x) {
  UNROLL for (int i = 0; i < VL / 2; i++) x[i] = PAIR(x[2 * i], x[2 * i + 1], LOW_1, HIGH_1);
  UNROLL for (int i = 0; i < VL / 4; i++) x[i] = PAIR(x[2 * i], x[2 * i + 1], LOW_2, HIGH_2);
#if VL == 8
  x[0] = PAIR(x[0], x[1], LOW_4, HIGH_4);
#elif VL == 16
  UNROLL for (int i = 0; i < 2; i++) x[i] = PAIR(x[2 * i], x[2 * i + 1], LOW_8, HIGH_8);
  x[0] = PAIR(x[0], x[1], EVEN_4, ODD_4);
#endif
  return x[0];
}

/// Σ of every x[row·keys + key]'s lanes to s[row·s_stride + key], VL sums in all; NaN where a sum is not finite.
INLINE void KERNEL(gemv_sums)(const int nr, float *s, int s_stride, vf *x) {
  const int keys = VL / nr;
  const vf scores = KERNEL(finite_or_nan)(KERNEL(sum_each)(x));
  if (nr == 1) {
    store(s, scores);
    return;
  }
  float each[VL];
  store(each, scores);
  UNROLL for (int r = 0; r < nr; r++) memcpy(s + r * s_stride, each + r * keys, sizeof(float) * (size_t)keys);
}

/// Scores of nr rows against VL/nr keys from the t-th on: s[row·s_stride + key]. Keys beyond the last repeat it. Key by
/// key: memory is read in order; in any other order it comes at half the rate. Keys `ahead` bytes further are asked for.
INLINE void KERNEL(gemv_stream)(
    const int half, const int direct, const int nr, float *s, int s_stride, const float *q, int q_stride,
    const gemv_source *source, int t, int count, int head_dim, ptrdiff_t ahead) {
  const int keys = VL / nr, whole = head_dim / VL * VL, part = head_dim - whole, chains = nr == 1 ? 2 : 1;
  vf x[VL];
  UNROLL for (int i = 0; i < keys; i++) {
    const void *k = KERNEL(gemv_row)(direct, source, t + i < count ? t + i : count - 1);
    if (direct && nr == 4) KERNEL(gemv_ahead)(half, k, ahead, head_dim);
    vf sum[4];
    UNROLL for (int r = 0; r < nr * chains; r++) sum[r] = (vf)0.0f;
    int d = 0;
    for (; d + chains * VL <= whole; d += chains * VL)
      UNROLL for (int chain = 0; chain < chains; chain++) {
        const vf key = KERNEL(gemv_load)(half, k, d + chain * VL);
        UNROLL for (int r = 0; r < nr; r++)
          sum[r * chains + chain] = vfma(key, load(q + r * q_stride + d + chain * VL), sum[r * chains + chain]);
      }
    if (d < whole) {
      const vf key = KERNEL(gemv_load)(half, k, d);
      UNROLL for (int r = 0; r < nr; r++) sum[r * chains] = vfma(key, load(q + r * q_stride + d), sum[r * chains]);
    }
    if (part) {
      const vf key = KERNEL(gemv_load_part)(half, k, whole, part);
      UNROLL for (int r = 0; r < nr; r++)
        sum[r * chains] = vfma(key, load(q + r * q_stride + whole), sum[r * chains]);
    }
    UNROLL for (int r = 0; r < nr; r++) x[r * keys + i] = chains == 2 ? sum[2 * r] + sum[2 * r + 1] : sum[r];
  }
  KERNEL(gemv_sums)(nr, s + t, s_stride, x);
}

/// The same for keys in the first-level cache: a vector of one key after the other, which needs fewer loads.
INLINE void KERNEL(gemv_dots)(
    const int half, const int direct, const int nr, float *s, int s_stride, const float *q, int q_stride,
    const gemv_source *source, int t, int count, int head_dim) {
  const int keys = VL / nr, whole = head_dim / VL * VL, part = head_dim - whole;
  vf x[VL];
  const void *k[VL];
  UNROLL for (int i = 0; i < keys; i++)
    k[i] = KERNEL(gemv_row)(direct, source, t + i < count ? t + i : count - 1);
  UNROLL for (int i = 0; i < VL; i++) x[i] = (vf)0.0f;
  for (int d = 0; d < whole; d += VL) {
    vf row[4];
    UNROLL for (int r = 0; r < nr; r++) row[r] = load(q + r * q_stride + d);
    UNROLL for (int i = 0; i < keys; i++) {
      const vf key = KERNEL(gemv_load)(half, k[i], d);
      UNROLL for (int r = 0; r < nr; r++) x[r * keys + i] = vfma(key, row[r], x[r * keys + i]);
    }
  }
  if (part)
    UNROLL for (int i = 0; i < keys; i++) {
      const vf key = KERNEL(gemv_load_part)(half, k[i], whole, part);
      UNROLL for (int r = 0; r < nr; r++) x[r * keys + i] = vfma(key, load(q + r * q_stride + whole), x[r * keys + i]);
    }
  KERNEL(gemv_sums)(nr, s + t, s_stride, x);
}

/// Scores of all rows, a few keys at a time, which stay in the first-level cache from row to row: the first rows read
/// them in the order of memory, and ask for those `ahead` bytes further.
INLINE void KERNEL(gemv_scores)(
    const int half, const int direct, float *s, int s_stride, const float *q, int rows, const gemv_source *keys,
    int count, const int head_dim, ptrdiff_t ahead) {
  const int stride = ROUND_UP(head_dim, VL);
  for (int t = 0; t < count; t += VL) {
    int row = rows >= 4 ? 4 : rows >= 2 ? 2 : 1;
    if (row == 4)
      UNROLL for (int part = 0; part < VL; part += VL / 4)
        KERNEL(gemv_stream)(half, direct, 4, s, s_stride, q, stride, keys, t + part, count, head_dim, ahead);
    else if (row == 2)
      UNROLL for (int part = 0; part < VL; part += VL / 2)
        KERNEL(gemv_stream)(half, direct, 2, s, s_stride, q, stride, keys, t + part, count, head_dim, 0);
    else
      KERNEL(gemv_stream)(half, direct, 1, s, s_stride, q, stride, keys, t, count, head_dim, 0);
    for (; row + 2 <= rows; row += 2)
      UNROLL for (int part = 0; part < VL; part += VL / 2)
        KERNEL(gemv_dots)(
            half, direct, 2, s + row * s_stride, s_stride, q + row * stride, stride, keys, t + part, count, head_dim);
    if (row < rows)
      KERNEL(gemv_stream)(
          half, direct, 1, s + row * s_stride, s_stride, q + row * stride, stride, keys, t, count, head_dim, 0);
  }
}

/// Masked pairs of one row to −∞.
INLINE void KERNEL(gemv_mask)(float *s, const attn_block *block, int lane, int32_t position) {
  for (int i = 0; i < block->pieces; i++) {
    const attn_piece *piece = &block->piece[i];
    if (piece->mask == ATTN_FULL) continue;
    for (int t = piece->first; t < piece->last; t++) {
      const int32_t distance = position - block->key[t];
      const int allowed = piece->mask == ATTN_BITS   ? (int)(block->word[t] >> lane & 1)
                          : piece->mask == ATTN_BAND ? distance >= piece->low && distance <= piece->high
                                                     : distance != 0;
      if (!allowed) s[t] = MASKED;
    }
  }
}

/// Scores → weights of one row; updates its reference and sum and scales its output.
INLINE void KERNEL(gemv_softmax)(float *s, int count, float *m, float *l, float *o, int value_dim) {
  const int padded = ROUND_UP(count, VL);
  for (int t = count; t < padded; t++) s[t] = MASKED;
  vf top = load(s);
  for (int t = VL; t < padded; t += VL) top = vmax(load(s + t), top);
  float high = top[0];
  for (int i = 1; i < VL; i++) high = top[i] > high ? top[i] : high;
  if (high > *m + SLACK) {
    const float raised = ceilf(high);
    const float factor = exp2f(*m - raised);
    *m = raised;
    *l *= factor;
    for (int d = 0; d < value_dim; d += VL) store(o + d, factor == 0 ? splat(0.0f) : load(o + d) * factor);
  }
  const float base = *m == NO_REFERENCE ? 0 : *m;
  vf sum = (vf)0.0f;
  for (int t = 0; t < padded; t += VL) {
    vf x = load(s + t);
    vf p = KERNEL(weight)(x, splat(base));
    p = x == MASKED ? splat(0.0f) : p;
    sum += p;
    store(s + t, p);
  }
  float total = 0;
  for (int i = 0; i < VL; i++) total += sum[i];
  *l += total;
}

/// o[row][d ..] += Σ_t p[row][t] · V[t][d ..] for nr rows and nv vectors of columns; `chains` sums a column, for neighbours
/// in time, hide the latency where rows and columns are few. Values `ahead` bytes further are asked for.
INLINE void KERNEL(gemv_columns)(
    const int half, const int direct, const int nr, const int nv, const int chains, float *o, int o_stride,
    const float *p, int p_stride, const gemv_source *values, int first, int last, int d, ptrdiff_t ahead) {
  vf c[16];
  const int sums = nr * nv;
  UNROLL for (int i = 0; i < sums * chains; i++) c[i] = (vf)0.0f;
  int t = first;
  for (; t + chains <= last; t += chains)
    UNROLL for (int chain = 0; chain < chains; chain++) {
      const void *row = KERNEL(gemv_row)(direct, values, t + chain);
      if (direct) KERNEL(gemv_ahead)(half, (const char *)row + d * (half ? 2 : 4), ahead, nv * VL);
      vf x[8];
      UNROLL for (int v = 0; v < nv; v++) x[v] = KERNEL(gemv_load)(half, row, d + v * VL);
      UNROLL for (int r = 0; r < nr; r++) {
        const vf weight = splat(p[r * p_stride + t + chain]);
        UNROLL for (int v = 0; v < nv; v++) {
          const int at = chain * sums + r * nv + v;
          c[at] = vfma(weight, x[v], c[at]);
        }
      }
    }
  for (; t < last; t++) {
    const void *row = KERNEL(gemv_row)(direct, values, t);
    UNROLL for (int r = 0; r < nr; r++)
      UNROLL for (int v = 0; v < nv; v++)
        c[r * nv + v] = vfma(splat(p[r * p_stride + t]), KERNEL(gemv_load)(half, row, d + v * VL), c[r * nv + v]);
  }
  UNROLL for (int chain = 1; chain < chains; chain++) UNROLL for (int i = 0; i < sums; i++) c[i] += c[chain * sums + i];
  UNROLL for (int r = 0; r < nr; r++)
    UNROLL for (int v = 0; v < nv; v++) {
      float *at = o + r * o_stride + d + v * VL;
      store(at, load(at) + c[r * nv + v]);
    }
}

/// The weighted values of nr rows, which ask for those `ahead` bytes further.
INLINE void KERNEL(gemv_values)(
    const int half, const int direct, const int nr, float *o, const float *p, int p_stride,
    const gemv_source *values, int first, int last, int value_dim, ptrdiff_t ahead) {
  const int whole = value_dim / VL * VL, stride = ROUND_UP(value_dim, VL);
  int d = 0;
  if (nr == 1)
    for (; d + 8 * VL <= whole; d += 8 * VL)
      KERNEL(gemv_columns)(half, direct, nr, 8, 1, o, stride, p, p_stride, values, first, last, d, ahead);
  for (; d + 4 * VL <= whole; d += 4 * VL)
    KERNEL(gemv_columns)(
        half, direct, nr, 4, nr == 1 ? 2 : 1, o, stride, p, p_stride, values, first, last, d, ahead);
  for (; d + VL <= whole; d += VL)
    KERNEL(gemv_columns)(half, direct, nr, 1, nr == 1 ? 4 : 2, o, stride, p, p_stride, values, first, last, d, ahead);
  if (d == value_dim) return;
  UNROLL for (int r = 0; r < nr; r++) {
    vf c = (vf)0.0f;
    for (int t = first; t < last; t++)
      c = vfma(
          splat(p[r * p_stride + t]),
          KERNEL(gemv_load_part)(half, KERNEL(gemv_row)(direct, values, t), d, value_dim - d), c);
    store(o + r * stride + d, load(o + r * stride + d) + c);
  }
}

/// Adds `count` keys to all rows of the tile; keys and values so many rows `ahead` are asked for meanwhile.
INLINE void KERNEL(gemv_keys)(
    const int half, const int direct, forward_tile *tile, const gemv_source *keys, const gemv_source *values,
    int count, int ahead) {
  const attn_head *head = &tile->head;
  const int dv = ROUND_UP(head->value_dim, VL), rows = tile->rows, value_dim = head->value_dim;
  const int s_stride = direct ? GEMV_KEYS : ATTN_BLOCK;
  const int masked = !direct && attn_block_masked(&tile->block);
  const ptrdiff_t far_key = ahead * keys->stride;
  float *s = tile->s;
  // Head sizes that are constants leave a row of q in registers.
  if (direct && head->head_dim == 64)
    KERNEL(gemv_scores)(half, direct, s, s_stride, tile->qt, rows, keys, count, 64, far_key);
  else if (direct && head->head_dim == 128)
    KERNEL(gemv_scores)(half, direct, s, s_stride, tile->qt, rows, keys, count, 128, far_key);
  else KERNEL(gemv_scores)(half, direct, s, s_stride, tile->qt, rows, keys, count, head->head_dim, far_key);
  for (int row = 0; row < rows; row++) {
    float *x = s + row * s_stride;
    KERNEL(soft_cap)(x, (count + VL - 1) / VL, head->softcap);
    if (masked) KERNEL(gemv_mask)(x, &tile->block, row, tile->position[row]);
    KERNEL(gemv_softmax)(x, count, tile->m + row, tile->l + row, tile->ot + row * dv, value_dim);
  }
  const int step = rows > 2 ? GEMV_VALUES : count;
  for (int first = 0; first < count; first += step) {
    const int last = count - first < step ? count : first + step;
    // The first to come reads the values in the order of memory: four rows of four vectors, or a row alone. It asks for what is far.
    ptrdiff_t far = ahead * values->stride;
    int row = ISA_REGISTERS < 32 || value_dim > 4 * VL;
    if (row == 1) {
      KERNEL(gemv_values)(half, direct, 1, tile->ot, s, s_stride, values, first, last, value_dim, far);
      far = 0;
    }
#if ISA_REGISTERS >= 32
    for (; row + 4 <= rows; row += 4, far = 0)
      KERNEL(gemv_values)(
          half, direct, 4, tile->ot + row * dv, s + row * s_stride, s_stride, values, first, last, value_dim, far);
#endif
    for (; row + 2 <= rows; row += 2, far = 0)
      KERNEL(gemv_values)(
          half, direct, 2, tile->ot + row * dv, s + row * s_stride, s_stride, values, first, last, value_dim, far);
    if (row < rows)
      KERNEL(gemv_values)(
          half, direct, 1, tile->ot + row * dv, s + row * s_stride, s_stride, values, first, last, value_dim, 0);
  }
}

static __attribute__((noinline)) void KERNEL(gemv_flush)(forward_tile *tile) {
  const gemv_source keys = {.rows = (const void *const *)tile->block.keys};
  const gemv_source values = {.rows = (const void *const *)tile->block.values};
  KERNEL(gemv_keys)(0, 0, tile, &keys, &values, tile->block.count, 0);
}

/// Whether a run needs no list of pointers: every pair counts, and its rows are equally far apart.
INLINE int KERNEL(gemv_direct)(const forward_tile *tile, const attn_run *run) {
  return tile->gemv && run->mask == ATTN_FULL && run->keys.index == NULL;
}

/// Adds such a run of keys and values from row 0 of the head on; strides in bytes.
INLINE void KERNEL(gemv_run)(
    const int half, forward_tile *tile, const attn_run *run, const void *key, ptrdiff_t key_stride, const void *value,
    ptrdiff_t value_stride) {
  const ptrdiff_t step = run->keys.stride, start = run->keys.start, limit = tile->head.key_limit;
  const ptrdiff_t reach = start < limit ? (limit - start - 1) / step + 1 : 0;
  const ptrdiff_t count = run->keys.count < reach ? run->keys.count : reach;
  const int ahead = tile->rows > 3 && count >= GEMV_FAR ? tile->head.ahead : 0;
  for (ptrdiff_t t = 0; t < count; t += GEMV_KEYS) {
    const ptrdiff_t first = start + t * step;
    const gemv_source keys = {.base = (const char *)key + first * key_stride, .stride = step * key_stride};
    const gemv_source values = {.base = (const char *)value + first * value_stride, .stride = step * value_stride};
    KERNEL(gemv_keys)(half, 1, tile, &keys, &values, (int)(count - t < GEMV_KEYS ? count - t : GEMV_KEYS), ahead);
  }
}

static __attribute__((noinline)) void KERNEL(gemv_run32)(forward_tile *tile, const attn_run *run) {
  const attn_head *head = &tile->head;
  KERNEL(gemv_run)(
      0, tile, run, head->key, head->key_stride * (ptrdiff_t)sizeof(float), head->value,
      head->value_stride * (ptrdiff_t)sizeof(float));
}
