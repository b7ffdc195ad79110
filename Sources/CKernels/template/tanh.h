// tanh of scores: the soft cap of a product.

/// tanh x: an odd rational function on |x| ≤ 7.9, beyond which it is ±1 in single precision; NaN of NaN. Relative error
/// below 4e-7 (`KernelTests` measures it).
INLINE vf KERNEL(tanh_ratio)(vf x) {
  const vf most = splat(7.90531110763549805f);
  vf y = x > most ? most : x;
  y = y < -most ? -most : y;
  const vf z = y * y;
  vf p = vfma(splat(-2.76076847742355e-16f), z, splat(2.00018790482477e-13f));
  p = vfma(p, z, splat(-8.60467152213735e-11f));
  p = vfma(p, z, splat(5.12229709037114e-08f));
  p = vfma(p, z, splat(1.48572235717979e-05f));
  p = vfma(p, z, splat(6.37261928875436e-04f));
  p = vfma(p, z, splat(4.89352455891786e-03f));
  vf q = vfma(splat(1.19825839466702e-06f), z, splat(1.18534705686654e-04f));
  q = vfma(q, z, splat(2.26843463243900e-03f));
  q = vfma(q, z, splat(4.89352518554385e-03f));
  return y * p / q;
}

/// most·tanh(s·by), or NaN where s is not finite: a score that single precision does not hold is refused, capped or not.
INLINE vf KERNEL(capped)(vf s, float by, float most) {
  return vfma(s, splat(0.0f), splat(most) * KERNEL(tanh_ratio)(s * by));
}

/// s ← that of s·factor, `vectors` vectors in place.
static __attribute__((noinline)) void KERNEL(cap_scores)(
    float *s, ptrdiff_t vectors, float factor, float by, float most) {
  for (ptrdiff_t i = 0; i < vectors; i++) store(s + i * VL, KERNEL(capped)(load(s + i * VL) * factor, by, most));
}

/// 1 − tanh² x = 4e/(1 + e)² with e = exp(−2|x|): small to its last bits where tanh is 1 in single precision. 0 of NaN, which
/// is the score of a masked pair, or of a row that is refused.
INLINE vf KERNEL(tanh_slope)(vf x) {
  const vf e = KERNEL(natural_exp)(-2 * vmax(x, -x)), sum = 1 + e;
  return x == x ? 4 * e / (sum * sum) : splat(0.0f);
}

/// log₂ e: scores are in base 2.
#define LOG2_E 1.44269504f

/// The same for scores in base 2 under a head's soft cap, if it has one.
INLINE void KERNEL(soft_cap)(float *s, ptrdiff_t vectors, float softcap) {
  if (softcap != 0) KERNEL(cap_scores)(s, vectors, 1, 1 / (softcap * LOG2_E), softcap * LOG2_E);
}
