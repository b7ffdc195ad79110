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

// Decays by channel: a[t][c] in 0…1 is what channel c fades by before token t. Only products of them are formed, which never grow; one
// that no normal number holds is 0.

INLINE vf KERNEL(faded)(vf r, vf a) {
  const vf y = r * a;
  return y < splat(1.1754944e-38f) ? splat(0) : y;
}

/// log(1 + y), 0 ≤ y ≤ 1: 2·artanh(y/(2 + y)).
INLINE vf KERNEL(log_one)(vf y) {
  const vf z = y / (y + splat(2)), w = z * z;
  vf p = splat(1.0f / 17);
  p = vfma(p, w, splat(1.0f / 15));
  p = vfma(p, w, splat(1.0f / 13));
  p = vfma(p, w, splat(1.0f / 11));
  p = vfma(p, w, splat(1.0f / 9));
  p = vfma(p, w, splat(1.0f / 7));
  p = vfma(p, w, splat(1.0f / 5));
  p = vfma(p, w, splat(1.0f / 3));
  return vfma(splat(2) * z * w, p, splat(2) * z);
}
INLINE vf KERNEL(softplus)(vf z) {
  const vf size = vmax(z, -z);
  return vmax(z, splat(0)) + KERNEL(log_one)(KERNEL(fading)(-size));
}
INLINE vf KERNEL(slope_softplus)(vf z) {
  const vf y = KERNEL(fading)(-vmax(z, -z)), p = splat(1) / (splat(1) + y);
  return z < splat(0) ? y * p : p;
}

void KERNEL(scan_gate)(
    const float *x, ptrdiff_t xs, const float *bias, float sign, float rate, float *a, ptrdiff_t rows, ptrdiff_t dim) {
  const vf s = splat(sign), r = splat(-rate);
  for (ptrdiff_t t = 0; t < rows; t++, x += xs, a += dim) {
    EACH(dim, store(a + i, KERNEL(fading)(r * KERNEL(softplus)(s * (load(x + i) + load(bias + i)))));
         , store_part(a + i, KERNEL(fading)(r * KERNEL(softplus)(s * (vpartial(x + i, rest, 0) + vpartial(bias + i, rest, 0)))),
                      (int)rest);)
  }
}

void KERNEL(scan_gate_back)(
    const float *x, ptrdiff_t xs, const float *bias, float sign, float rate, const float *dlog, float *dx, float *logs,
    ptrdiff_t rows, ptrdiff_t dim) {
  const vf s = splat(sign), r = splat(-rate);
  for (ptrdiff_t t = 0; t < rows; t++, x += xs, dlog += dim, dx += dim, logs += dim) {
    EACH(dim, const vf z = s * (load(x + i) + load(bias + i)); const vf d = r * load(dlog + i);
         store(dx + i, s * d * KERNEL(slope_softplus)(z)); store(logs + i, d * KERNEL(softplus)(z));
         , const vf z = s * (vpartial(x + i, rest, 0) + vpartial(bias + i, rest, 0));
         const vf d = r * vpartial(dlog + i, rest, 0);
         store_part(dx + i, s * d * KERNEL(slope_softplus)(z), (int)rest);
         store_part(logs + i, d * KERNEL(softplus)(z), (int)rest);)
  }
}

void KERNEL(scan_totals)(const float *a, float *y, ptrdiff_t rows, ptrdiff_t dim) {
  EACH(dim, vf r = splat(1); for (ptrdiff_t t = 0; t < rows; t++) r = KERNEL(faded)(r, load(a + t * dim + i)); store(y + i, r);
       , vf r = splat(1);
       for (ptrdiff_t t = 0; t < rows; t++) r = KERNEL(faded)(r, vpartial(a + t * dim + i, rest, 0));
       store_part(y + i, r, (int)rest);)
}

#define AHEAD(LOAD, STORE)                                               \
  vf r = splat(1);                                                       \
  for (ptrdiff_t t = 0; t < skip; t++) r = KERNEL(faded)(r, LOAD(a, t)); \
  for (ptrdiff_t t = skip; t < rows; t++) {                              \
    r = KERNEL(faded)(r, LOAD(a, t));                                    \
    STORE(y, t, r * LOAD(x, t));                                         \
  }
#define WHOLE(p, t) load((p) + (t) * dim + i)
#define PART(p, t) vpartial((p) + (t) * dim + i, rest, 0)
#define PUT_WHOLE(p, t, v) store((p) + (t) * dim + i, v)
#define PUT_PART(p, t, v) store_part((p) + (t) * dim + i, v, (int)rest)

void KERNEL(scan_ahead)(const float *x, const float *a, float *y, ptrdiff_t skip, ptrdiff_t rows, ptrdiff_t dim) {
  EACH(dim, AHEAD(WHOLE, PUT_WHOLE), AHEAD(PART, PUT_PART))
}

#define BEHIND(LOAD, STORE)                      \
  vf r = splat(1);                               \
  for (ptrdiff_t t = rows - 1; t >= 0; t--) {    \
    const vf own = LOAD(a, t);                   \
    STORE(y, t, r * LOAD(x, t));                 \
    r = KERNEL(faded)(r, own);                   \
  }
void KERNEL(scan_behind)(const float *x, const float *a, float *y, ptrdiff_t rows, ptrdiff_t dim) {
  EACH(dim, BEHIND(WHOLE, PUT_WHOLE), BEHIND(PART, PUT_PART))
}

#define AHEAD_BACK(LOAD, STORE)                                          \
  vf r = splat(1), sum = splat(0);                                       \
  for (ptrdiff_t t = 0; t < skip; t++) r = KERNEL(faded)(r, LOAD(a, t)); \
  for (ptrdiff_t t = skip; t < rows; t++) {                              \
    r = KERNEL(faded)(r, LOAD(a, t));                                    \
    const vf d = r * LOAD(dy, t);                                        \
    STORE(dx, t, LOAD(dx, t) + d);                                       \
    STORE(dy, t, d * LOAD(x, t));                                        \
  }                                                                      \
  for (ptrdiff_t t = rows - 1; t >= 0; t--) {                            \
    if (t >= skip) sum += LOAD(dy, t);                                   \
    STORE(dlog, t, LOAD(dlog, t) + sum);                                 \
  }
void KERNEL(scan_ahead_back)(
    float *dy, const float *a, const float *x, float *dx, float *dlog, ptrdiff_t skip, ptrdiff_t rows, ptrdiff_t dim) {
  EACH(dim, AHEAD_BACK(WHOLE, PUT_WHOLE), AHEAD_BACK(PART, PUT_PART))
}

#define BEHIND_BACK(LOAD, STORE)                 \
  vf r = splat(1), sum = splat(0);               \
  for (ptrdiff_t t = rows - 1; t >= 0; t--) {    \
    const vf d = r * LOAD(dy, t);                \
    STORE(dx, t, LOAD(dx, t) + d);               \
    STORE(dy, t, d * LOAD(x, t));                \
    r = KERNEL(faded)(r, LOAD(a, t));            \
  }                                              \
  for (ptrdiff_t t = 0; t < rows; t++) {         \
    STORE(dlog, t, LOAD(dlog, t) + sum);         \
    sum += LOAD(dy, t);                          \
  }
void KERNEL(scan_behind_back)(
    float *dy, const float *a, const float *x, float *dx, float *dlog, ptrdiff_t rows, ptrdiff_t dim) {
  EACH(dim, BEHIND_BACK(WHOLE, PUT_WHOLE), BEHIND_BACK(PART, PUT_PART))
}

/// w ← w∘a, and its product with q.
INLINE float KERNEL(step_dot)(float *w, const float *a, const float *q, ptrdiff_t dim) {
  vf sum = splat(0);
  EACH(dim, const vf next = load(w + i) * load(a + i); store(w + i, next); sum = vfma(next, load(q + i), sum);
       , const vf next = vpartial(w + i, rest, 0) * vpartial(a + i, rest, 0); store_part(w + i, next, (int)rest);
       sum = vfma(next, vpartial(q + i, rest, 0), sum);)
  return vsum(sum);
}
INLINE float KERNEL(plain_dot)(const float *x, const float *y, ptrdiff_t dim) {
  vf sum = splat(0);
  EACH(dim, sum = vfma(load(x + i), load(y + i), sum);
       , sum = vfma(vpartial(x + i, rest, 0), vpartial(y + i, rest, 0), sum);)
  return vsum(sum);
}

void KERNEL(scan_pairs)(
    const float *q, const float *k, const float *a, float *s, ptrdiff_t ss, ptrdiff_t skip, ptrdiff_t rows,
    ptrdiff_t keys, ptrdiff_t dim, float *w) {
  for (ptrdiff_t j = 0; j < keys && j < rows; j++) {
    memcpy(w, k + j * dim, (size_t)dim * sizeof(float));
    if (j >= skip) s[(j - skip) * ss + j] = KERNEL(plain_dot)(w, q + j * dim, dim);
    for (ptrdiff_t t = j + 1; t < rows; t++) {
      const float *row = t >= skip ? q + t * dim : w;
      const float product = KERNEL(step_dot)(w, a + t * dim, row, dim);
      if (t >= skip) s[(t - skip) * ss + j] = product;
    }
  }
}

void KERNEL(scan_pairs_back)(
    const float *ds, ptrdiff_t ss, const float *q, const float *k, const float *a, float *dq, float *dk, float *dlog,
    ptrdiff_t skip, ptrdiff_t rows, ptrdiff_t keys, ptrdiff_t dim, float *w) {
  float *dw = w + rows * dim;
  for (ptrdiff_t j = 0; j < keys && j < rows; j++) {
    memcpy(w + j * dim, k + j * dim, (size_t)dim * sizeof(float));
    memset(dw, 0, (size_t)dim * sizeof(float));
    for (ptrdiff_t t = j + 1; t < rows; t++)
      KERNEL(scan_multiply)(w + (t - 1) * dim, a + t * dim, w + t * dim, dim);
    for (ptrdiff_t t = rows - 1; t >= j; t--) {
      if (t >= skip) {
        const vf g = splat(ds[(t - skip) * ss + j]);
        const float *row = q + t * dim, *was = w + t * dim;
        float *target = dq + t * dim;
        EACH(dim, store(dw + i, vfma(g, load(row + i), load(dw + i)));
             store(target + i, vfma(g, load(was + i), load(target + i)));
             , store_part(dw + i, vfma(g, vpartial(row + i, rest, 0), vpartial(dw + i, rest, 0)), (int)rest);
             store_part(target + i, vfma(g, vpartial(was + i, rest, 0), vpartial(target + i, rest, 0)), (int)rest);)
      }
      if (t == j) break;
      const float *was = w + t * dim, *own = a + t * dim;
      float *target = dlog + t * dim;
      EACH(dim, const vf d = load(dw + i); store(target + i, vfma(d, load(was + i), load(target + i)));
           store(dw + i, d * load(own + i));
           , const vf d = vpartial(dw + i, rest, 0);
           store_part(target + i, vfma(d, vpartial(was + i, rest, 0), vpartial(target + i, rest, 0)), (int)rest);
           store_part(dw + i, d * vpartial(own + i, rest, 0), (int)rest);)
    }
    float *target = dk + j * dim;
    EACH(dim, store(target + i, load(target + i) + load(dw + i));
         , store_part(target + i, vpartial(target + i, rest, 0) + vpartial(dw + i, rest, 0), (int)rest);)
  }
}
