// Vertical softmax: every lane is a query row; its running reference m is a whole number, in base 2.

/// 1.5·2²³: adding it rounds a float of modest size to an integer in its low bits. 102 more, an even number, so that halves
/// round as without it: the low nine bits are the sign and exponent of 2^(integer − 25), moved up by 23 they are that number,
/// and at the floor they are 0.
#define MAGIC (12582912.0f + 102.0f)
/// Weights of 2^FLOOR of the reference and less are exactly 0: far below rounding, far above denormal numbers.
#define FLOOR_EXPONENT -102.0f
/// MAGIC + FLOOR_EXPONENT, and its bits. Positive floats are in the order of their bits, negative ones are below them.
#define FLOOR_MAGIC (MAGIC + FLOOR_EXPONENT)
#define FLOOR_BITS 0x4b400000
/// The reference is raised only when a score passes it by more than this, so rescaling is rare; weights stay ≤ 2^8.
#define SLACK 8.0f
/// References beyond this size lose the exactness of MAGIC − m; such blocks subtract first.
#define HUGE_REFERENCE 1048576.0f
/// The reference of a row that has seen no key, and a masked score. No legal score can be either: the score of a pair that
/// counts is finite, or its row is refused (see `exponentials` and `apply_mask`).
#define NO_REFERENCE (-__builtin_inff())
#define MASKED (-__builtin_inff())

/// 2²⁵·2^f on [−½, ½]: minimax with the constant term 2²⁵.
#define EXP2_0 0x1p25f
#define EXP2_1 0x1.62e42ap24f
#define EXP2_2 0x1.ebf9bcp22f
#define EXP2_3 0x1.c6b754p20f
#define EXP2_4 0x1.3ceab4p18f
#define EXP2_5 0x1.5bb9dep15f
/// Exponentials in flight: what the registers hold.
#define EXP_VECTORS (ISA_REGISTERS >= 32 ? 8 : 4)

/// 2^(n − 25) from t = MAGIC + n, n a whole number; exactly 0 at the floor and below. A maximum of whole numbers leaves the ports
/// of multiply-adds free on Zen 4; SSE2 has none.
INLINE vf KERNEL(power)(vf t) {
#if ISA_FMA
  return (vf)(__builtin_elementwise_max((vi)t, (vi)FLOOR_BITS) << 23);
#else
  return (vf)(t > FLOOR_MAGIC ? (vi)t << 23 : (vi)0);
#endif
}

/// 2^x for x ≤ 100, exactly 0 at the floor and below; not of −∞ or NaN. Degree 5, relative error 1.7e-7.
INLINE vf KERNEL(exp2)(vf x) {
  vf t = x + MAGIC;
  vf f = x - (t - MAGIC);
  vf p = vfma(splat(EXP2_5), f, splat(EXP2_4));
  p = vfma(p, f, splat(EXP2_3));
  p = vfma(p, f, splat(EXP2_2));
  p = vfma(p, f, splat(EXP2_1));
  p = vfma(p, f, splat(EXP2_0));
  return p * KERNEL(power)(t);
}

/// 2^(s − m) of a score and its reference: exactly 0 below the floor, though the difference may overflow; NaN of a score
/// that is not finite. For references of any size.
INLINE vf KERNEL(weight)(vf s, vf m) {
  return vfma(s, splat(0.0f), KERNEL(exp2)(vmax(s - m, splat(2 * FLOOR_EXPONENT))));
}

/// ln 2 in two parts; the first has so few bits that a whole number times it is exact.
#define LN2_HIGH 0.693359375f
#define LN2_LOW -2.12194440e-4f

/// (m + log₂ x)·ln 2 for a whole number m and x > 0 that is no denormal number; x itself when it is infinite or NaN.
/// x = 2^e·y, y ∈ [√½, √2), ln y = 2 artanh((y − 1)/(y + 1)): the rounding of the result and some 5e-8 absolutely.
INLINE vf KERNEL(natural_log)(vf x, vf m) {
  const vi bits = (vi)x, e = (bits - 0x3f3504f3) >> 23;
  const vf y = (vf)(bits - (e << 23));
  const vf s = (y - 1.0f) / (y + 1.0f), z = s * s;
  vf p = vfma(splat(1.0f / 9), z, splat(1.0f / 7));
  p = vfma(p, z, splat(1.0f / 5));
  p = vfma(p, z, splat(1.0f / 3));
  const vf ln = vfma(2 * s * z, p, 2 * s);
  const vf whole = m + __builtin_convertvector(e, vf);
  const vf natural = vfma(whole, splat(LN2_HIGH), vfma(whole, splat(LN2_LOW), ln));
  return x < __builtin_inff() ? natural : x;
}

/// e^x for x ≤ 0, exactly 0 where that is below 2^FLOOR; NaN of NaN.
INLINE vf KERNEL(natural_exp)(vf x) {
  const vf p = KERNEL(exp2)(vmax(x * 1.44269504f, splat(2 * FLOOR_EXPONENT)));
  return x == x ? p : x;
}

/// The score, or NaN where it is not finite: −∞ shall mean "masked" alone.
INLINE vf KERNEL(finite_or_nan)(vf s) { return vfma(s, splat(0.0f), s); }

static __attribute__((noinline)) void KERNEL(refuse_infinite)(float *s, ptrdiff_t count) {
  for (ptrdiff_t i = 0; i < count; i++) store(s + i * VL, KERNEL(finite_or_nan)(load(s + i * VL)));
}

/// The same for keys first ..< last of one strip, of which every pair counts: they are rarely written.
INLINE void KERNEL(check_scores)(const int nv, float *s, int first, int last) {
  vf sum[NV_MAX];
  UNROLL for (int v = 0; v < nv; v++) sum[v] = splat(0.0f);
  for (int t = first; t < last; t++)
    UNROLL for (int v = 0; v < nv; v++)
      sum[v] = vfma(load(s + ((ptrdiff_t)t * nv + v) * VL), splat(0.0f), sum[v]);
  vi bad = (vi)0;
  UNROLL for (int v = 0; v < nv; v++) bad |= sum[v] != 0.0f;
  if (any(bad)) KERNEL(refuse_infinite)(s + (ptrdiff_t)first * nv * VL, (ptrdiff_t)(last - first) * nv);
}

/// Sets masked scores of keys first ..< last of one strip to −∞, and with `checked` the others to NaN where they are not
/// finite. `lane0`: the strip's first lane.
INLINE void KERNEL(apply_mask)(
    const int nv, float *s, const attn_piece *piece, const int32_t *key, const uint64_t *word, const int32_t *position,
    int lane0, const int checked) {
  vi pos[NV_MAX], bit[NV_MAX];
  int32_t lane_bit[STRIP];
  for (int i = 0; i < nv * VL; i++) lane_bit[i] = (int32_t)(1u << ((lane0 + i) & 31));
  UNROLL for (int v = 0; v < nv; v++) {
    pos[v] = loadi(position + lane0 + v * VL);
    bit[v] = loadi(lane_bit + v * VL);
  }
  for (int t = piece->first; t < piece->last; t++) {
    float *row = s + (ptrdiff_t)t * nv * VL;
    UNROLL for (int v = 0; v < nv; v++) {
      vi allowed;
      if (piece->mask == ATTN_BITS) {
        int32_t half = (int32_t)(uint32_t)(word[t] >> ((lane0 + v * VL) & 32));
        allowed = (((vi)half) & bit[v]) != 0;
      } else {
        vi distance = pos[v] - key[t];
        allowed = piece->mask == ATTN_BAND ? (distance >= piece->low) & (distance <= piece->high) : distance != 0;
      }
      const vf x = load(row + v * VL);
      store(row + v * VL, allowed ? (checked ? KERNEL(finite_or_nan)(x) : x) : splat(MASKED));
    }
  }
}

/// Masks the keys of a span of a block, whose scores begin at `s` for key 0; `checked` as in apply_mask.
INLINE void KERNEL(mask_block)(
    const int nv, float *s, const attn_block *block, attn_span span, const int32_t *position, int lane0,
    const int checked) {
  for (int i = 0; i < block->pieces; i++) {
    attn_piece piece = block->piece[i];
    piece.first = piece.first > span.first ? piece.first : span.first;
    piece.last = piece.last < span.last ? piece.last : span.last;
    if (piece.mask != ATTN_FULL) KERNEL(apply_mask)(nv, s, &piece, block->key, block->word, position, lane0, checked);
    else if (checked) KERNEL(check_scores)(nv, s, piece.first, piece.last);
  }
}

/// Raises the references of one strip where maxima pass them by SLACK; rescales sums and Oᵀ.
static __attribute__((noinline)) void KERNEL(raise)(
    int nv, const float *top, float *m, float *l, float *o, int value_dim) {
  for (int v = 0; v < nv; v++) {
    vf old = load(m + v * VL), high = load(top + v * VL);
    vf raised = high > old + SLACK ? __builtin_elementwise_ceil(high) : old;
    vf drop = vmax(old - raised, splat(2 * FLOOR_EXPONENT));
    vf factor = raised > old ? KERNEL(exp2)(drop) : splat(1.0f);
    store(m + v * VL, raised);
    if (!any(old != NO_REFERENCE)) continue;
    store(l + v * VL, load(l + v * VL) * factor);
    for (int k = 0; k < value_dim; k++) {
      float *row = o + ((ptrdiff_t)k * nv + v) * VL;
      // What counts nothing any more counts 0, even where it has overflowed.
      store(row, factor == 0.0f ? factor : load(row) * factor);
    }
  }
}

/// The exponentials of `rows` keys × nv vectors, step by step together: a step has as many instructions as hide the
/// latency of the one before, so that the order of the program is the order of execution.
/// Of a score that is not finite, x − p is NaN, so its polynomial and what it is multiplied by are, 0 or not, and so
/// become the row's sum and LSE. A masked score is −∞ too, but its weight is 0: apply_mask has told the two apart.
INLINE void KERNEL(exponentials)(
    const int rows, const int nv, float *s, const vf *restrict c, vf *restrict sum, const int masked) {
  vf x[8], t[8], p[8];
  const int n = rows * nv;
  UNROLL for (int i = 0; i < n; i++) x[i] = load(s + i * VL);
  UNROLL for (int i = 0; i < n; i++) t[i] = x[i] + c[i % nv];
  UNROLL for (int i = 0; i < n; i++) p[i] = t[i] - c[i % nv];
  UNROLL for (int i = 0; i < n; i++) x[i] = x[i] - p[i];
  UNROLL for (int i = 0; i < n; i++) p[i] = vfma(splat(EXP2_5), x[i], splat(EXP2_4));
  UNROLL for (int i = 0; i < n; i++) p[i] = vfma(p[i], x[i], splat(EXP2_3));
  UNROLL for (int i = 0; i < n; i++) p[i] = vfma(p[i], x[i], splat(EXP2_2));
  UNROLL for (int i = 0; i < n; i++) p[i] = vfma(p[i], x[i], splat(EXP2_1));
  UNROLL for (int i = 0; i < n; i++) p[i] = vfma(p[i], x[i], splat(EXP2_0));
  UNROLL for (int i = 0; i < n; i++) p[i] *= KERNEL(power)(t[i]);
  if (masked) UNROLL for (int i = 0; i < n; i++) p[i] = load(s + i * VL) == MASKED ? splat(0.0f) : p[i];
  UNROLL for (int i = 0; i < n; i++) {
    store(s + i * VL, p[i]);
    sum[i % nv] += p[i];
  }
}

/// 2²⁵·2^f for f in [−½, ½].
INLINE vf KERNEL(half_power)(vf f) {
  vf p = vfma(splat(EXP2_5), f, splat(EXP2_4));
  p = vfma(p, f, splat(EXP2_3));
  p = vfma(p, f, splat(EXP2_2));
  p = vfma(p, f, splat(EXP2_1));
  return vfma(p, f, splat(EXP2_0));
}

/// Weights of a strip where some row's reference is huge. The others take the steps of `exponentials`, and have its bits: what
/// one row holds, padding perhaps, is nothing to its neighbours.
INLINE vf KERNEL(mixed_weight)(vf s, vf reference, vf c) {
  const vf t = s + c;
  const vf near = KERNEL(half_power)(s - (t - c)) * KERNEL(power)(t);
  const vi huge = (reference > HUGE_REFERENCE) | (reference < -HUGE_REFERENCE);
  return huge ? KERNEL(weight)(s, reference) : near;
}

/// Scores → weights, in place, for `count` keys of one strip; updates m, l and Oᵀ. `masked`: some scores are MASKED. The
/// sum of a row with a score that is not finite becomes NaN, and stays it.
INLINE void KERNEL(softmax_nv)(
    const int nv, float *s, int count, float *m, float *l, float *o, int value_dim, const int masked) {
  vf top[2 * NV_MAX];
  UNROLL for (int v = 0; v < 2 * nv; v++) top[v] = load(s + (v % nv) * VL);
  int t = 0;
  for (; t + 2 <= count; t += 2)
    UNROLL for (int v = 0; v < 2 * nv; v++) top[v] = vmax(load(s + ((ptrdiff_t)t * nv + v) * VL), top[v]);
  if (t < count) UNROLL for (int v = 0; v < nv; v++) top[v] = vmax(load(s + ((ptrdiff_t)t * nv + v) * VL), top[v]);
  vi rises = (vi)0;
  UNROLL for (int v = 0; v < nv; v++) {
    top[v] = vmax(top[v], top[v + nv]);
    rises |= top[v] > load(m + v * VL) + SLACK;
  }
  if (any(rises)) {
    float high[STRIP];
    UNROLL for (int v = 0; v < nv; v++) store(high + v * VL, top[v]);
    KERNEL(raise)(nv, high, m, l, o, value_dim);
  }
  vf c[NV_MAX], base[NV_MAX], sum[NV_MAX];
  vi huge = (vi)0;
  UNROLL for (int v = 0; v < nv; v++) {
    vf reference = load(m + v * VL);
    reference = reference == NO_REFERENCE ? splat(0.0f) : reference;
    huge |= (reference > HUGE_REFERENCE) | (reference < -HUGE_REFERENCE);
    base[v] = reference;
    c[v] = MAGIC - reference;
    sum[v] = (vf)0.0f;
  }
  if (any(huge)) {
    for (t = 0; t < count; t++)
      UNROLL for (int v = 0; v < nv; v++) {
        float *at = s + ((ptrdiff_t)t * nv + v) * VL;
        vf x = load(at);
        vf p = KERNEL(mixed_weight)(x, base[v], c[v]);
        if (masked) p = x == MASKED ? splat(0.0f) : p;
        sum[v] += p;
        store(at, p);
      }
  } else {
    const int rows = EXP_VECTORS / nv;
    for (t = 0; t + rows <= count; t += rows)
      KERNEL(exponentials)(rows, nv, s + (ptrdiff_t)t * nv * VL, c, sum, masked);
    for (; t < count; t++) KERNEL(exponentials)(1, nv, s + (ptrdiff_t)t * nv * VL, c, sum, masked);
  }
  UNROLL for (int v = 0; v < nv; v++) store(l + v * VL, load(l + v * VL) + sum[v]);
}
