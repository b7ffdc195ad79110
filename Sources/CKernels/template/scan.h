// What the chunks of a recurrence need beside products of matrices: rows mapped, decayed, scaled and summed.

/// exp of x ≤ 0; 0 below the normal numbers of single precision.
INLINE vf KERNEL(fading)(vf x) {
  const vf y = vexp1(x);
  return x < splat(-87.0f) ? splat(0) : y;
}

INLINE vf KERNEL(elu_one)(vf x) { return x > splat(0) ? x + splat(1) : KERNEL(fading)(vmin(x, splat(0))); }
INLINE vf KERNEL(elu_slope)(vf x) { return x > splat(0) ? splat(1) : KERNEL(fading)(vmin(x, splat(0))); }

/// 1/√(Σx² + ε): summed in Double, so that no square is lost or too large.
INLINE double KERNEL(inverse_norm)(const float *x, ptrdiff_t dim, float epsilon) {
  double sum = 0;
  for (ptrdiff_t i = 0; i < dim; i++) sum += (double)x[i] * (double)x[i];
  return 1 / sqrt(sum + (double)epsilon);
}

void KERNEL(scan_load)(
    int map, const float *x, ptrdiff_t xs, float *y, ptrdiff_t ys, ptrdiff_t rows, ptrdiff_t dim, float scale,
    float epsilon) {
  for (ptrdiff_t r = 0; r < rows; r++, x += xs, y += ys) {
    if (map == ATTN_MAP_ELU) {
      EACH(dim, store(y + i, splat(scale) * KERNEL(elu_one)(load(x + i)));
           , store_part(y + i, splat(scale) * KERNEL(elu_one)(vpartial(x + i, rest, 0)), (int)rest);)
    } else {
      const vf f = splat(map == ATTN_MAP_UNIT ? (float)(scale * KERNEL(inverse_norm)(x, dim, epsilon)) : scale);
      EACH(dim, store(y + i, f * load(x + i));, store_part(y + i, f * vpartial(x + i, rest, 0), (int)rest);)
    }
  }
}

void KERNEL(scan_load_back)(
    int map, const float *x, ptrdiff_t xs, const float *dy, ptrdiff_t dys, float *dx, ptrdiff_t dxs, ptrdiff_t rows,
    ptrdiff_t dim, float scale, float epsilon) {
  for (ptrdiff_t r = 0; r < rows; r++, x += xs, dy += dys, dx += dxs) {
    if (map == ATTN_MAP_ELU) {
      EACH(dim, store(dx + i, splat(scale) * load(dy + i) * KERNEL(elu_slope)(load(x + i)));
           , store_part(dx + i, splat(scale) * vpartial(dy + i, rest, 0) * KERNEL(elu_slope)(vpartial(x + i, rest, 0)),
                        (int)rest);)
    } else if (map == ATTN_MAP_UNIT) {
      // y = x·n: dx = n(dy − y(y·dy)).
      const double n = KERNEL(inverse_norm)(x, dim, epsilon);
      double along = 0;
      for (ptrdiff_t i = 0; i < dim; i++) along += (double)x[i] * n * (double)dy[i];
      const vf f = splat((float)(scale * n)), g = splat((float)(scale * n * n * along));
      EACH(dim, store(dx + i, f * load(dy + i) - g * load(x + i));
           , store_part(dx + i, f * vpartial(dy + i, rest, 0) - g * vpartial(x + i, rest, 0), (int)rest);)
    } else {
      EACH(dim, store(dx + i, splat(scale) * load(dy + i));
           , store_part(dx + i, splat(scale) * vpartial(dy + i, rest, 0), (int)rest);)
    }
  }
}

void KERNEL(scan_exp)(const float *x, float *y, ptrdiff_t n) {
  EACH(n, store(y + i, KERNEL(fading)(load(x + i)));
       , store_part(y + i, KERNEL(fading)(vpartial(x + i, rest, 0)), (int)rest);)
}

void KERNEL(scan_decays)(const double *sums, ptrdiff_t first, ptrdiff_t rows, ptrdiff_t count, float *y) {
  for (ptrdiff_t i = 0; i < rows; i++, y += count) {
    const ptrdiff_t last = first + i < count ? first + i : count - 1;
    const double own = last >= 0 ? sums[last] : 0;
    for (ptrdiff_t j = 0; j <= last; j++) y[j] = (float)(own - sums[j]);
    for (ptrdiff_t j = last + 1; j < count; j++) y[j] = 0;
    if (last >= 0) KERNEL(scan_exp)(y, y, last + 1);
  }
}

void KERNEL(scan_multiply)(const float *a, const float *b, float *y, ptrdiff_t n) {
  EACH(n, store(y + i, load(a + i) * load(b + i));
       , store_part(y + i, vpartial(a + i, rest, 0) * vpartial(b + i, rest, 0), (int)rest);)
}

void KERNEL(scan_scale)(
    const float *x, ptrdiff_t xs, const float *factors, float *y, ptrdiff_t ys, ptrdiff_t rows, ptrdiff_t dim) {
  for (ptrdiff_t r = 0; r < rows; r++, x += xs, y += ys) {
    const vf f = splat(factors[r]);
    EACH(dim, store(y + i, f * load(x + i));, store_part(y + i, f * vpartial(x + i, rest, 0), (int)rest);)
  }
}

void KERNEL(scan_outer)(
    const float *factors, const float *x, float *y, ptrdiff_t ys, ptrdiff_t rows, ptrdiff_t dim) {
  for (ptrdiff_t r = 0; r < rows; r++, y += ys) {
    const vf f = splat(factors[r]);
    EACH(dim, store(y + i, vfma(f, load(x + i), load(y + i)));
         , store_part(y + i, vfma(f, vpartial(x + i, rest, 0), vpartial(y + i, rest, 0)), (int)rest);)
  }
}

void KERNEL(scan_dots)(
    const float *x, ptrdiff_t xs, const float *z, ptrdiff_t zs, float *y, float add, ptrdiff_t rows, ptrdiff_t dim) {
  for (ptrdiff_t r = 0; r < rows; r++, x += xs, z += zs) {
    vf sum = splat(0);
    EACH(dim, sum = vfma(load(x + i), load(z + i), sum);
         , sum = vfma(vpartial(x + i, rest, 0), vpartial(z + i, rest, 0), sum);)
    y[r] = add != 0 ? vsum(sum) + add * y[r] : vsum(sum);
  }
}

void KERNEL(scan_sums)(const float *x, ptrdiff_t xs, float *y, float add, ptrdiff_t rows, ptrdiff_t dim) {
  for (ptrdiff_t r = 0; r < rows; r++, x += xs) {
    vf sum = splat(0);
    EACH(dim, sum += load(x + i);, sum += vpartial(x + i, rest, 0);)
    y[r] = add != 0 ? vsum(sum) + add * y[r] : vsum(sum);
  }
}

void KERNEL(scan_step)(
    float *running, float *slot, const float *factors, ptrdiff_t stride, ptrdiff_t rows, ptrdiff_t dim) {
  for (ptrdiff_t r = 0; r < rows; r++, running += dim, slot += dim) {
    const vf f = splat(factors[r * stride]);
    EACH(dim, vf was = load(running + i); store(running + i, vfma(f, was, load(slot + i))); store(slot + i, was);
         , vf was = vpartial(running + i, rest, 0);
         store_part(running + i, vfma(f, was, vpartial(slot + i, rest, 0)), (int)rest);
         store_part(slot + i, was, (int)rest);)
  }
}

void KERNEL(scan_solve)(const float *a, ptrdiff_t count, float *x, ptrdiff_t xs, ptrdiff_t dim, int transposed) {
  for (ptrdiff_t step = 1; step < count; step++) {
    const ptrdiff_t row = transposed ? count - 1 - step : step;
    const ptrdiff_t first = transposed ? row + 1 : 0, last = transposed ? count : row;
    const float *factors = transposed ? a + row : a + row * count;
    const ptrdiff_t fs = transposed ? count : 1;
    float *y = x + row * xs;
    EACH(dim, vf sum = load(y + i);
         for (ptrdiff_t j = first; j < last; j++) sum = vfma(splat(-factors[j * fs]), load(x + j * xs + i), sum);
         store(y + i, sum);
         , vf sum = vpartial(y + i, rest, 0);
         for (ptrdiff_t j = first; j < last; j++)
           sum = vfma(splat(-factors[j * fs]), vpartial(x + j * xs + i, rest, 0), sum);
         store_part(y + i, sum, (int)rest);)
  }
}

int KERNEL(scan_finite)(const float *x, ptrdiff_t xs, ptrdiff_t rows, ptrdiff_t dim) {
  vf sum = splat(0);
  for (ptrdiff_t r = 0; r < rows; r++, x += xs) {
    // 0 of a finite number, else NaN.
    EACH(dim, sum += load(x + i) * splat(0);, sum += vpartial(x + i, rest, 0) * splat(0);)
  }
  return vsum(sum) == 0;
}
