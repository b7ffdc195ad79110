// Register tiles: C[i][v] += Σ_k A(i, k) · B[k][v]; A is broadcast, B and C are rows of NV vectors.
// A is read in place, through row pointers, so keys and values need no packing, whatever their stride or order.

/// A(i, k) = rows[i][k]: scores (rows of K, B = Qᵀ) and gradients of K and V (rows of Pᵀ, B = rows of Q or dO).
INLINE void KERNEL(tile_across)(
    const int mr, const int nv, vf *restrict c, const float *const *rows, int depth, const float *b,
    ptrdiff_t b_stride) {
  const float *a[MR_MAX];
  UNROLL for (int i = 0; i < mr; i++) a[i] = rows[i];
#pragma clang loop unroll_count(2)
  for (int k = 0; k < depth; k++, b += b_stride) {
    vf operand[NV_MAX];
    UNROLL for (int v = 0; v < nv; v++) operand[v] = load(b + v * VL);
    UNROLL for (int i = 0; i < mr; i++) {
      vf x = splat(a[i][k]);
      UNROLL for (int v = 0; v < nv; v++) c[i * nv + v] = vfma(x, operand[v], c[i * nv + v]);
    }
  }
}

/// A(i, k) = a[i·width + k]: gradients of K and V (a strip of Pᵀ or dSᵀ, B = rows of dO or Q).
INLINE void KERNEL(tile_packed)(
    const int mr, const int nv, const int width, vf *restrict c, const float *a, int depth, const float *b,
    ptrdiff_t b_stride) {
#pragma clang loop unroll_count(2)
  for (int k = 0; k < depth; k++, b += b_stride) {
    vf operand[NV_MAX];
    UNROLL for (int v = 0; v < nv; v++) operand[v] = load(b + v * VL);
    UNROLL for (int i = 0; i < mr; i++) {
      vf x = splat(a[i * width + k]);
      UNROLL for (int v = 0; v < nv; v++) c[i * nv + v] = vfma(x, operand[v], c[i * nv + v]);
    }
  }
}

/// A(i, k) = rows[k][first + i]: weighted values (rows of V, B = Pᵀ) and the gradient of Q (rows of K, B = dSᵀ).
INLINE void KERNEL(tile_down)(
    const int mr, const int nv, vf *restrict c, const float *const *rows, ptrdiff_t first, int depth, const float *b,
    ptrdiff_t b_stride) {
#pragma clang loop unroll_count(2)
  for (int k = 0; k < depth; k++, b += b_stride) {
    const float *a = rows[k] + first;
    vf operand[NV_MAX];
    UNROLL for (int v = 0; v < nv; v++) operand[v] = load(b + v * VL);
    UNROLL for (int i = 0; i < mr; i++) {
      vf x = splat(a[i]);
      UNROLL for (int v = 0; v < nv; v++) c[i * nv + v] = vfma(x, operand[v], c[i * nv + v]);
    }
  }
}

/// out[i] = Σ_k rows[i][k] · b[k], `count` rows of nv vectors, `out_stride` floats apart.
INLINE void KERNEL(scores_nv)(
    const int mr, const int nv, float *out, const float *const *rows, int count, int depth, const float *b) {
  int i = 0;
  for (; i + mr <= count; i += mr) {
    vf c[32];
    UNROLL for (int t = 0; t < mr * nv; t++) c[t] = (vf)0.0f;
    KERNEL(tile_across)(mr, nv, c, rows + i, depth, b, nv * VL);
    UNROLL for (int t = 0; t < mr * nv; t++) store(out + (ptrdiff_t)i * nv * VL + t * VL, c[t]);
  }
  if (mr > 4) for (; i + 4 <= count; i += 4) {
    vf c[4 * NV_MAX];
    UNROLL for (int t = 0; t < 4 * nv; t++) c[t] = (vf)0.0f;
    KERNEL(tile_across)(4, nv, c, rows + i, depth, b, nv * VL);
    UNROLL for (int t = 0; t < 4 * nv; t++) store(out + (ptrdiff_t)i * nv * VL + t * VL, c[t]);
  }
  for (; i + 2 <= count; i += 2) {
    vf c[2 * NV_MAX];
    UNROLL for (int t = 0; t < 2 * nv; t++) c[t] = (vf)0.0f;
    KERNEL(tile_across)(2, nv, c, rows + i, depth, b, nv * VL);
    UNROLL for (int t = 0; t < 2 * nv; t++) store(out + (ptrdiff_t)i * nv * VL + t * VL, c[t]);
  }
  for (; i < count; i++) {
    vf c[NV_MAX];
    UNROLL for (int t = 0; t < nv; t++) c[t] = (vf)0.0f;
    KERNEL(tile_across)(1, nv, c, rows + i, depth, b, nv * VL);
    UNROLL for (int t = 0; t < nv; t++) store(out + (ptrdiff_t)i * nv * VL + t * VL, c[t]);
  }
}

/// out[i] += Σ_k rows[k][i] · b[k], i < count. Sums start at zero and are added once: that halves the rounding error
/// of long sums against accumulating in place.
INLINE void KERNEL(weighted_nv)(
    const int mr, const int nv, float *out, int count, const float *const *rows, int depth, const float *b) {
  int i = 0;
  for (; i + mr <= count; i += mr) {
    vf c[32];
    UNROLL for (int t = 0; t < mr * nv; t++) c[t] = (vf)0.0f;
    KERNEL(tile_down)(mr, nv, c, rows, i, depth, b, nv * VL);
    float *o = out + (ptrdiff_t)i * nv * VL;
    UNROLL for (int t = 0; t < mr * nv; t++) store(o + t * VL, load(o + t * VL) + c[t]);
  }
  if (mr > 4) for (; i + 4 <= count; i += 4) {
    vf c[4 * NV_MAX];
    UNROLL for (int t = 0; t < 4 * nv; t++) c[t] = (vf)0.0f;
    KERNEL(tile_down)(4, nv, c, rows, i, depth, b, nv * VL);
    float *o = out + (ptrdiff_t)i * nv * VL;
    UNROLL for (int t = 0; t < 4 * nv; t++) store(o + t * VL, load(o + t * VL) + c[t]);
  }
  for (; i + 2 <= count; i += 2) {
    vf c[2 * NV_MAX];
    UNROLL for (int t = 0; t < 2 * nv; t++) c[t] = (vf)0.0f;
    KERNEL(tile_down)(2, nv, c, rows, i, depth, b, nv * VL);
    float *o = out + (ptrdiff_t)i * nv * VL;
    UNROLL for (int t = 0; t < 2 * nv; t++) store(o + t * VL, load(o + t * VL) + c[t]);
  }
  for (; i < count; i++) {
    vf c[NV_MAX];
    UNROLL for (int t = 0; t < nv; t++) c[t] = (vf)0.0f;
    KERNEL(tile_down)(1, nv, c, rows, i, depth, b, nv * VL);
    float *o = out + (ptrdiff_t)i * nv * VL;
    UNROLL for (int t = 0; t < nv; t++) store(o + t * VL, load(o + t * VL) + c[t]);
  }
}
