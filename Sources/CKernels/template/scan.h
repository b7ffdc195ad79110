// What the chunks of a recurrence need beside products of matrices: rows mapped, decayed, scaled and summed.

/// exp of x ≤ 0; 0 below the normal numbers of single precision.
INLINE vf KERNEL(fading)(vf x) {
  const vf y = vexp1(x);
  return x < splat(-87.0f) ? splat(0) : y;
}

/// Some vectors step by step, so that a chain of dependent operations waits for none of the others: e^x of x ≤ 0, as `fading`.
#define SOME_VECTORS 4
#define SOME UNROLL for (int v = 0; v < n; v++)
INLINE void KERNEL(fading_some)(const int n, vf *x) {
  vf own[SOME_VECTORS], whole[SOME_VECTORS], r[SOME_VECTORS], p[SOME_VECTORS];
  vi scale[SOME_VECTORS];
  // A whole number in the last bits, with the bias of an exponent.
  const vf magic = splat(12582912.0f + 127);
  SOME own[v] = vmax(x[v], splat(-87.0f));
  SOME whole[v] = vfma(own[v], splat(1.44269504088896341f), magic);
  SOME {
    memcpy(&scale[v], &whole[v], sizeof scale[v]);
    scale[v] <<= 23;
    whole[v] -= magic;
  }
  SOME r[v] = vfma(whole[v], splat(-0.693359375f), own[v]);
  SOME r[v] = vfma(whole[v], splat(2.12194440e-4f), r[v]);
  SOME p[v] = vfma(splat(1.9875691500e-4f), r[v], splat(1.3981999507e-3f));
  SOME p[v] = vfma(p[v], r[v], splat(8.3334519073e-3f));
  SOME p[v] = vfma(p[v], r[v], splat(4.1665795894e-2f));
  SOME p[v] = vfma(p[v], r[v], splat(1.6666665459e-1f));
  SOME p[v] = vfma(p[v], r[v], splat(5.0000001201e-1f));
  SOME own[v] = r[v] * r[v];
  SOME r[v] += splat(1.0f);
  SOME p[v] = vfma(p[v], own[v], r[v]);
  SOME {
    vf power;
    memcpy(&power, &scale[v], sizeof power);
    x[v] = x[v] < splat(-87.0f) ? splat(0) : p[v] * power;
  }
}
INLINE vf KERNEL(elu_one)(vf x) { return x > splat(0) ? x + splat(1) : KERNEL(fading)(vmin(x, splat(0))); }
INLINE void KERNEL(elu_some)(const int n, const float *x, float *y, float scale) {
  vf own[SOME_VECTORS], below[SOME_VECTORS];
  SOME own[v] = load(x + v * VL);
  SOME below[v] = vmin(own[v], splat(0));
  KERNEL(fading_some)(n, below);
  SOME store(y + v * VL, splat(scale) * (own[v] > splat(0) ? own[v] + splat(1) : below[v]));
}

/// Half as many lanes in Double.
typedef double KERNEL(vd) __attribute__((ext_vector_type(VL / 2)));
typedef float KERNEL(half) __attribute__((ext_vector_type(VL / 2)));
#define vd KERNEL(vd)

INLINE vd KERNEL(wide)(const float *p) {
  KERNEL(half) x;
  memcpy(&x, p, sizeof x);
  return __builtin_convertvector(x, vd);
}
INLINE double KERNEL(wide_sum)(vd x) {
  double lane[VL / 2];
  memcpy(lane, &x, sizeof x);
  for (int half = VL / 4; half > 0; half /= 2)
    for (int i = 0; i < half; i++) lane[i] += lane[i + half];
  return lane[0];
}

/// Σ x·y: summed in Double, so that no square is lost or too large.
INLINE double KERNEL(wide_dot)(const float *x, const float *y, ptrdiff_t dim) {
  vd sum[4] = {(vd)0.0, (vd)0.0, (vd)0.0, (vd)0.0};
  double rest = 0;
  ptrdiff_t i = 0;
  for (; i + 2 * VL <= dim; i += 2 * VL)
    UNROLL for (int v = 0; v < 4; v++) {
      const ptrdiff_t at = i + v * (VL / 2);
      sum[v] += KERNEL(wide)(x + at) * KERNEL(wide)(y + at);
    }
  for (; i < dim; i++) rest += (double)x[i] * (double)y[i];
  return KERNEL(wide_sum)((sum[0] + sum[1]) + (sum[2] + sum[3])) + rest;
}
/// 1/√(Σx² + ε).
INLINE double KERNEL(inverse_norm)(const float *x, ptrdiff_t dim, float epsilon) {
  return 1 / sqrt(KERNEL(wide_dot)(x, x, dim) + (double)epsilon);
}

void KERNEL(scan_load)(
    int map, const float *x, ptrdiff_t xs, float *y, ptrdiff_t ys, ptrdiff_t rows, ptrdiff_t dim, float scale,
    float epsilon) {
  for (ptrdiff_t r = 0; r < rows; r++, x += xs, y += ys) {
    if (map == ATTN_MAP_ELU) {
      ptrdiff_t some = 0;
      for (; some + SOME_VECTORS * VL <= dim; some += SOME_VECTORS * VL) KERNEL(elu_some)(SOME_VECTORS, x + some, y + some, scale);
      const float *own = x + some;
      float *target = y + some;
      EACH(dim - some, store(target + i, splat(scale) * KERNEL(elu_one)(load(own + i)));
           , store_part(target + i, splat(scale) * KERNEL(elu_one)(vpartial(own + i, rest, 0)), (int)rest);)
    } else {
      const vf f = splat(map == ATTN_MAP_UNIT ? (float)(scale * KERNEL(inverse_norm)(x, dim, epsilon)) : scale);
      EACH(dim, store(y + i, f * load(x + i));, store_part(y + i, f * vpartial(x + i, rest, 0), (int)rest);)
    }
  }
}

/// Rows whose norms are taken before any of them is written: then no row waits for the one before.
#define UNIT_ROWS 8

/// Of y = x·n: dx = n(dy − y(y·dy)).
static void KERNEL(unit_back)(
    const float *x, ptrdiff_t xs, const float *dy, ptrdiff_t dys, float *dx, ptrdiff_t dxs, ptrdiff_t rows, ptrdiff_t dim,
    float scale, float epsilon) {
  for (ptrdiff_t first = 0; first < rows; first += UNIT_ROWS, x += UNIT_ROWS * xs, dy += UNIT_ROWS * dys, dx += UNIT_ROWS * dxs) {
    const ptrdiff_t count = rows - first < UNIT_ROWS ? rows - first : UNIT_ROWS;
    double norms[UNIT_ROWS];
    float along[UNIT_ROWS];
    for (ptrdiff_t r = 0; r < count; r++) norms[r] = KERNEL(inverse_norm)(x + r * xs, dim, epsilon);
    for (ptrdiff_t r = 0; r < count; r++) {
      const float *own = x + r * xs, *given = dy + r * dys;
      const vf unit = splat((float)norms[r]);
      vf sum = splat(0);
      EACH(dim, sum = vfma(unit * load(own + i), load(given + i), sum);
           , sum = vfma(unit * vpartial(own + i, rest, 0), vpartial(given + i, rest, 0), sum);)
      along[r] = vsum(sum);
    }
    for (ptrdiff_t r = 0; r < count; r++) {
      const float *own = x + r * xs, *given = dy + r * dys;
      float *target = dx + r * dxs;
      const vf f = splat((float)(scale * norms[r])), g = splat((float)(scale * norms[r] * norms[r] * (double)along[r]));
      EACH(dim, store(target + i, f * load(given + i) - g * load(own + i));
           , store_part(target + i, f * vpartial(given + i, rest, 0) - g * vpartial(own + i, rest, 0), (int)rest);)
    }
  }
}

void KERNEL(scan_load_back)(
    int map, const float *x, ptrdiff_t xs, const float *y, const float *dy, ptrdiff_t dys, float *dx, ptrdiff_t dxs,
    ptrdiff_t rows, ptrdiff_t dim, float scale, float epsilon) {
  if (map == ATTN_MAP_UNIT) return KERNEL(unit_back)(x, xs, dy, dys, dx, dxs, rows, dim, scale, epsilon);
  for (ptrdiff_t r = 0; r < rows; r++, y += dim, dy += dys, dx += dxs) {
    if (map == ATTN_MAP_ELU) {
      // The slope is e^x below 0 and 1 above, so it is y below 1 and 1 above.
      const vf one = splat(scale);
      EACH(dim, const vf own = load(y + i); store(dx + i, load(dy + i) * (scale > 0 ? vmin(own, one) : vmax(own, one)));
           , const vf own = vpartial(y + i, rest, 0);
           store_part(dx + i, vpartial(dy + i, rest, 0) * (scale > 0 ? vmin(own, one) : vmax(own, one)), (int)rest);)
    } else {
      EACH(dim, store(dx + i, splat(scale) * load(dy + i));
           , store_part(dx + i, splat(scale) * vpartial(dy + i, rest, 0), (int)rest);)
    }
  }
}

/// Zeros above the diagonal, which passes a row at the place first + row.
void KERNEL(scan_clear)(float *x, ptrdiff_t first, ptrdiff_t rows, ptrdiff_t count) {
  for (ptrdiff_t r = 0; r < rows; r++, x += count) {
    ptrdiff_t j = first + r + 1 > 0 ? first + r + 1 : 0;
    for (; j + VL <= count; j += VL) store(x + j, splat(0));
    if (j < count) store_part(x + j, splat(0), (int)(count - j));
  }
}

void KERNEL(scan_exp)(const float *x, float *y, ptrdiff_t n) {
  EACH(n, store(y + i, KERNEL(fading)(load(x + i)));
       , store_part(y + i, KERNEL(fading)(vpartial(x + i, rest, 0)), (int)rest);)
}

/// Rows that share a reference: what a row has faded by since the keys before all of them, times what such a key has faded by up to there.
#define DECAY_ROWS 16

#if VL == 16
#define ALL_LANES 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
#elif VL == 8
#define ALL_LANES 0, 1, 2, 3, 4, 5, 6, 7
#else
#define ALL_LANES 0, 1, 2, 3
#endif

/// e^(own − sums[j]) of VL keys, of which `used` exist; differences above 0 count as 0.
INLINE vf KERNEL(decay_lanes)(double own, const double *sums, ptrdiff_t used) {
  if (used >= VL) {
    vd low, high;
    memcpy(&low, sums, sizeof low);
    memcpy(&high, sums + VL / 2, sizeof high);
    const KERNEL(half) a = __builtin_convertvector((vd)own - low, KERNEL(half));
    const KERNEL(half) b = __builtin_convertvector((vd)own - high, KERNEL(half));
    return KERNEL(fading)(vmin(__builtin_shufflevector(a, b, ALL_LANES), splat(0)));
  }
  float lane[VL] = {0};
  for (ptrdiff_t j = 0; j < used; j++) lane[j] = (float)(own - sums[j]);
  return KERNEL(fading)(vmin(load(lane), splat(0)));
}

void KERNEL(scan_decays)(
    const double *sums, ptrdiff_t first, ptrdiff_t rows, ptrdiff_t count, float scale, float *y) {
  const vi places = {ALL_LANES};
  for (ptrdiff_t start = 0; start < rows; start += DECAY_ROWS) {
    const ptrdiff_t end = start + DECAY_ROWS < rows ? start + DECAY_ROWS : rows;
    // Keys before the reference have products of two factors, those from there on exponentials.
    const ptrdiff_t reference = first + start < count ? first + start : count - 1;
    const ptrdiff_t whole = reference > 0 ? reference / VL * VL : 0;
    const double from = whole > 0 ? sums[whole - 1] : 0;
    // The first of the rows comes last: it holds the keys' factors.
    float *top = y + start * count;
    for (ptrdiff_t j = 0; j < whole; j += VL) store(top + j, KERNEL(decay_lanes)(from, sums + j, VL));
    float faded[DECAY_ROWS] = {0};
    for (ptrdiff_t i = start; i < end && whole > 0; i++)
      faded[i - start] = (float)(sums[first + i < count ? first + i : count - 1] - from);
    for (ptrdiff_t i = 0; i < DECAY_ROWS; i += VL) store(faded + i, KERNEL(fading)(load(faded + i)));
    for (ptrdiff_t i = end - 1; i >= start; i--) {
      const ptrdiff_t last = first + i < count ? first + i : count - 1;
      const double own = last >= 0 ? sums[last] : 0;
      float *row = y + i * count;
      const vf factor = splat(faded[i - start]);
      ptrdiff_t j = 0;
      for (; j < whole; j += VL) {
        const vf z = factor * load(top + j);
        store(row + j, z < splat(1.1754944e-38f) ? splat(0) : splat(scale) * z);
      }
      for (; j <= last; j += VL) {
        const vf z = splat(scale) * KERNEL(decay_lanes)(own, sums + j, count - j);
        const vf kept = places <= (vi)(int32_t)(last - j) ? z : splat(0);
        if (j + VL <= count) store(row + j, kept);
        else store_part(row + j, kept, (int)(count - j));
      }
      for (; j + VL <= count; j += VL) store(row + j, splat(0));
      for (; j < count; j++) row[j] = 0;
    }
  }
}

void KERNEL(scan_fade)(
    const float *x, const float *decays, float *y, ptrdiff_t first, ptrdiff_t rows, ptrdiff_t count) {
  for (ptrdiff_t r = 0; r < rows; r++, x += count, decays += count, y += count) {
    const ptrdiff_t end = first + r + 1 < count ? (first + r + 1 > 0 ? first + r + 1 : 0) : count;
    ptrdiff_t j = 0;
    for (; j < end && j + VL <= count; j += VL) {
      const vf f = load(decays + j);
      store(y + j, f == splat(0) ? splat(0) : f * load(x + j));
    }
    for (; j < end; j++) y[j] = decays[j] == 0 ? 0 : decays[j] * x[j];
    for (; j + VL <= count; j += VL) store(y + j, splat(0));
    for (; j < count; j++) y[j] = 0;
  }
}

void KERNEL(scan_columns)(float *x, const float *factors, ptrdiff_t rows, ptrdiff_t dim) {
  for (ptrdiff_t r = 0; r < rows; r++, x += dim) {
    EACH(dim, store(x + i, load(factors + i) * load(x + i));
         , store_part(x + i, load_part(factors + i, (int)rest) * load_part(x + i, (int)rest), (int)rest);)
  }
}

/// Columns whose sums are kept at once.
#define CROSSING_COLUMNS 64

void KERNEL(scan_crossings)(const float *p, ptrdiff_t first, ptrdiff_t rows, ptrdiff_t count, double *sums) {
  for (ptrdiff_t start = 0; start < count; start += CROSSING_COLUMNS) {
    const ptrdiff_t end = start + CROSSING_COLUMNS < count ? start + CROSSING_COLUMNS : count;
    double column[CROSSING_COLUMNS] = {0};
    // From the last token on: what rows from t on give every key, summed over the keys before t.
    ptrdiff_t row = rows - 1;
    for (ptrdiff_t t = count - 1; t > 0; t--) {
      for (; row >= 0 && first + row >= t; row--) {
        const float *own = p + row * count;
        ptrdiff_t j = start;
        for (; j + VL / 2 <= end; j += VL / 2) {
          vd sum;
          memcpy(&sum, column + (j - start), sizeof sum);
          sum += KERNEL(wide)(own + j);
          memcpy(column + (j - start), &sum, sizeof sum);
        }
        for (; j < end; j++) column[j - start] += (double)own[j];
      }
      const ptrdiff_t used = (t < end ? t : end) - start;
      if (used <= 0) break;
      vd all = (vd)0.0;
      ptrdiff_t j = 0;
      for (; j + VL / 2 <= used; j += VL / 2) {
        vd part;
        memcpy(&part, column + j, sizeof part);
        all += part;
      }
      double rest = 0;
      for (; j < used; j++) rest += column[j];
      sums[t] += KERNEL(wide_sum)(all) + rest;
    }
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

int KERNEL(scan_finite)(const float *x, ptrdiff_t xs, ptrdiff_t rows, ptrdiff_t dim) {
  // 0 of a finite number, else NaN; four sums at once.
  vf sum[4] = {splat(0), splat(0), splat(0), splat(0)};
  for (ptrdiff_t r = 0; r < rows; r++, x += xs) {
    ptrdiff_t i = 0;
    for (; i + 4 * VL <= dim; i += 4 * VL)
      UNROLL for (int v = 0; v < 4; v++) sum[v] = vfma(load(x + i + v * VL), splat(0), sum[v]);
    for (; i + VL <= dim; i += VL) sum[r & 3] += load(x + i) * splat(0);
    if (i < dim) sum[r & 3] += load_part(x + i, (int)(dim - i)) * splat(0);
  }
  return vsum((sum[0] + sum[1]) + (sum[2] + sum[3])) == 0;
}
