// Additive scores: s_ij = Σ_t w_t·tanh(q_it + k_jt), in the place of products. Lanes are query rows, as in forward.h; tanh is
// computed again in the backward pass, so that nothing of keys × rows × dims is ever stored.

/// Scores in base 2 of `count` keys and one strip of nv vectors: out[key][lane]; q is [dim][lane].
static __attribute__((noinline)) void KERNEL(energy_scores)(
    int nv, float *out, const float *const *keys, int count, int dim, const float *q, const float *w) {
  const int width = nv * VL;
  for (int t = 0; t < count; t++)
    for (int v = 0; v < nv; v++) {
      vf sum[2] = {splat(0.0f), splat(0.0f)};
      const float *lane = q + v * VL, *k = keys[t];
      int d = 0;
      for (; d + 2 <= dim; d += 2)
        UNROLL for (int i = 0; i < 2; i++) {
          const vf ratio = KERNEL(tanh_ratio)(load(lane + (ptrdiff_t)(d + i) * width) + k[d + i]);
          sum[i] = vfma(splat(w[d + i]), ratio, sum[i]);
        }
      if (d < dim) sum[0] = vfma(splat(w[d]), KERNEL(tanh_ratio)(load(lane + (ptrdiff_t)d * width) + k[d]), sum[0]);
      store(out + ((ptrdiff_t)t * nv + v) * VL, (sum[0] + sum[1]) * LOG2_E);
    }
}

/// The scores of a strip in base 2, whatever their kind, before any soft cap.
INLINE void KERNEL(strip_scores)(
    const int mr, const int nv, float *out, const float *const *keys, int count, const attn_head *head,
    const float *q) {
  if (head->energy) KERNEL(energy_scores)(nv, out, keys, count, head->head_dim, q, head->energy);
  else KERNEL(scores_nv)(mr, nv, out, keys, count, head->head_dim, q);
}
