// A short causal convolution with a filter a column, and gates.

#define FILTERED(LOAD, STORE)                                                 \
  vf own[8];                                                                  \
  for (ptrdiff_t u = 0; u < taps; u++) own[u] = LOAD(w + u * stride + i);     \
  const vf start = bias ? LOAD(bias + i) : splat(0);                          \
  for (ptrdiff_t t = 0; t < rows; t++) {                                      \
    vf sum = start;                                                           \
    for (ptrdiff_t u = 0; u < taps; u++) {                                    \
      const ptrdiff_t row = t - taps + 1 + u;                                 \
      if (row >= 0) sum = vfma(own[u], LOAD(x + row * stride + i), sum);      \
      else if (past) sum = vfma(own[u], LOAD(past + (row + taps - 1) * stride + i), sum); \
    }                                                                         \
    STORE(y + t * stride + i, sum);                                           \
  }
#define WIDE(p) load(p)
#define NARROW(p) vpartial(p, rest, 0)
#define PUT_WIDE(p, v) store(p, v)
#define PUT_NARROW(p, v) store_part(p, v, (int)rest)

void KERNEL(convolve)(
    const float *x, const float *past, const float *w, const float *bias, float *y, ptrdiff_t stride, ptrdiff_t rows,
    ptrdiff_t columns, ptrdiff_t taps) {
  EACH(columns, FILTERED(WIDE, PUT_WIDE), FILTERED(NARROW, PUT_NARROW))
}

#define UNFILTERED(LOAD, STORE)                                               \
  vf own[8];                                                                  \
  for (ptrdiff_t u = 0; u < taps; u++) own[u] = LOAD(w + u * stride + i);     \
  for (ptrdiff_t t = 0; t < rows; t++) {                                      \
    vf sum = splat(0);                                                        \
    for (ptrdiff_t u = 0; u < taps; u++) {                                    \
      const ptrdiff_t row = t + taps - 1 - u;                                 \
      if (row < rows) sum = vfma(own[u], LOAD(dy + row * stride + i), sum);   \
    }                                                                         \
    STORE(dx + t * stride + i, sum);                                          \
  }
void KERNEL(convolve_back)(
    const float *dy, const float *w, float *dx, ptrdiff_t stride, ptrdiff_t rows, ptrdiff_t columns, ptrdiff_t taps) {
  EACH(columns, UNFILTERED(WIDE, PUT_WIDE), UNFILTERED(NARROW, PUT_NARROW))
}

#define FILTER_GRADIENT(LOAD, STORE)                                          \
  vf own[8];                                                                  \
  for (ptrdiff_t u = 0; u < taps; u++) own[u] = LOAD(dw + u * stride + i);    \
  vf all = dbias ? LOAD(dbias + i) : splat(0);                                \
  for (ptrdiff_t t = 0; t < rows; t++) {                                      \
    const vf d = LOAD(dy + t * stride + i);                                   \
    all += d;                                                                 \
    for (ptrdiff_t u = 0; u < taps; u++) {                                    \
      const ptrdiff_t row = t - taps + 1 + u;                                 \
      if (row >= 0) own[u] = vfma(d, LOAD(x + row * stride + i), own[u]);     \
    }                                                                         \
  }                                                                           \
  for (ptrdiff_t u = 0; u < taps; u++) STORE(dw + u * stride + i, own[u]);    \
  if (dbias) STORE(dbias + i, all);
void KERNEL(convolve_gradient)(
    const float *dy, const float *x, float *dw, float *dbias, ptrdiff_t stride, ptrdiff_t rows, ptrdiff_t columns,
    ptrdiff_t taps) {
  EACH(columns, FILTER_GRADIENT(WIDE, PUT_WIDE), FILTER_GRADIENT(NARROW, PUT_NARROW))
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
