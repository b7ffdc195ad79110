// The way back of additive scores: with u = dS·w_t·(1 − tanh²), dq_it += Σ_j u, dk_jt += Σ_i u, dw_t += Σ dS·tanh.

/// Adds a strip's part: dq and dw are [dim][lane]; `target` has the rows of dk. dim in steps of VL, whose lane sums are
/// formed together.
static __attribute__((noinline)) void KERNEL(energy_slopes)(
    int nv, const float *ds, const float *const *keys, int count, int dim, const float *q, const float *w, float *dq,
    float *dw, float *const *target) {
  const int width = nv * VL;
  for (int t = 0; t < count; t++) {
    const float *k = keys[t], *slope = ds + (ptrdiff_t)t * width;
    for (int d = 0; d < dim; d += VL) {
      const int part = dim - d < VL ? dim - d : VL;
      vf sum[VL];
      UNROLL for (int i = 0; i < VL; i++) sum[i] = splat(0.0f);
      for (int i = 0; i < part; i++)
        for (int v = 0; v < nv; v++) {
          const ptrdiff_t at = (ptrdiff_t)(d + i) * width + v * VL;
          const vf ratio = KERNEL(tanh_ratio)(load(q + at) + k[d + i]), s = load(slope + v * VL);
          const vf u = s * w[d + i] * vfma(-ratio, ratio, splat(1.0f));
          store(dq + at, load(dq + at) + u);
          store(dw + at, vfma(s, ratio, load(dw + at)));
          sum[i] += u;
        }
      const vf total = KERNEL(sum_each)(sum);
      float *p = target[t] + d;
      if (part == VL) store(p, load(p) + total);
      else store_part(p, load_part(p, part) + total, part);
    }
  }
}
