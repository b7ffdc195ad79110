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

/// z becomes softplus(z) with y = e^−|z| beside it: max(z, 0) + log(1 + y), the logarithm y times a polynomial that is near log(1 + y)/y
/// within 5e-9 of it.
INLINE void KERNEL(softplus_some)(const int n, vf *z, vf *y) {
  vf p[SOME_VECTORS];
  SOME y[v] = -vmax(z[v], -z[v]);
  KERNEL(fading_some)(n, y);
  SOME p[v] = vfma(splat(-0.003256378486728907f), y[v], splat(0.019907160985791983f));
  SOME p[v] = vfma(p[v], y[v], splat(-0.05706420086893429f));
  SOME p[v] = vfma(p[v], y[v], splat(0.10614264697486452f));
  SOME p[v] = vfma(p[v], y[v], splat(-0.15311863108126256f));
  SOME p[v] = vfma(p[v], y[v], splat(0.19678117258341915f));
  SOME p[v] = vfma(p[v], y[v], splat(-0.24954558871467292f));
  SOME p[v] = vfma(p[v], y[v], splat(0.3333000403526074f));
  SOME p[v] = vfma(p[v], y[v], splat(-0.4999990399276575f));
  SOME p[v] = vfma(p[v], y[v], splat(0.9999999953848526f));
  SOME z[v] = vfma(p[v], y[v], vmax(z[v], splat(0)));
}

#define GATE_ROW(BODY)                                                                        \
  ptrdiff_t i = 0;                                                                             \
  for (; i + SOME_VECTORS * VL <= dim; i += SOME_VECTORS * VL) { BODY(SOME_VECTORS, 0) }       \
  for (; i + VL <= dim; i += VL) { BODY(1, 0) }                                                \
  if (i < dim) { BODY(1, (int)(dim - i)) }

INLINE void KERNEL(gate_some)(
    const int n, const int lanes, const float *x, const float *bias, vf sign, vf rate, float *a) {
  vf z[SOME_VECTORS], y[SOME_VECTORS];
  SOME z[v] = sign * ((lanes ? load_part(x, lanes) : load(x + v * VL)) + (lanes ? load_part(bias, lanes) : load(bias + v * VL)));
  KERNEL(softplus_some)(n, z, y);
  SOME z[v] *= rate;
  KERNEL(fading_some)(n, z);
  SOME {
    if (lanes) store_part(a, z[v], lanes);
    else store(a + v * VL, z[v]);
  }
}
void KERNEL(scan_gate)(
    const float *x, ptrdiff_t xs, const float *bias, float sign, float rate, float *a, ptrdiff_t rows, ptrdiff_t dim) {
  for (ptrdiff_t t = 0; t < rows; t++, x += xs, a += dim) {
#define BODY(n, lanes) KERNEL(gate_some)(n, lanes, x + i, bias + i, splat(sign), splat(-rate), a + i);
    GATE_ROW(BODY)
#undef BODY
  }
}

/// dx, and with `rates` what a row says of the log rate, summed over its channels in single precision.
INLINE vf KERNEL(gate_back_some)(
    const int n, const int lanes, const int rates, const float *x, const float *bias, vf sign, vf rate, const float *dlog,
    float *dx) {
  vf z[SOME_VECTORS], y[SOME_VECTORS], below[SOME_VECTORS], d[SOME_VECTORS], all = splat(0);
  SOME z[v] = sign * ((lanes ? load_part(x, lanes) : load(x + v * VL)) + (lanes ? load_part(bias, lanes) : load(bias + v * VL)));
  SOME d[v] = rate * (lanes ? load_part(dlog, lanes) : load(dlog + v * VL));
  SOME below[v] = z[v];
  if (rates) {
    KERNEL(softplus_some)(n, z, y);
    SOME all = vfma(d[v], z[v], all);
  } else {
    SOME y[v] = -vmax(z[v], -z[v]);
    KERNEL(fading_some)(n, y);
  }
  SOME {
    const vf p = splat(1) / (splat(1) + y[v]), own = sign * d[v] * (below[v] < splat(0) ? y[v] * p : p);
    if (lanes) store_part(dx, own, lanes);
    else store(dx + v * VL, own);
  }
  return all;
}

/// Rows whose gradients are added up before they go to sums in Double.
#define GATE_ROWS 8

void KERNEL(scan_gate_back)(
    const float *x, ptrdiff_t xs, const float *bias, float sign, float rate, const float *dlog, float *dx, ptrdiff_t rows,
    ptrdiff_t dim, double *rates, double *biases) {
  for (ptrdiff_t t = 0; t < rows; t += GATE_ROWS) {
    const ptrdiff_t count = rows - t < GATE_ROWS ? rows - t : GATE_ROWS;
    float *first = dx;
    for (ptrdiff_t r = 0; r < count; r++, x += xs, dlog += dim, dx += dim) {
      vf all = splat(0);
#define BODY(n, lanes)                                                                                               \
  if (rates) all += KERNEL(gate_back_some)(n, lanes, 1, x + i, bias + i, splat(sign), splat(-rate), dlog + i, dx + i); \
  else KERNEL(gate_back_some)(n, lanes, 0, x + i, bias + i, splat(sign), splat(-rate), dlog + i, dx + i);
      GATE_ROW(BODY)
#undef BODY
      if (rates) *rates += (double)vsum(all);
    }
    ptrdiff_t i = 0;
    for (; i + VL <= dim; i += VL) {
      vf sum = load(first + i);
      for (ptrdiff_t r = 1; r < count; r++) sum += load(first + r * dim + i);
      float lane[VL];
      store(lane, sum);
      for (ptrdiff_t half = 0; half < VL; half += VL / 2) {
        vd own;
        memcpy(&own, biases + i + half, sizeof own);
        own += KERNEL(wide)(lane + half);
        memcpy(biases + i + half, &own, sizeof own);
      }
    }
    for (; i < dim; i++) {
      float sum = first[i];
      for (ptrdiff_t r = 1; r < count; r++) sum += first[r * dim + i];
      biases[i] += (double)sum;
    }
  }
}
#undef GATE_ROW

/// VL numbers that are `stride` apart, of which `used` exist; 0 behind them.
INLINE vf KERNEL(apart)(const float *x, ptrdiff_t stride, ptrdiff_t used) {
  if (stride == 1 && used >= VL) return load(x);
  float lane[VL] = {0};
  for (ptrdiff_t i = 0; i < used && i < VL; i++) lane[i] = x[i * stride];
  return load(lane);
}
INLINE void KERNEL(put_few)(float *y, vf x, ptrdiff_t used) {
  if (used >= VL) store(y, x);
  else store_part(y, x, (int)used);
}
INLINE vf KERNEL(sigmoid_of)(vf z) {
  const vf y = KERNEL(fading)(-vmax(z, -z)), p = splat(1) / (splat(1) + y);
  return z < splat(0) ? y * p : p;
}

void KERNEL(scan_step_gate)(
    const float *x, ptrdiff_t xs, float bias, float sign, float rate, float *logs, float *steps, ptrdiff_t n) {
  for (ptrdiff_t i = 0; i < n; i += VL) {
    const vf step = KERNEL(softplus)(splat(sign) * (KERNEL(apart)(x + i * xs, xs, n - i) + splat(bias)));
    KERNEL(put_few)(logs + i, splat(-rate) * step, n - i);
    if (steps) KERNEL(put_few)(steps + i, step, n - i);
  }
}

void KERNEL(scan_step_gate_back)(
    const float *x, ptrdiff_t xs, float bias, float sign, float rate, const float *dlog, const float *dstep, float *dx,
    ptrdiff_t n, double *sums) {
  double rates = 0, biases = 0;
  for (ptrdiff_t i = 0; i < n; i += VL) {
    const vf z = splat(sign) * (KERNEL(apart)(x + i * xs, xs, n - i) + splat(bias));
    const vf d = splat(-rate) * KERNEL(apart)(dlog + i, 1, n - i);
    const vf step = dstep ? KERNEL(apart)(dstep + i, 1, n - i) : splat(0);
    const vf own = splat(sign) * (step + d) * KERNEL(sigmoid_of)(z);
    KERNEL(put_few)(dx + i, own, n - i);
    float lane[2][VL];
    store(lane[0], d * KERNEL(softplus)(z));
    store(lane[1], own);
    for (ptrdiff_t j = 0; j < VL && i + j < n; j++) {
      rates += (double)lane[0][j];
      biases += (double)lane[1][j];
    }
  }
  sums[0] += rates;
  sums[1] += biases;
}

void KERNEL(scan_sigmoid)(const float *x, ptrdiff_t xs, float *y, ptrdiff_t n) {
  for (ptrdiff_t i = 0; i < n; i += VL)
    KERNEL(put_few)(y + i, KERNEL(sigmoid_of)(KERNEL(apart)(x + i * xs, xs, n - i)), n - i);
}

/// `lanes` lanes of a last vector, where that is not 0.
INLINE vf KERNEL(take)(const float *p, const int lanes) { return lanes ? load_part(p, lanes) : load(p); }
INLINE void KERNEL(put)(float *p, vf x, const int lanes) {
  if (lanes) store_part(p, x, lanes);
  else store(p, x);
}
#define take KERNEL(take)
#define put KERNEL(put)

/// BODY(nv, lanes, i) for all channels, four vectors at once where there are so many: chains of products do not wait for each other.
#define CHANNELS(dim, BODY)                                         \
  {                                                                 \
    ptrdiff_t i = 0;                                                \
    for (; i + 4 * VL <= (dim); i += 4 * VL) { BODY(4, 0, i) }      \
    for (; i + VL <= (dim); i += VL) { BODY(1, 0, i) }              \
    if (i < (dim)) { BODY(1, (int)((dim) - i), i) }                 \
  }
#define EVERY(nv) UNROLL for (int v = 0; v < (nv); v++)

INLINE void KERNEL(totals)(const int nv, const int lanes, const float *a, float *y, ptrdiff_t rows, ptrdiff_t dim) {
  vf r[4];
  EVERY(nv) r[v] = splat(1);
  for (ptrdiff_t t = 0; t < rows; t++, a += dim) EVERY(nv) r[v] = KERNEL(faded)(r[v], take(a + v * VL, lanes));
  EVERY(nv) put(y + v * VL, r[v], lanes);
}
void KERNEL(scan_totals)(const float *a, float *y, ptrdiff_t rows, ptrdiff_t dim) {
#define BODY(nv, lanes, i) KERNEL(totals)(nv, lanes, a + i, y + i, rows, dim);
  CHANNELS(dim, BODY)
#undef BODY
}

INLINE void KERNEL(ahead)(
    const int nv, const int lanes, const float *x, const float *a, float *y, ptrdiff_t skip, ptrdiff_t rows,
    ptrdiff_t dim) {
  vf r[4];
  EVERY(nv) r[v] = splat(1);
  for (ptrdiff_t t = 0; t < rows; t++, x += dim, a += dim, y += dim) {
    EVERY(nv) r[v] = KERNEL(faded)(r[v], take(a + v * VL, lanes));
    if (t < skip) continue;
    EVERY(nv) put(y + v * VL, r[v] * take(x + v * VL, lanes), lanes);
  }
}
void KERNEL(scan_ahead)(const float *x, const float *a, float *y, ptrdiff_t skip, ptrdiff_t rows, ptrdiff_t dim) {
#define BODY(nv, lanes, i) KERNEL(ahead)(nv, lanes, x + i, a + i, y + i, skip, rows, dim);
  CHANNELS(dim, BODY)
#undef BODY
}

INLINE void KERNEL(behind)(
    const int nv, const int lanes, const float *x, const float *a, float *y, ptrdiff_t rows, ptrdiff_t dim) {
  vf r[4];
  EVERY(nv) r[v] = splat(1);
  for (ptrdiff_t t = rows - 1; t >= 0; t--) {
    EVERY(nv) {
      const ptrdiff_t at = t * dim + v * VL;
      const vf own = take(a + at, lanes);
      put(y + at, r[v] * take(x + at, lanes), lanes);
      r[v] = KERNEL(faded)(r[v], own);
    }
  }
}
void KERNEL(scan_behind)(const float *x, const float *a, float *y, ptrdiff_t rows, ptrdiff_t dim) {
#define BODY(nv, lanes, i) KERNEL(behind)(nv, lanes, x + i, a + i, y + i, rows, dim);
  CHANNELS(dim, BODY)
#undef BODY
}

INLINE void KERNEL(ahead_back)(
    const int nv, const int lanes, float *dy, const float *a, const float *x, float *dx, float *dlog, ptrdiff_t skip,
    ptrdiff_t rows, ptrdiff_t dim) {
  vf r[4], sum[4];
  EVERY(nv) r[v] = splat(1), sum[v] = splat(0);
  for (ptrdiff_t t = 0; t < rows; t++) {
    EVERY(nv) r[v] = KERNEL(faded)(r[v], take(a + t * dim + v * VL, lanes));
    if (t < skip) continue;
    EVERY(nv) {
      const ptrdiff_t at = t * dim + v * VL;
      const vf d = r[v] * take(dy + at, lanes);
      put(dx + at, take(dx + at, lanes) + d, lanes);
      put(dy + at, d * take(x + at, lanes), lanes);
    }
  }
  for (ptrdiff_t t = rows - 1; t >= 0; t--) {
    EVERY(nv) {
      const ptrdiff_t at = t * dim + v * VL;
      if (t >= skip) sum[v] += take(dy + at, lanes);
      put(dlog + at, take(dlog + at, lanes) + sum[v], lanes);
    }
  }
}
void KERNEL(scan_ahead_back)(
    float *dy, const float *a, const float *x, float *dx, float *dlog, ptrdiff_t skip, ptrdiff_t rows, ptrdiff_t dim) {
#define BODY(nv, lanes, i) KERNEL(ahead_back)(nv, lanes, dy + i, a + i, x + i, dx + i, dlog + i, skip, rows, dim);
  CHANNELS(dim, BODY)
#undef BODY
}

INLINE void KERNEL(behind_back)(
    const int nv, const int lanes, float *dy, const float *a, const float *x, float *dx, float *dlog, ptrdiff_t rows,
    ptrdiff_t dim) {
  vf r[4], sum[4];
  EVERY(nv) r[v] = splat(1), sum[v] = splat(0);
  for (ptrdiff_t t = rows - 1; t >= 0; t--) {
    EVERY(nv) {
      const ptrdiff_t at = t * dim + v * VL;
      const vf d = r[v] * take(dy + at, lanes);
      put(dx + at, take(dx + at, lanes) + d, lanes);
      put(dy + at, d * take(x + at, lanes), lanes);
      r[v] = KERNEL(faded)(r[v], take(a + at, lanes));
    }
  }
  for (ptrdiff_t t = 0; t < rows; t++) {
    EVERY(nv) {
      const ptrdiff_t at = t * dim + v * VL;
      put(dlog + at, take(dlog + at, lanes) + sum[v], lanes);
      sum[v] += take(dy + at, lanes);
    }
  }
}
void KERNEL(scan_behind_back)(
    float *dy, const float *a, const float *x, float *dx, float *dlog, ptrdiff_t rows, ptrdiff_t dim) {
#define BODY(nv, lanes, i) KERNEL(behind_back)(nv, lanes, dy + i, a + i, x + i, dx + i, dlog + i, rows, dim);
  CHANNELS(dim, BODY)
#undef BODY
}

/// Tokens at the diagonal of a chunk at most.
#define PAIR_TOKENS 8

/// Products of n rows and one key, whose decays are multiplied up from row to row; a: of the rows. Sums stay in registers.
INLINE void KERNEL(pair_column)(
    const int n, const float *const *q, const float *k, const float *a, ptrdiff_t dim, float *s) {
  vf sum[PAIR_TOKENS];
  UNROLL for (int t = 0; t < n; t++) sum[t] = splat(0);
#define STEP(lanes)                                                \
  vf w = take(k + i, lanes);                                       \
  sum[0] = vfma(w, take(q[0] + i, lanes), sum[0]);                 \
  UNROLL for (int t = 1; t < n; t++) {                             \
    w *= take(a + t * dim + i, lanes);                             \
    sum[t] = vfma(w, take(q[t] + i, lanes), sum[t]);               \
  }
  ptrdiff_t i = 0;
  for (; i + VL <= dim; i += VL) { STEP(0) }
  if (i < dim) {
    const int rest = (int)(dim - i);
    STEP(rest)
  }
#undef STEP
  UNROLL for (int t = 0; t < n; t++) s[t] = vsum(sum[t]);
}

void KERNEL(scan_pairs)(
    const float *q, const float *k, const float *a, float *s, ptrdiff_t ss, ptrdiff_t skip, ptrdiff_t rows,
    ptrdiff_t keys, ptrdiff_t dim) {
  // Rows that are skipped are not read.
  const float *row[PAIR_TOKENS];
  for (ptrdiff_t t = 0; t < rows; t++) row[t] = t < skip ? k : q + t * dim;
  for (ptrdiff_t j = 0; j < keys && j < rows; j++) {
    float sums[PAIR_TOKENS];
    const float *key = k + j * dim, *decays = a + j * dim;
    switch (rows - j) {
#define FEW(n) case n: KERNEL(pair_column)(n, row + j, key, decays, dim, sums); break;
      FEW(1) FEW(2) FEW(3) FEW(4) FEW(5) FEW(6) FEW(7) FEW(8)
#undef FEW
    }
    for (ptrdiff_t t = j > skip ? j : skip; t < rows; t++) s[(t - skip) * ss + j] = sums[t - j];
  }
}

/// The way back of all pairs of PAIR_TOKENS rows and as many keys, one vector of channels in registers.
INLINE void KERNEL(pairs_back)(
    const int lanes, const float *ds, ptrdiff_t ss, const float *q, const float *k, const float *a, float *dq, float *dk,
    float *dlog, ptrdiff_t dim) {
  vf row[PAIR_TOKENS], logs[PAIR_TOKENS], key[PAIR_TOKENS];
  UNROLL for (int t = 0; t < PAIR_TOKENS; t++) row[t] = logs[t] = splat(0);
  UNROLL for (int j = 0; j < PAIR_TOKENS; j++) {
    vf w[PAIR_TOKENS], d = splat(0);
    w[j] = take(k + j * dim, lanes);
    UNROLL for (int t = j + 1; t < PAIR_TOKENS; t++) w[t] = w[t - 1] * take(a + t * dim, lanes);
    UNROLL for (int t = PAIR_TOKENS - 1; t >= j; t--) {
      const vf g = splat(ds[t * ss + j]);
      d = vfma(g, take(q + t * dim, lanes), d);
      row[t] = vfma(g, w[t], row[t]);
      if (t > j) {
        logs[t] = vfma(d, w[t], logs[t]);
        d *= take(a + t * dim, lanes);
      }
    }
    key[j] = d;
  }
  // Both gradients may be one array.
  UNROLL for (int t = 0; t < PAIR_TOKENS; t++) {
    put(dq + t * dim, take(dq + t * dim, lanes) + row[t], lanes);
    put(dk + t * dim, take(dk + t * dim, lanes) + key[t], lanes);
    put(dlog + t * dim, take(dlog + t * dim, lanes) + logs[t], lanes);
  }
}

void KERNEL(scan_pairs_back)(
    const float *ds, ptrdiff_t ss, const float *q, const float *k, const float *a, float *dq, float *dk, float *dlog,
    ptrdiff_t skip, ptrdiff_t rows, ptrdiff_t keys, ptrdiff_t dim, float *w) {
  if (rows == PAIR_TOKENS && keys == PAIR_TOKENS && skip == 0) {
    ptrdiff_t i = 0;
    for (; i + VL <= dim; i += VL)
      KERNEL(pairs_back)(0, ds, ss, q + i, k + i, a + i, dq + i, dk + i, dlog + i, dim);
    if (i < dim) KERNEL(pairs_back)((int)(dim - i), ds, ss, q + i, k + i, a + i, dq + i, dk + i, dlog + i, dim);
    return;
  }
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
