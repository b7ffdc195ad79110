// Hashing of rows by random rotations: bucket = argmax [xR ; −xR]. Lanes are rows, so the argmax is vertical.
// A product is added without being rounded first, on every instruction set alike: a near tie must not be decided by it.

/// a·b + c with one rounding; where the processor has no such instruction, and for hashing alone, the library's.
INLINE vf KERNEL(fused)(vf a, vf b, vf c) {
#if ISA_FMA
  return vfma(a, b, c);
#else
  UNROLL for (int i = 0; i < VL; i++) c[i] = __builtin_fmaf(a[i], b[i], c[i]);
  return c;
#endif
}

/// c[i][v] = Σ_k rotation[k][i] · x[k][v], mr columns of the rotation, side by side.
INLINE void KERNEL(rotate)(
    const int mr, const int nv, vf *restrict c, const float *rotation, int dim, const float *x) {
  for (int k = 0; k < dim; k++, rotation += mr, x += nv * VL) {
    vf operand[NV_MAX];
    UNROLL for (int v = 0; v < nv; v++) operand[v] = load(x + v * VL);
    UNROLL for (int i = 0; i < mr; i++) {
      vf factor = splat(rotation[i]);
      UNROLL for (int v = 0; v < nv; v++) c[i * nv + v] = KERNEL(fused)(factor, operand[v], c[i * nv + v]);
    }
  }
}

/// Takes mr more columns into the running argmax of x·R and of −x·R.
INLINE void KERNEL(argmax_columns)(
    const int mr, const int nv, const float *rotation, int dim, const float *x, int column, vf *high, vi *high_at,
    vf *low, vi *low_at) {
  vf c[6 * NV_MAX];
  UNROLL for (int t = 0; t < mr * nv; t++) c[t] = (vf)0.0f;
  KERNEL(rotate)(mr, nv, c, rotation, dim, x);
  UNROLL for (int i = 0; i < mr; i++)
    UNROLL for (int v = 0; v < nv; v++) {
      vf p = c[i * nv + v];
      vi above = p > high[v], below = p < low[v];
      high[v] = above ? p : high[v];
      high_at[v] = above ? (vi)(column + i) : high_at[v];
      low[v] = below ? p : low[v];
      low_at[v] = below ? (vi)(column + i) : low_at[v];
    }
}

/// argmax over [p₀ … p_{half−1}, −p₀ … −p_{half−1}], the first of equals, for nv vectors of rows.
INLINE void KERNEL(argmax)(const int nv, const float *rotation, int half, int dim, const float *x, vi *bucket) {
  vf high[NV_MAX], low[NV_MAX];
  vi high_at[NV_MAX], low_at[NV_MAX];
  UNROLL for (int v = 0; v < nv; v++) {
    high[v] = splat(-__builtin_inff());
    low[v] = splat(__builtin_inff());
    high_at[v] = low_at[v] = (vi)0;
  }
  for (int column = 0, mr; column < half; column += mr, rotation += (ptrdiff_t)mr * dim) {
    mr = attn_hash_group(half - column);
    switch (mr) {
    case 6: KERNEL(argmax_columns)(6, nv, rotation, dim, x, column, high, high_at, low, low_at); break;
    case 4: KERNEL(argmax_columns)(4, nv, rotation, dim, x, column, high, high_at, low, low_at); break;
    case 2: KERNEL(argmax_columns)(2, nv, rotation, dim, x, column, high, high_at, low, low_at); break;
    default: KERNEL(argmax_columns)(1, nv, rotation, dim, x, column, high, high_at, low, low_at); break;
    }
  }
  UNROLL for (int v = 0; v < nv; v++) bucket[v] = -low[v] > high[v] ? low_at[v] + half : high_at[v];
}

void KERNEL(hash_rows)(
    const float *rows, int64_t row_stride, int32_t count, int32_t dim, const float *rotations, int32_t hashes,
    int32_t first_half, int32_t second_half, int32_t *bucket, int64_t bucket_stride, float *scratch) {
  const int width = NV_MAX * VL;
  int32_t identity[NV_MAX * VL];
  for (int i = 0; i < width; i++) identity[i] = i;
  for (int first = 0; first < count; first += width) {
    const int lanes = count - first < width ? count - first : width;
    KERNEL(pack)(scratch, rows + first * row_stride, row_stride, identity, lanes, dim, 1.0f, NV_MAX, 1);
    const float *rotation = rotations;
    for (int hash = 0; hash < hashes; hash++) {
      vi index[NV_MAX];
      KERNEL(argmax)(NV_MAX, rotation, first_half, dim, scratch, index);
      rotation += (ptrdiff_t)first_half * dim;
      if (second_half > 0) {
        vi second[NV_MAX];
        KERNEL(argmax)(NV_MAX, rotation, second_half, dim, scratch, second);
        rotation += (ptrdiff_t)second_half * dim;
        UNROLL for (int v = 0; v < NV_MAX; v++) index[v] += 2 * first_half * second[v];
      }
      int32_t result[NV_MAX * VL];
      UNROLL for (int v = 0; v < NV_MAX; v++) *(viu *)(result + v * VL) = index[v];
      memcpy(bucket + hash * bucket_stride + first, result, (size_t)lanes * sizeof(int32_t));
    }
  }
}
