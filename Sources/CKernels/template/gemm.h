// Matrix product: register tiles of GEMM_ROWS × 2 vectors. A and B are packed, or read where they lie.
#if ISA_REGISTERS >= 32
#define GEMM_ROWS 12
#else
#define GEMM_ROWS 6
#endif
#define GEMM_COLUMNS (2 * VL)
/// Rows of a transposed A that are packed together.
#define GEMM_RUN 8

/// sums[r] += Σ_k A(r, k) · b[k·b_step …]: mr rows of two vectors, one sum over k in rising order each. A(r, k) = a[r + k·step], or with
/// `across` a[r·step + k].
INLINE void KERNEL(gemm_run)(
    const int mr, const int across, const float *a, ptrdiff_t step, const float *b, ptrdiff_t b_step, ptrdiff_t depth,
    vf sums[GEMM_ROWS][2]) {
  // Three rows a pointer: twelve pointers would not stay in registers.
  const float *rows[(GEMM_ROWS + 2) / 3];
  UNROLL for (int r = 0; r < mr; r += 3) rows[r / 3] = a + r * step;
#pragma clang loop unroll_count(2)
  for (ptrdiff_t k = 0; k < depth; k++, b += b_step) {
    const vf b0 = load(b), b1 = load(b + VL);
    UNROLL for (int r = 0; r < mr; r++) {
      const vf x = splat(across ? rows[r / 3][r % 3 * step] : a[r]);
      sums[r][0] = vfma(x, b0, sums[r][0]);
      sums[r][1] = vfma(x, b1, sums[r][1]);
    }
    if (across) {
      UNROLL for (int r = 0; r < mr; r += 3) {
        rows[r / 3]++;
        // Without this they become twelve again.
        __asm__("" : "+r"(rows[r / 3]));
      }
    } else
      a += step;
  }
}

/// The sums over a part, which with `pieces` has runs.
INLINE void KERNEL(gemm_sums)(
    const int mr, const int across, const int pieces, const attn_gemm *p, const float *a, ptrdiff_t step, const float *b,
    vf sums[GEMM_ROWS][2]) {
  UNROLL for (int r = 0; r < mr; r++) sums[r][0] = sums[r][1] = splat(0);
  if (!pieces) {
    KERNEL(gemm_run)(mr, across, a, step, b, p->b_step, p->depth, sums);
    return;
  }
  for (ptrdiff_t i = 0; i < p->run_count; i++) {
    const attn_gemm_run *run = p->runs + i;
    const float *run_a = a + run->a, *run_b = b + run->b;
    ptrdiff_t depth = run->depth;
    // Without this the inner loop keeps what the outer one needs, and too few registers are left.
    __asm__("" : "+r"(run_a), "+r"(run_b), "+r"(depth));
    KERNEL(gemm_run)(mr, across, run_a, step, run_b, p->b_step, depth, sums);
  }
}

/// f(x) and f′(x) of one vector.
#define GEMM_ACTIVATE(kind)                                             \
  {                                                                     \
    y = KERNEL(act)(x, kind);                                           \
    if (slope) slope_of_x = KERNEL(slope)(x, kind);                     \
    break;                                                              \
  }
/// Some rows of a tile, `columns` of each: activated where the part says so, and stored.
static __attribute__((noinline)) void KERNEL(gemm_put)(
    const attn_gemm *p, const float *tile, ptrdiff_t row, ptrdiff_t column, ptrdiff_t rows, ptrdiff_t columns) {
  const float *bias = p->bias ? p->bias + column : 0;
  for (ptrdiff_t r = 0; r < rows; r++, tile += GEMM_COLUMNS) {
    const ptrdiff_t at = (row + r) * p->c_stride + column;
    const float *add = p->add ? p->add + at : 0;
    float *c = p->c + at, *slope = p->slope ? p->slope + at : 0;
    for (ptrdiff_t j = 0; j < columns; j += VL) {
      const int lanes = columns - j < VL ? (int)(columns - j) : VL;
#define PART_OF(from) (lanes == VL ? load((from) + j) : load_part((from) + j, lanes))
#define PART_TO(to, value) \
  if (lanes == VL) store((to) + j, value); \
  else store_part((to) + j, value, lanes);
      vf x = p->scale * load(tile + j);
      if (bias) x += PART_OF(bias);
      if (add) x += PART_OF(add);
      if (p->finish == ATTN_GEMM_TIMES) x *= PART_OF(slope);
      if (p->finish != ATTN_GEMM_ACTIVATE) {
        PART_TO(c, x)
        continue;
      }
      vf y, slope_of_x = splat(0);
      switch (p->activation) {
        case 0: GEMM_ACTIVATE(0)
        case 1: GEMM_ACTIVATE(1)
        case 2: GEMM_ACTIVATE(2)
        case 4: GEMM_ACTIVATE(4)
        case 5: GEMM_ACTIVATE(5)
        default: GEMM_ACTIVATE(3)
      }
      PART_TO(c, y)
      if (slope) { PART_TO(slope, slope_of_x) }
#undef PART_OF
#undef PART_TO
    }
  }
}
#undef GEMM_ACTIVATE

/// mr rows of a tile from row `row` of the part; the first `known` of them were stored before.
INLINE void KERNEL(gemm_tile)(
    const int mr, const int across, const int pieces, const attn_gemm *p, const float *a, ptrdiff_t step, const float *b,
    ptrdiff_t row, ptrdiff_t column, ptrdiff_t known) {
  const ptrdiff_t ldc = p->c_stride, at = row * ldc + column;
  const ptrdiff_t columns = p->columns - column < GEMM_COLUMNS ? p->columns - column : GEMM_COLUMNS;
  if (p->finish == ATTN_GEMM_TIMES)
    UNROLL for (int r = 0; r < mr; r++) {
      __builtin_prefetch(p->slope + at + r * ldc + GEMM_COLUMNS, 0, 2);
      __builtin_prefetch(p->slope + at + r * ldc + GEMM_COLUMNS + VL, 0, 2);
    }
  vf sums[GEMM_ROWS][2];
  KERNEL(gemm_sums)(mr, across, pieces, p, a, step, b, sums);
  if (known > 0 || columns < GEMM_COLUMNS || p->finish == ATTN_GEMM_ACTIVATE) {
    float tile[GEMM_ROWS * GEMM_COLUMNS];
    UNROLL for (int r = 0; r < mr; r++) {
      store(tile + r * GEMM_COLUMNS, sums[r][0]);
      store(tile + r * GEMM_COLUMNS + VL, sums[r][1]);
    }
    KERNEL(gemm_put)(p, tile + known * GEMM_COLUMNS, row + known, column, mr - known, columns);
    return;
  }
  if (p->scale != 1)
    UNROLL for (int r = 0; r < mr; r++) {
      sums[r][0] *= splat(p->scale);
      sums[r][1] *= splat(p->scale);
    }
  if (p->bias) {
    const vf b0 = load(p->bias + column), b1 = load(p->bias + column + VL);
    UNROLL for (int r = 0; r < mr; r++) {
      sums[r][0] += b0;
      sums[r][1] += b1;
    }
  }
  if (p->add) {
    const float *add = p->add + at;
    UNROLL for (int r = 0; r < mr; r++) {
      sums[r][0] += load(add + r * ldc);
      sums[r][1] += load(add + r * ldc + VL);
    }
  }
  if (p->finish == ATTN_GEMM_TIMES) {
    const float *slope = p->slope + at;
    UNROLL for (int r = 0; r < mr; r++) {
      sums[r][0] *= load(slope + r * ldc);
      sums[r][1] *= load(slope + r * ldc + VL);
    }
  }
  float *c = p->c + at;
  UNROLL for (int r = 0; r < mr; r++) {
    store(c + r * ldc, sums[r][0]);
    store(c + r * ldc + VL, sums[r][1]);
  }
}

/// All tiles. The rows that are left of whole tiles are the last of a lower tile, whose other rows are there already.
INLINE void KERNEL(gemm_tiles)(const int across, const int packed, const int pieces, const attn_gemm *p) {
  const ptrdiff_t row_step = packed ? p->depth : across ? p->a_step : 1, step = packed ? GEMM_ROWS : p->a_step;
  const ptrdiff_t whole = p->rows / GEMM_ROWS * GEMM_ROWS, rest = p->rows - whole;
  const float *b = p->b;
  for (ptrdiff_t j = 0; j < p->columns; j += GEMM_COLUMNS, b += p->b_panel) {
    for (ptrdiff_t i = 0; i < whole; i += GEMM_ROWS)
      KERNEL(gemm_tile)(GEMM_ROWS, across, pieces, p, p->a + i * row_step, step, b, i, j, 0);
    if (rest == 0) continue;
    // A packed group has zeros behind its rows, which are not stored; in place, the rows before are read again.
#define LOWER(mr)                                                                                                     \
  if (rest <= (mr)) {                                                                                                 \
    const ptrdiff_t known = packed ? 0 : (mr) - rest;                                                                 \
    if (packed && rest < (mr)) {                                                                                      \
      vf sums[GEMM_ROWS][2];                                                                                          \
      float tile[GEMM_ROWS * GEMM_COLUMNS];                                                                           \
      KERNEL(gemm_sums)(mr, 0, pieces, p, p->a + whole * row_step, step, b, sums);                                    \
      UNROLL for (int r = 0; r < (mr); r++) {                                                                         \
        store(tile + r * GEMM_COLUMNS, sums[r][0]);                                                                   \
        store(tile + r * GEMM_COLUMNS + VL, sums[r][1]);                                                              \
      }                                                                                                               \
      const ptrdiff_t columns = p->columns - j < GEMM_COLUMNS ? p->columns - j : GEMM_COLUMNS;                        \
      KERNEL(gemm_put)(p, tile, whole, j, rest, columns);                                                             \
    } else                                                                                                            \
      KERNEL(gemm_tile)(                                                                                              \
          mr, across, pieces, p, p->a + (whole - known) * row_step, step, b, whole - known, j, known);                \
    continue;                                                                                                         \
  }
    LOWER(GEMM_ROWS / 3)
    LOWER(GEMM_ROWS / 3 * 2)
    LOWER(GEMM_ROWS)
#undef LOWER
  }
}

void KERNEL(gemm_product)(const attn_gemm *p) {
#define SIDE(pieces)                                                           \
  if (p->side == ATTN_GEMM_PACKED) KERNEL(gemm_tiles)(0, 1, pieces, p);        \
  else if (p->side == ATTN_GEMM_ROWS) KERNEL(gemm_tiles)(1, 0, pieces, p);     \
  else KERNEL(gemm_tiles)(0, 0, pieces, p);
  if (p->runs) {
    SIDE(1)
  } else {
    SIDE(0)
  }
#undef SIDE
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
