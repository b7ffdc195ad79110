// Vertical softmax of raw scores: softmax.h with the scale folded in (s·factor takes the place of s at no instruction
// more) and weights down-converted to pairs of keys. `l`, and so the LSE, is the sum of the weights before that.

/// The exponentials of `rows` keys × nv vectors; a last key without a partner gets 0 for one.
INLINE void KERNEL(exponentials16)(
    const int rows, const int nv, const float *s, uint32_t *pt, const vf factor, const vf *restrict c,
    vf *restrict sum, const int masked) {
  vf x[8], t[8], p[8];
  const int n = rows * nv;
  UNROLL for (int i = 0; i < n; i++) x[i] = load(s + i * VL);
  UNROLL for (int i = 0; i < n; i++) t[i] = vfma(x[i], factor, c[i % nv]);
  UNROLL for (int i = 0; i < n; i++) p[i] = t[i] - c[i % nv];
  UNROLL for (int i = 0; i < n; i++) x[i] = vfma(x[i], factor, -p[i]);
  UNROLL for (int i = 0; i < n; i++) p[i] = vfma(splat(EXP2_5), x[i], splat(EXP2_4));
  UNROLL for (int i = 0; i < n; i++) p[i] = vfma(p[i], x[i], splat(EXP2_3));
  UNROLL for (int i = 0; i < n; i++) p[i] = vfma(p[i], x[i], splat(EXP2_2));
  UNROLL for (int i = 0; i < n; i++) p[i] = vfma(p[i], x[i], splat(EXP2_1));
  UNROLL for (int i = 0; i < n; i++) p[i] = vfma(p[i], x[i], splat(EXP2_0));
  UNROLL for (int i = 0; i < n; i++) p[i] *= KERNEL(power)(t[i]);
  if (masked) UNROLL for (int i = 0; i < n; i++) p[i] = load(s + i * VL) == MASKED ? splat(0.0f) : p[i];
  UNROLL for (int i = 0; i < n; i++) sum[i % nv] += p[i];
  UNROLL for (int r = 0; r < HALF(rows); r++)
    UNROLL for (int v = 0; v < nv; v++) {
      const vf high = 2 * r + 1 < rows ? p[(2 * r + 1) * nv + v] : splat(0.0f);
      store((float *)(pt + (r * nv + v) * VL), (vf)KERNEL(rounded_pairs)(p[2 * r * nv + v], high));
    }
}

/// References too large for MAGIC − m to be exact: scores are reduced first. Rows of other references take the steps of
/// `exponentials16`, as in `mixed_weight`. Writes weights over the scores.
static __attribute__((noinline)) void KERNEL(huge16)(
    int nv, float *s, int count, float factor, const float *base, float *sum, int masked) {
  for (int t = 0; t < count; t++)
    for (int v = 0; v < nv; v++) {
      float *at = s + ((ptrdiff_t)t * nv + v) * VL;
      vf x = load(at);
      // Rounded as the reference was: the exact product may pass it by far.
      vf y = x * splat(factor);
      const vf reference = load(base + v * VL), c = MAGIC - reference;
      const vf t = vfma(x, splat(factor), c);
      const vf near = KERNEL(half_power)(vfma(x, splat(factor), -(t - c))) * KERNEL(power)(t);
      const vi huge = (reference > HUGE_REFERENCE) | (reference < -HUGE_REFERENCE);
      vf p = huge ? KERNEL(weight)(y, reference) : near;
      if (masked) p = x == MASKED ? splat(0.0f) : p;
      store(sum + v * VL, load(sum + v * VL) + p);
      store(at, p);
    }
}

/// Scores → pairs of weights, for `count` keys of one strip; updates m, l, the down-converted weights' sum and Oᵀ. `masked`: −∞
/// may occur.
INLINE void KERNEL(softmax16_nv)(
    const int nv, float *s, uint32_t *pt, int count, float factor, float *m, float *l, float *rounded,
    float *o, int value_dim, const int masked) {
  vf top[2 * NV_MAX];
  UNROLL for (int v = 0; v < 2 * nv; v++) top[v] = load(s + (v % nv) * VL);
  int t = 0;
  for (; t + 2 <= count; t += 2)
    UNROLL for (int v = 0; v < 2 * nv; v++) top[v] = vmax(load(s + ((ptrdiff_t)t * nv + v) * VL), top[v]);
  if (t < count) UNROLL for (int v = 0; v < nv; v++) top[v] = vmax(load(s + ((ptrdiff_t)t * nv + v) * VL), top[v]);
  vi rises = (vi)0;
  UNROLL for (int v = 0; v < nv; v++) {
    top[v] = vmax(top[v], top[v + nv]) * factor;
    rises |= top[v] > load(m + v * VL) + SLACK;
  }
  if (any(rises)) {
    float high[STRIP];
    UNROLL for (int v = 0; v < nv; v++) store(high + v * VL, top[v]);
    float same[STRIP];
    memcpy(same, m, sizeof(float) * nv * VL);
    KERNEL(raise)(nv, high, same, rounded, o, 0);
    KERNEL(raise)(nv, high, m, l, o, value_dim);
  }
  vf c[NV_MAX], sum[NV_MAX];
  float base[STRIP];
  vi huge = (vi)0;
  UNROLL for (int v = 0; v < nv; v++) {
    vf reference = load(m + v * VL);
    reference = reference == NO_REFERENCE ? splat(0.0f) : reference;
    huge |= (reference > HUGE_REFERENCE) | (reference < -HUGE_REFERENCE);
    store(base + v * VL, reference);
    c[v] = MAGIC - reference;
    sum[v] = (vf)0.0f;
  }
  if (any(huge)) {
    float sums[STRIP] = {0};
    KERNEL(huge16)(nv, s, count, factor, base, sums, masked);
    for (t = 0; t < count; t += 2)
      UNROLL for (int v = 0; v < nv; v++) {
        const float *at = s + ((ptrdiff_t)t * nv + v) * VL;
        const vf high = t + 1 < count ? load(at + nv * VL) : splat(0.0f);
        store((float *)(pt + ((ptrdiff_t)(t / 2) * nv + v) * VL), (vf)KERNEL(rounded_pairs)(load(at), high));
      }
    UNROLL for (int v = 0; v < nv; v++) sum[v] = load(sums + v * VL);
  } else {
    const int rows = EXP_VECTORS / nv / 2 * 2;
    for (t = 0; t + rows <= count; t += rows)
      KERNEL(exponentials16)(
          rows, nv, s + (ptrdiff_t)t * nv * VL, pt + (ptrdiff_t)(t / 2) * nv * VL, splat(factor), c, sum, masked);
    for (; t + 2 <= count; t += 2)
      KERNEL(exponentials16)(
          2, nv, s + (ptrdiff_t)t * nv * VL, pt + (ptrdiff_t)(t / 2) * nv * VL, splat(factor), c, sum, masked);
    if (t < count)
      KERNEL(exponentials16)(
          1, nv, s + (ptrdiff_t)t * nv * VL, pt + (ptrdiff_t)(t / 2) * nv * VL, splat(factor), c, sum, masked);
  }
  UNROLL for (int v = 0; v < nv; v++) store(l + v * VL, load(l + v * VL) + sum[v]);
}
