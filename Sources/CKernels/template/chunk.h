// Products of the small matrices of a chunk: A is broadcast from where it lies, rows of B are read in place, nothing is packed.
#if ISA_REGISTERS >= 32
#define CHUNK_ROWS 8
#define CHUNK_SOLVE 16
#else
#define CHUNK_ROWS 6
#define CHUNK_SOLVE 8
#endif

/// A register tile: mr rows by nv vectors, of which the last has `lanes` lanes where that is not 0. A(i, k) = a[i·ar + k·ak], one of both
/// strides being 1. Every element is one sum over k in rising order, whatever tile it lies in.
INLINE void KERNEL(chunk_tile)(
    const int mr, const int nv, const int lanes, const float *a, const ptrdiff_t ar, const ptrdiff_t ak, const float *b,
    ptrdiff_t bs, float *c, ptrdiff_t cs, ptrdiff_t depth, const float *factors, int adds) {
  vf sum[16];
  UNROLL for (int t = 0; t < mr * nv; t++) sum[t] = splat(0);
#pragma clang loop unroll_count(2)
  for (ptrdiff_t k = 0; k < depth; k++, b += bs) {
    vf operand[2];
    UNROLL for (int v = 0; v < nv; v++) operand[v] = lanes ? load_part(b + v * VL, lanes) : load(b + v * VL);
    UNROLL for (int i = 0; i < mr; i++) {
      const vf x = splat(a[i * ar + k * ak]);
      UNROLL for (int v = 0; v < nv; v++) sum[i * nv + v] = vfma(x, operand[v], sum[i * nv + v]);
    }
  }
  UNROLL for (int i = 0; i < mr; i++) {
    UNROLL for (int v = 0; v < nv; v++) {
      float *target = c + i * cs + v * VL;
      vf y = sum[i * nv + v];
      if (factors) y *= splat(factors[i]);
      if (adds) y = (lanes ? load_part(target, lanes) : load(target)) + splat((float)adds) * y;
      if (lanes) store_part(target, y, lanes);
      else store(target, y);
    }
  }
}

/// mr rows of a product, all columns: those of `ATTN_RESULT_LOWER` up to the last one that a row of the tile needs.
INLINE void KERNEL(chunk_rows)(
    const int mr, const int down, const attn_product *p, ptrdiff_t i, ptrdiff_t from, ptrdiff_t to) {
  const float *a = p->a + i * (down ? 1 : p->a_stride) + from * (down ? p->a_stride : 1);
  const float *b = p->b + from * p->b_stride, *factors = p->factors ? p->factors + i : 0;
  const ptrdiff_t depth = to - from, ar = down ? 1 : p->a_stride, ak = down ? p->a_stride : 1;
  float *c = p->c + i * p->c_stride;
  ptrdiff_t columns = p->columns;
  if (p->part == ATTN_RESULT_LOWER) {
    const ptrdiff_t needed = p->first + i + mr;
    columns = needed < columns ? (needed > 0 ? needed : 0) : columns;
    // Whole vectors, where the row has them.
    const ptrdiff_t whole = (columns + VL - 1) / VL * VL;
    columns = whole < p->columns ? whole : p->columns;
  }
  ptrdiff_t j = 0;
  for (; j + 2 * VL <= columns; j += 2 * VL)
    KERNEL(chunk_tile)(mr, 2, 0, a, ar, ak, b + j, p->b_stride, c + j, p->c_stride, depth, factors, p->adds);
  for (; j + VL <= columns; j += VL)
    KERNEL(chunk_tile)(mr, 1, 0, a, ar, ak, b + j, p->b_stride, c + j, p->c_stride, depth, factors, p->adds);
  if (j < columns)
    KERNEL(chunk_tile)(
        mr, 1, (int)(columns - j), a, ar, ak, b + j, p->b_stride, c + j, p->c_stride, depth, factors, p->adds);
}

/// The rows to be fetched ahead that belong to the rows from … to of a product.
INLINE void KERNEL(chunk_ahead)(const attn_ahead *ahead, ptrdiff_t from, ptrdiff_t to, ptrdiff_t rows) {
  const ptrdiff_t end = ahead->rows * to / rows;
  for (ptrdiff_t r = ahead->rows * from / rows; r < end; r++) {
    const float *row = ahead->base + r * ahead->stride;
    if (ahead->writes)
      for (ptrdiff_t c = 0; c < ahead->columns; c += 16) __builtin_prefetch(row + c, 1, 3);
    else
      for (ptrdiff_t c = 0; c < ahead->columns; c += 16) __builtin_prefetch(row + c, 0, 2);
  }
}

/// Where the sum over k of the rows i … i + mr − 1 begins and ends.
#define CHUNK_SPAN(mr)                                                                                \
  ptrdiff_t from = 0, to = p->depth;                                                                  \
  if (p->part == ATTN_LEFT_LOWER && p->first + i + (mr) < to) to = p->first + i + (mr);               \
  if (p->part == ATTN_LEFT_UPPER && i - p->first > 0) from = i - p->first;                            \
  if (to < 0) to = 0;                                                                                 \
  if (from > to) from = to;

INLINE void KERNEL(chunk_all)(const int down, const attn_product *p) {
  ptrdiff_t i = 0;
#define CHUNK_STEP(mr)                                \
  for (; i + (mr) <= p->rows; i += (mr)) {            \
    CHUNK_SPAN(mr)                                    \
    if (p->ahead.base) KERNEL(chunk_ahead)(&p->ahead, i, i + (mr), p->rows); \
    if (p->also.base) KERNEL(chunk_ahead)(&p->also, i, i + (mr), p->rows); \
    KERNEL(chunk_rows)(mr, down, p, i, from, to);     \
  }
  CHUNK_STEP(CHUNK_ROWS)
  CHUNK_STEP(4)
  CHUNK_STEP(2)
  CHUNK_STEP(1)
#undef CHUNK_STEP
}

void KERNEL(chunk_product)(const attn_product *p) {
  if (p->down) KERNEL(chunk_all)(1, p);
  else KERNEL(chunk_all)(0, p);
}

INLINE void KERNEL(chunk_exchange)(
    const int scaled, const float *x, ptrdiff_t xs, const float *factors, float *y, ptrdiff_t ys, ptrdiff_t rows,
    ptrdiff_t columns) {
  ptrdiff_t r = 0;
  for (; r + VL <= rows; r += VL) {
    ptrdiff_t c = 0;
    for (; c + VL <= columns; c += VL) {
      vf block[VL];
      UNROLL for (int i = 0; i < VL; i++) block[i] = load(x + (r + i) * xs + c);
      if (scaled) {
        const vf f = load(factors + c);
        UNROLL for (int i = 0; i < VL; i++) block[i] *= f;
      }
      transpose(block);
      UNROLL for (int i = 0; i < VL; i++) store(y + (c + i) * ys + r, block[i]);
    }
    for (; c < columns; c++)
      for (ptrdiff_t i = r; i < r + VL; i++) y[c * ys + i] = scaled ? factors[c] * x[i * xs + c] : x[i * xs + c];
  }
  for (; r < rows; r++)
    for (ptrdiff_t c = 0; c < columns; c++) y[c * ys + r] = scaled ? factors[c] * x[r * xs + c] : x[r * xs + c];
}

void KERNEL(chunk_transpose)(
    const float *x, ptrdiff_t xs, const float *factors, float *y, ptrdiff_t ys, ptrdiff_t rows, ptrdiff_t columns) {
  if (factors) KERNEL(chunk_exchange)(1, x, xs, factors, y, ys, rows, columns);
  else KERNEL(chunk_exchange)(0, x, xs, factors, y, ys, rows, columns);
}

/// x ← (I + T)⁻¹ x of `count` ≤ CHUNK_SOLVE rows in registers, one vector of columns: T(i, j) = a[i·ar + j·aj] below the diagonal; with
/// `up` above it.
INLINE void KERNEL(solve_tile)(
    const int count, const int lanes, const int up, const float *a, ptrdiff_t ar, ptrdiff_t aj, float *x, ptrdiff_t xs) {
  vf row[CHUNK_SOLVE];
  UNROLL for (int i = 0; i < count; i++) row[i] = lanes ? load_part(x + i * xs, lanes) : load(x + i * xs);
  UNROLL for (int s = 0; s < count; s++) {
    const int j = up ? count - 1 - s : s;
    UNROLL for (int t = s + 1; t < count; t++) {
      const int i = up ? count - 1 - t : t;
      row[i] = vfma(splat(-a[i * ar + j * aj]), row[j], row[i]);
    }
  }
  UNROLL for (int i = 0; i < count; i++) {
    if (lanes) store_part(x + i * xs, row[i], lanes);
    else store(x + i * xs, row[i]);
  }
}

INLINE void KERNEL(solve_few)(
    const int lanes, const int up, ptrdiff_t count, const float *a, ptrdiff_t ar, ptrdiff_t aj, float *x, ptrdiff_t xs) {
  for (ptrdiff_t s = 1; s < count; s++) {
    const ptrdiff_t i = up ? count - 1 - s : s;
    vf sum = lanes ? load_part(x + i * xs, lanes) : load(x + i * xs);
    for (ptrdiff_t t = 0; t < s; t++) {
      const ptrdiff_t j = up ? count - 1 - t : t;
      const vf other = lanes ? load_part(x + j * xs, lanes) : load(x + j * xs);
      sum = vfma(splat(-a[i * ar + j * aj]), other, sum);
    }
    if (lanes) store_part(x + i * xs, sum, lanes);
    else store(x + i * xs, sum);
  }
}

/// Blocks of rows: what those before give a block is a product, the rest is solved in registers.
INLINE void KERNEL(solve_all)(
    const int up, const float *a, ptrdiff_t count, float *x, ptrdiff_t xs, ptrdiff_t dim) {
  const ptrdiff_t ar = up ? 1 : count, aj = up ? count : 1;
  for (ptrdiff_t done = 0; done < count;) {
    const ptrdiff_t size = count - done < CHUNK_SOLVE ? count - done : CHUNK_SOLVE;
    const ptrdiff_t first = up ? count - done - size : done;
    if (done > 0) {
      const ptrdiff_t from = up ? first + size : 0;
      const attn_product p = {
          .a = a + first * ar + from * aj, .a_stride = count, .down = up, .b = x + from * xs, .b_stride = xs,
          .c = x + first * xs, .c_stride = xs, .rows = size, .columns = dim, .depth = done, .adds = -1};
      KERNEL(chunk_product)(&p);
    }
    const float *block = a + first * (count + 1);
    ptrdiff_t c = 0;
    for (; c + VL <= dim; c += VL) {
      float *y = x + first * xs + c;
      if (size == CHUNK_SOLVE) KERNEL(solve_tile)(CHUNK_SOLVE, 0, up, block, ar, aj, y, xs);
      else KERNEL(solve_few)(0, up, size, block, ar, aj, y, xs);
    }
    if (c < dim) KERNEL(solve_few)((int)(dim - c), up, size, block, ar, aj, x + first * xs + c, xs);
    done += size;
  }
}

void KERNEL(scan_solve)(const float *a, ptrdiff_t count, float *x, ptrdiff_t xs, ptrdiff_t dim, int transposed) {
  if (transposed) KERNEL(solve_all)(1, a, count, x, xs, dim);
  else KERNEL(solve_all)(0, a, count, x, xs, dim);
}
