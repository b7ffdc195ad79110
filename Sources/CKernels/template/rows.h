// Products with few rows, as in generation: W is read once, where it is. Packing it would write and read it again.

/// Rows of W whose sums are kept beside those of one row of x: as many as a fused multiply-add needs to hide its latency.
#define FEW_COLUMNS (VL < 8 ? VL : 8)
/// Rows of x that share four rows of W in registers.
#define FEW_ROWS (ISA_REGISTERS >= 32 ? 4 : 3)

/// sums[r][j] = the lanes of Σ_k x[r][k] · w[j][k] for mr rows of x and nr of W.
INLINE void KERNEL(few_tile)(
    const int mr, const int nr, const float *x, ptrdiff_t x_stride, const float *w, ptrdiff_t w_stride, ptrdiff_t depth,
    vf sums[FEW_ROWS][VL]) {
  vf c[16];
  ptrdiff_t k = 0;
  UNROLL for (int t = 0; t < mr * nr; t++) c[t] = splat(0);
  for (; k + VL <= depth; k += VL) {
    vf a[FEW_ROWS];
    UNROLL for (int r = 0; r < mr; r++) a[r] = load(x + r * x_stride + k);
    UNROLL for (int j = 0; j < nr; j++) {
      const vf b = load(w + j * w_stride + k);
      UNROLL for (int r = 0; r < mr; r++) c[r * nr + j] = vfma(a[r], b, c[r * nr + j]);
    }
  }
  if (k < depth) {
    const int rest = (int)(depth - k);
    UNROLL for (int j = 0; j < nr; j++) {
      const vf b = load_part(w + j * w_stride + k, rest);
      UNROLL for (int r = 0; r < mr; r++) c[r * nr + j] = vfma(load_part(x + r * x_stride + k, rest), b, c[r * nr + j]);
    }
  }
  UNROLL for (int r = 0; r < mr; r++)
    UNROLL for (int j = 0; j < nr; j++) sums[r][j] = c[r * nr + j];
}

/// VL columns of y for mr rows: nr rows of W at a time, those beyond `used` left out; then lanes to sums by a transpose.
INLINE void KERNEL(few_columns)(
    const int mr, const int nr, const float *x, ptrdiff_t x_stride, const float *w, ptrdiff_t w_stride, ptrdiff_t depth,
    float *y, ptrdiff_t y_stride, int used, const float *add, const float *bias) {
  vf sums[FEW_ROWS][VL];
  int j = 0;
  for (; j + nr <= used; j += nr)
    KERNEL(few_tile)(mr, nr, x, x_stride, w + j * w_stride, w_stride, depth, (vf(*)[VL])&sums[0][j]);
  for (; j < used; j++) KERNEL(few_tile)(mr, 1, x, x_stride, w + j * w_stride, w_stride, depth, (vf(*)[VL])&sums[0][j]);
  for (; j < VL; j++)
    for (int r = 0; r < mr; r++) sums[r][j] = splat(0);
  for (int r = 0; r < mr; r++) {
    vf *lane = sums[r];
    transpose(lane);
    UNROLL for (int half = VL / 2; half > 0; half /= 2)
      UNROLL for (int i = 0; i < half; i++) lane[i] += lane[i + half];
    float *target = y + r * y_stride;
    vf value = lane[0];
    if (used == VL) {
      if (bias) value += load(bias);
      if (add) value += load(add + r * y_stride);
      store(target, value);
    } else {
      if (bias) value += load_part(bias, used);
      if (add) value += load_part(add + r * y_stride, used);
      store_part(target, value, used);
    }
  }
}

void KERNEL(gemm_few)(
    const float *x, ptrdiff_t x_stride, const float *w, ptrdiff_t w_stride, float *y, ptrdiff_t y_stride, ptrdiff_t rows,
    ptrdiff_t columns, ptrdiff_t depth, const float *add, const float *bias) {
  for (ptrdiff_t j = 0; j < columns; j += VL, w += VL * w_stride) {
    const int used = columns - j < VL ? (int)(columns - j) : VL;
    ptrdiff_t r = 0;
#define FEW(mr, nr)                                                                                                   \
  KERNEL(few_columns)(                                                                                                \
      mr, nr, x + r * x_stride, x_stride, w, w_stride, depth, y + r * y_stride + j, y_stride, used,                    \
      add ? add + r * y_stride + j : NULL, bias ? bias + j : NULL)
    for (; r + FEW_ROWS <= rows; r += FEW_ROWS) FEW(FEW_ROWS, 4);
    if (rows - r == 3) FEW(3 < FEW_ROWS ? 3 : FEW_ROWS, 4);
    else if (rows - r == 2) FEW(2, 4);
    else if (rows - r == 1) FEW(1, FEW_COLUMNS);
#undef FEW
  }
}
