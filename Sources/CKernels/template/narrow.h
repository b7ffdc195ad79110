// Tiles of up to ATTN_NARROW rows (decoding, single global rows): lanes run along the head dimension instead, so that a
// row costs what it is and the pass is bound by reading K and V once. Q is [row][dim], O is [row][dim], both padded.

/// Σ of every vector's lanes: x[i] → lane i. VL vectors in, one out.
INLINE vf KERNEL(sum_each)(vf *x) {
  transpose(x);
  UNROLL for (int step = VL / 2; step >= 1; step /= 2)
    UNROLL for (int i = 0; i < step; i++) x[i] += x[i + step];
  return x[0];
}

/// Scores of one row against `count` keys. The first row to read a block also asks for the values of the same keys.
INLINE void KERNEL(narrow_scores)(
    float *s, const float *q, const attn_block *block, int head_dim, int value_dim, const int fetch) {
  const int count = block->count, whole = head_dim / VL * VL, part = head_dim - whole;
  for (int t = 0; t < count; t += VL) {
    vf x[VL];
    UNROLL for (int i = 0; i < VL; i++) {
      const int at = t + i < count ? t + i : count - 1;
      const float *k = block->keys[at];
      if (fetch) for (int d = 0; d < value_dim; d += 16) __builtin_prefetch(block->values[at] + d, 0, 3);
      vf a = (vf)0.0f, b = (vf)0.0f;
      int d = 0;
      for (; d + 2 * VL <= whole; d += 2 * VL) {
        a = vfma(load(k + d), load(q + d), a);
        b = vfma(load(k + d + VL), load(q + d + VL), b);
      }
      if (d < whole) a = vfma(load(k + d), load(q + d), a);
      if (part) b = vfma(load_part(k + whole, part), load(q + whole), b);
      x[i] = a + b;
    }
    store(s + t, KERNEL(sum_each)(x));
  }
}

/// Masked pairs of one row to −∞.
INLINE void KERNEL(narrow_mask)(float *s, const attn_block *block, int lane, int32_t position) {
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
INLINE void KERNEL(narrow_softmax)(float *s, int count, float *m, float *l, float *o, int value_dim) {
  const int padded = ROUND_UP(count, VL);
  for (int t = count; t < padded; t++) s[t] = MASKED;
  vf top = load(s);
  for (int t = VL; t < padded; t += VL) top = vmax(load(s + t), top);
  float high = top[0];
  for (int i = 1; i < VL; i++) high = top[i] > high ? top[i] : high;
  if (high > *m + SLACK) {
    const float raised = ceilf(high);
    const float factor = *m == NO_REFERENCE ? 0 : exp2f(*m - raised);
    *m = raised;
    *l *= factor;
    for (int d = 0; d < value_dim; d += VL) store(o + d, load(o + d) * factor);
  }
  const float base = *m == NO_REFERENCE ? 0 : *m;
  vf sum = (vf)0.0f;
  for (int t = 0; t < padded; t += VL) {
    vf x = load(s + t);
    vf p = KERNEL(exp2_from)(vmax(x - base, splat(FLOOR_EXPONENT)), splat(MAGIC));
    p = x == MASKED ? splat(0.0f) : p;
    sum += p;
    store(s + t, p);
  }
  float total = 0;
  for (int i = 0; i < VL; i++) total += sum[i];
  *l += total;
}

/// o += Σ_t p[t] · V[t], four vectors of columns at a time.
INLINE void KERNEL(narrow_values)(float *o, const float *p, const attn_block *block, int value_dim) {
  const int whole = value_dim / VL * VL;
  int d = 0;
  for (; d + 4 * VL <= whole; d += 4 * VL) {
    vf c[8];
    UNROLL for (int v = 0; v < 8; v++) c[v] = (vf)0.0f;
    int t = 0;
    for (; t + 2 <= block->count; t += 2)
      UNROLL for (int v = 0; v < 8; v++)
        c[v] = vfma(splat(p[t + v / 4]), load(block->values[t + v / 4] + d + v % 4 * VL), c[v]);
    if (t < block->count)
      UNROLL for (int v = 0; v < 4; v++) c[v] = vfma(splat(p[t]), load(block->values[t] + d + v * VL), c[v]);
    UNROLL for (int v = 0; v < 4; v++) store(o + d + v * VL, load(o + d + v * VL) + (c[v] + c[v + 4]));
  }
  for (; d < value_dim; d += VL) {
    const int part = value_dim - d < VL ? value_dim - d : VL;
    vf c = (vf)0.0f;
    for (int t = 0; t < block->count; t++) {
      const float *v = block->values[t] + d;
      c = vfma(splat(p[t]), part == VL ? load(v) : load_part(v, part), c);
    }
    store(o + d, load(o + d) + c);
  }
}

static __attribute__((noinline)) void KERNEL(narrow_flush)(forward_tile *tile) {
  const attn_block *block = &tile->block;
  const attn_head *head = &tile->head;
  const int dk = ROUND_UP(head->head_dim, VL), dv = ROUND_UP(head->value_dim, VL);
  const int masked = attn_block_masked(block);
  for (int row = 0; row < tile->rows; row++) {
    float *s = tile->s;
    if (row == 0)
      KERNEL(narrow_scores)(s, tile->qt, block, head->head_dim, head->value_dim, 1);
    else
      KERNEL(narrow_scores)(s, tile->qt + (ptrdiff_t)row * dk, block, head->head_dim, head->value_dim, 0);
    if (masked) KERNEL(narrow_mask)(s, block, row, tile->position[row]);
    float *o = tile->ot + (ptrdiff_t)row * dv;
    KERNEL(narrow_softmax)(s, block->count, tile->m + row, tile->l + row, o, head->value_dim);
    KERNEL(narrow_values)(o, s, block, head->value_dim);
  }
}
