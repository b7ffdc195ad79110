// Packed matrix product: register tiles of GEMM_ROWS × 2 vectors over panels of B.
#if ISA_REGISTERS >= 32
#define GEMM_ROWS 12
#else
#define GEMM_ROWS 6
#endif
#define GEMM_COLUMNS (2 * VL)
/// Rows of a transposed A that are packed together.
#define GEMM_RUN 8

/// acc[GEMM_ROWS][GEMM_COLUMNS] = Σ_k a[k][GEMM_ROWS] · b[k][GEMM_COLUMNS].
INLINE void KERNEL(gemm_tile)(const float *a, const float *b, ptrdiff_t depth, vf acc[GEMM_ROWS][2]) {
  for (int i = 0; i < GEMM_ROWS; i++) acc[i][0] = acc[i][1] = splat(0);
  for (ptrdiff_t k = 0; k < depth; k++) {
    vf b0 = load(b), b1 = load(b + VL);
    UNROLL for (int i = 0; i < GEMM_ROWS; i++) {
      vf x = splat(a[i]);
      acc[i][0] = vfma(x, b0, acc[i][0]);
      acc[i][1] = vfma(x, b1, acc[i][1]);
    }
    a += GEMM_ROWS;
    b += GEMM_COLUMNS;
  }
}

/// c[m][n] = scale · a · b (+ bias) (+ add): all tiles of a block. `b` is packed in panels of GEMM_COLUMNS columns, `a` in
/// groups of GEMM_ROWS rows; `add` has the stride of c, and may be c.
void KERNEL(gemm_block)(
    const float *a, const float *b, float *c, ptrdiff_t ldc, ptrdiff_t m, ptrdiff_t n, ptrdiff_t depth, float scale,
    const float *add, const float *bias) {
  for (ptrdiff_t j = 0; j < n; j += GEMM_COLUMNS, b += GEMM_COLUMNS * depth) {
    ptrdiff_t columns = n - j < GEMM_COLUMNS ? n - j : GEMM_COLUMNS;
    for (ptrdiff_t i = 0; i < m; i += GEMM_ROWS) {
      ptrdiff_t rows = m - i < GEMM_ROWS ? m - i : GEMM_ROWS;
      vf acc[GEMM_ROWS][2];
      KERNEL(gemm_tile)(a + i * depth, b, depth, acc);
      if (scale != 1)
        UNROLL for (int r = 0; r < GEMM_ROWS; r++) {
          acc[r][0] *= splat(scale);
          acc[r][1] *= splat(scale);
        }
      const ptrdiff_t at = i * ldc + j;
      float *target = c + at;
      if (rows == GEMM_ROWS && columns == GEMM_COLUMNS) {
        if (bias) {
          vf b0 = load(bias + j), b1 = load(bias + j + VL);
          UNROLL for (int r = 0; r < GEMM_ROWS; r++) {
            acc[r][0] += b0;
            acc[r][1] += b1;
          }
        }
        if (add)
          UNROLL for (int r = 0; r < GEMM_ROWS; r++) {
            acc[r][0] += load(add + at + r * ldc);
            acc[r][1] += load(add + at + r * ldc + VL);
          }
        UNROLL for (int r = 0; r < GEMM_ROWS; r++) {
          store(target + r * ldc, acc[r][0]);
          store(target + r * ldc + VL, acc[r][1]);
        }
      } else {
        float edge[GEMM_ROWS * GEMM_COLUMNS];
        for (int r = 0; r < GEMM_ROWS; r++) {
          store(edge + r * GEMM_COLUMNS, acc[r][0]);
          store(edge + r * GEMM_COLUMNS + VL, acc[r][1]);
        }
        for (ptrdiff_t r = 0; r < rows; r++)
          for (ptrdiff_t s = 0; s < columns; s++) {
            float value = edge[r * GEMM_COLUMNS + s] + (bias ? bias[j + s] : 0);
            target[r * ldc + s] = add ? add[at + r * ldc + s] + value : value;
          }
      }
    }
  }
}

/// dst[p][k][width] = src(p·width + x, k) with element (x, k) at src[x·xs + k·ks]; zeros beyond `count`.
INLINE void KERNEL(gemm_panels)(
    const float *src, ptrdiff_t xs, ptrdiff_t ks, ptrdiff_t count, ptrdiff_t depth, ptrdiff_t width, float *dst) {
  const ptrdiff_t whole = xs == 1 ? count / width * width : 0;
  // A few rows of the source are read whole: panel by panel, lines that two panels share would be fetched twice; row by
  // row, the panels, often a multiple of 4 KiB apart, would drive each other out of the cache before a line is full.
  if (whole > 0)
    for (ptrdiff_t first = 0; first < depth; first += GEMM_RUN) {
      const ptrdiff_t last = first + GEMM_RUN < depth ? first + GEMM_RUN : depth;
      // Rows lie pages apart, where the processor foresees nothing.
      for (ptrdiff_t k = last; k < last + GEMM_RUN && k < depth; k++)
        for (ptrdiff_t p = 0; p < whole; p += 16) __builtin_prefetch(src + p + k * ks, 0, 2);
      for (ptrdiff_t p = 0; p < whole; p += width)
        for (ptrdiff_t k = first; k < last; k++)
          __builtin_memcpy(dst + p * depth + k * width, src + p + k * ks, (size_t)width * sizeof(float));
    }
  dst += whole * depth;
  for (ptrdiff_t p = whole; p < count; p += width, dst += width * depth) {
    ptrdiff_t used = count - p < width ? count - p : width;
    const float *base = src + p * xs;
    if (used < width)
      for (ptrdiff_t k = 0; k < depth; k++)
        for (ptrdiff_t x = 0; x < width; x++) dst[k * width + x] = x < used ? base[x * xs + k * ks] : 0;
    else {
      ptrdiff_t k = 0;
      typedef float v4 __attribute__((ext_vector_type(4)));
      if (ks == 1 && width % 2 == 0)
        for (; k + 4 <= depth; k += 4) {
          if (k % 16 == 0 && p + 2 * width <= count)
            for (ptrdiff_t x = width; x < 2 * width; x++) __builtin_prefetch(base + x * xs + k);
          for (ptrdiff_t x = 0; x + 2 <= width; x += 2) {
            ptrdiff_t step = x + 4 <= width ? 4 : 2;
            if (step == 4) {
              v4 r0, r1, r2, r3;
              __builtin_memcpy(&r0, base + x * xs + k, 16);
              __builtin_memcpy(&r1, base + (x + 1) * xs + k, 16);
              __builtin_memcpy(&r2, base + (x + 2) * xs + k, 16);
              __builtin_memcpy(&r3, base + (x + 3) * xs + k, 16);
              v4 t0 = __builtin_shufflevector(r0, r1, 0, 4, 1, 5), t1 = __builtin_shufflevector(r2, r3, 0, 4, 1, 5);
              v4 t2 = __builtin_shufflevector(r0, r1, 2, 6, 3, 7), t3 = __builtin_shufflevector(r2, r3, 2, 6, 3, 7);
              v4 o0 = __builtin_shufflevector(t0, t1, 0, 1, 4, 5), o1 = __builtin_shufflevector(t0, t1, 2, 3, 6, 7);
              v4 o2 = __builtin_shufflevector(t2, t3, 0, 1, 4, 5), o3 = __builtin_shufflevector(t2, t3, 2, 3, 6, 7);
              __builtin_memcpy(dst + k * width + x, &o0, 16);
              __builtin_memcpy(dst + (k + 1) * width + x, &o1, 16);
              __builtin_memcpy(dst + (k + 2) * width + x, &o2, 16);
              __builtin_memcpy(dst + (k + 3) * width + x, &o3, 16);
              x += 2;
            } else
              for (int q = 0; q < 4; q++) {
                dst[(k + q) * width + x] = base[x * xs + k + q];
                dst[(k + q) * width + x + 1] = base[(x + 1) * xs + k + q];
              }
          }
        }
      for (; k < depth; k++)
        for (ptrdiff_t x = 0; x < width; x++) dst[k * width + x] = base[x * xs + k * ks];
    }
  }
}

void KERNEL(gemm_pack_a)(
    const float *src, ptrdiff_t xs, ptrdiff_t ks, ptrdiff_t count, ptrdiff_t depth, float *dst) {
  KERNEL(gemm_panels)(src, xs, ks, count, depth, GEMM_ROWS, dst);
}
void KERNEL(gemm_pack_b)(
    const float *src, ptrdiff_t xs, ptrdiff_t ks, ptrdiff_t count, ptrdiff_t depth, float *dst) {
  KERNEL(gemm_panels)(src, xs, ks, count, depth, GEMM_COLUMNS, dst);
}
int32_t KERNEL(gemm_tile_rows)(void) { return GEMM_ROWS; }
int32_t KERNEL(gemm_tile_columns)(void) { return GEMM_COLUMNS; }
