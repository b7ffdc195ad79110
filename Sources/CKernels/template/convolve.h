// A short causal convolution with a filter a column and SiLU behind it, and gates.

// Rows that are walked before the next columns are, forward and back: columns of so few rows are read and written side by side, as
// memory likes it, and a row of x is loaded once for most of its taps.
#define FILTER_ROWS 4
#define UNFILTER_ROWS 8

// A vector, or the `rest` first numbers of one; below 0: all of it. What calls these knows which.
INLINE vf KERNEL(filter_get)(const float *p, ptrdiff_t rest) { return rest < 0 ? load(p) : vpartial(p, rest, 0); }
INLINE void KERNEL(filter_put)(float *p, vf v, ptrdiff_t rest) {
  if (rest < 0) store(p, v);
  else store_part(p, v, (int)rest);
}

// Rows first ..< last of one vector of columns. seen[u] is row t - taps + 1 + u: a row is loaded once for all taps.
INLINE void KERNEL(filter1)(
    const float *x, const float *past, const float *w, const float *bias, float *y, float *slope, ptrdiff_t stride,
    ptrdiff_t first, ptrdiff_t last, ptrdiff_t taps, ptrdiff_t rest) {
  vf own[8], seen[8];
  for (ptrdiff_t u = 0; u < taps; u++) own[u] = KERNEL(filter_get)(w + u * stride, rest);
  for (ptrdiff_t u = 1; u < taps; u++) {
    const ptrdiff_t row = first - taps + u;
    seen[u] = row >= 0 ? KERNEL(filter_get)(x + row * stride, rest)
        : past         ? KERNEL(filter_get)(past + (row + taps - 1) * stride, rest)
                       : splat(0);
  }
  const vf start = bias ? KERNEL(filter_get)(bias, rest) : splat(0);
  for (ptrdiff_t t = first; t < last; t++) {
    for (ptrdiff_t u = 1; u < taps; u++) seen[u - 1] = seen[u];
    seen[taps - 1] = KERNEL(filter_get)(x + t * stride, rest);
    vf sum = start;
    for (ptrdiff_t u = 0; u < taps; u++) sum = vfma(own[u], seen[u], sum);
    // One division for the value and its slope: what the product z·s is off by from z / (1 + e^−z) is put right by two multiply-adds.
    const vf e = splat(1) + vexp1(-sum), s = splat(1) / e, near = sum * s;
    KERNEL(filter_put)(y + t * stride, vfma(s, vfma(-e, near, sum), near), rest);
    if (slope) KERNEL(filter_put)(slope + t * stride, s * (splat(1) + sum * (splat(1) - s)), rest);
  }
}
INLINE void KERNEL(filter)(
    const float *x, const float *past, const float *w, const float *bias, float *y, float *slope, ptrdiff_t stride,
    ptrdiff_t first, ptrdiff_t last, ptrdiff_t taps, ptrdiff_t rest) {
  // The published filters have four taps; these stay in registers.
  if (taps == 4) KERNEL(filter1)(x, past, w, bias, y, slope, stride, first, last, 4, rest);
  else if (taps == 3) KERNEL(filter1)(x, past, w, bias, y, slope, stride, first, last, 3, rest);
  else if (taps == 2) KERNEL(filter1)(x, past, w, bias, y, slope, stride, first, last, 2, rest);
  else KERNEL(filter1)(x, past, w, bias, y, slope, stride, first, last, taps, rest);
}
void KERNEL(convolve)(
    const float *x, const float *past, const float *w, const float *bias, float *y, float *slope, ptrdiff_t stride,
    ptrdiff_t rows, ptrdiff_t columns, ptrdiff_t taps) {
  for (ptrdiff_t first = 0; first < rows; first += FILTER_ROWS) {
    const ptrdiff_t last = first + FILTER_ROWS < rows ? first + FILTER_ROWS : rows;
    EACH(columns,
         KERNEL(filter)(x + i, past ? past + i : 0, w + i, bias ? bias + i : 0, y + i, slope ? slope + i : 0, stride, first,
                        last, taps, -1);
         , KERNEL(filter)(x + i, past ? past + i : 0, w + i, bias ? bias + i : 0, y + i, slope ? slope + i : 0, stride,
                          first, last, taps, rest);)
  }
}

// ahead[u] is the gradient before the activation in row t + u, seen[u] is x as above: each is loaded once for all taps.
INLINE void KERNEL(unfilter1)(
    const float *dy, const float *slope, const float *x, const float *w, float *dx, float *dw, float *dbias,
    ptrdiff_t stride, ptrdiff_t first, ptrdiff_t last, ptrdiff_t rows, ptrdiff_t taps, ptrdiff_t rest) {
  vf own[8], sums[8], seen[8], ahead[8];
  for (ptrdiff_t u = 0; u < taps; u++) {
    own[u] = KERNEL(filter_get)(w + u * stride, rest);
    sums[u] = KERNEL(filter_get)(dw + u * stride, rest);
  }
  for (ptrdiff_t u = 1; u < taps; u++) {
    const ptrdiff_t before = first - taps + u, row = first + u - 1;
    seen[u] = before >= 0 ? KERNEL(filter_get)(x + before * stride, rest) : splat(0);
    ahead[u] = row < rows
        ? KERNEL(filter_get)(dy + row * stride, rest) * KERNEL(filter_get)(slope + row * stride, rest)
        : splat(0);
  }
  vf all = dbias ? KERNEL(filter_get)(dbias, rest) : splat(0);
  for (ptrdiff_t t = first; t < last; t++) {
    const ptrdiff_t row = t + taps - 1;
    for (ptrdiff_t u = 1; u < taps; u++) {
      seen[u - 1] = seen[u];
      ahead[u - 1] = ahead[u];
    }
    seen[taps - 1] = KERNEL(filter_get)(x + t * stride, rest);
    ahead[taps - 1] = row < rows
        ? KERNEL(filter_get)(dy + row * stride, rest) * KERNEL(filter_get)(slope + row * stride, rest)
        : splat(0);
    vf sum = splat(0);
    for (ptrdiff_t u = 0; u < taps; u++) sum = vfma(own[u], ahead[taps - 1 - u], sum);
    KERNEL(filter_put)(dx + t * stride, sum, rest);
    all += ahead[0];
    for (ptrdiff_t u = 0; u < taps; u++) sums[u] = vfma(ahead[0], seen[u], sums[u]);
  }
  for (ptrdiff_t u = 0; u < taps; u++) KERNEL(filter_put)(dw + u * stride, sums[u], rest);
  if (dbias) KERNEL(filter_put)(dbias, all, rest);
}
INLINE void KERNEL(unfilter)(
    const float *dy, const float *slope, const float *x, const float *w, float *dx, float *dw, float *dbias,
    ptrdiff_t stride, ptrdiff_t first, ptrdiff_t last, ptrdiff_t rows, ptrdiff_t taps, ptrdiff_t rest) {
  if (taps == 4) KERNEL(unfilter1)(dy, slope, x, w, dx, dw, dbias, stride, first, last, rows, 4, rest);
  else if (taps == 3) KERNEL(unfilter1)(dy, slope, x, w, dx, dw, dbias, stride, first, last, rows, 3, rest);
  else if (taps == 2) KERNEL(unfilter1)(dy, slope, x, w, dx, dw, dbias, stride, first, last, rows, 2, rest);
  else KERNEL(unfilter1)(dy, slope, x, w, dx, dw, dbias, stride, first, last, rows, taps, rest);
}
void KERNEL(convolve_back)(
    const float *dy, const float *slope, const float *x, const float *w, float *dx, float *dw, float *dbias,
    ptrdiff_t stride, ptrdiff_t rows, ptrdiff_t columns, ptrdiff_t taps) {
  for (ptrdiff_t first = 0; first < rows; first += UNFILTER_ROWS) {
    const ptrdiff_t last = first + UNFILTER_ROWS < rows ? first + UNFILTER_ROWS : rows;
    EACH(columns,
         KERNEL(unfilter)(dy + i, slope + i, x + i, w + i, dx + i, dw + i, dbias ? dbias + i : 0, stride, first, last,
                          rows, taps, -1);
         , KERNEL(unfilter)(dy + i, slope + i, x + i, w + i, dx + i, dw + i, dbias ? dbias + i : 0, stride, first, last,
                            rows, taps, rest);)
  }
}

INLINE vf KERNEL(gate_value)(vf z, int kind) {
  return kind == 0 ? KERNEL(act)(z, 3) : splat(1) / (splat(1) + vexp1(-z));
}
INLINE vf KERNEL(gate_slope)(vf z, int kind) {
  if (kind == 0) return KERNEL(slope)(z, 3);
  const vf s = splat(1) / (splat(1) + vexp1(-z));
  return s * (splat(1) - s);
}

void KERNEL(gate)(int kind, const float *x, const float *z, float *y, ptrdiff_t n) {
  EACH(n, store(y + i, load(x + i) * KERNEL(gate_value)(load(z + i), kind));
       , store_part(y + i, vpartial(x + i, rest, 0) * KERNEL(gate_value)(vpartial(z + i, rest, 0), kind), (int)rest);)
}
void KERNEL(gate_back)(
    int kind, const float *dy, const float *x, const float *z, float *dx, float *dz, ptrdiff_t n) {
  EACH(n, const vf d = load(dy + i); const vf own = load(z + i);
       store(dx + i, d * KERNEL(gate_value)(own, kind)); store(dz + i, d * load(x + i) * KERNEL(gate_slope)(own, kind));
       , const vf d = vpartial(dy + i, rest, 0); const vf own = vpartial(z + i, rest, 0);
       store_part(dx + i, d * KERNEL(gate_value)(own, kind), (int)rest);
       store_part(dz + i, d * vpartial(x + i, rest, 0) * KERNEL(gate_slope)(own, kind), (int)rest);)
}
