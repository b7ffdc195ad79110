// Fused element-wise and row kernels, for one instruction set.
#define vmin KERNEL(vmin)
#define vsum KERNEL(vsum)
#define vtop KERNEL(vtop)
#define vexp1 KERNEL(vexp1)
#define vtanh1 KERNEL(vtanh1)
#define verf KERNEL(verf)
#define vpartial KERNEL(vpartial)

INLINE vf vmin(vf a, vf b) { return a < b ? a : b; }

/// The first `n` elements; the rest are `fill`.
INLINE vf vpartial(const float *p, ptrdiff_t n, float fill) {
  vf v = splat(fill);
  memcpy(&v, p, (size_t)n * sizeof(float));
  return v;
}
INLINE float vsum(vf v) {
  float lane[VL];
  memcpy(lane, &v, sizeof v);
  for (int half = VL / 2; half > 0; half /= 2)
    for (int i = 0; i < half; i++) lane[i] += lane[i + half];
  return lane[0];
}
INLINE float vtop(vf v) { return __builtin_reduce_max(v); }

/// e^x: x = n·ln 2 + r, a degree-6 polynomial on |r| ≤ ln 2 / 2, exponent added as an integer; 2 ulp.
INLINE vf vexp1(vf x) {
  x = vmin(vmax(x, splat(-87.0f)), splat(88.0f));
  const vf magic = splat(12582912.0f);
  vf n = (x * splat(1.44269504088896341f) + magic) - magic;
  vf r = vfma(n, splat(-0.693359375f), x);
  r = vfma(n, splat(2.12194440e-4f), r);
  vf p = splat(1.9875691500e-4f);
  p = vfma(p, r, splat(1.3981999507e-3f));
  p = vfma(p, r, splat(8.3334519073e-3f));
  p = vfma(p, r, splat(4.1665795894e-2f));
  p = vfma(p, r, splat(1.6666665459e-1f));
  p = vfma(p, r, splat(5.0000001201e-1f));
  p = vfma(p, r * r, r + splat(1.0f));
  vi bits = (__builtin_convertvector(n, vi) + 127) << 23;
  vf scale;
  memcpy(&scale, &bits, sizeof scale);
  return p * scale;
}

INLINE vf vtanh1(vf x) { return splat(1.0f) - splat(2.0f) / (vexp1(x + x) + splat(1.0f)); }

/// erf x by a rational function of x on |x| ≤ 4 (beyond, erf is ±1 in float32).
INLINE vf verf(vf x) {
  x = vmin(vmax(x, splat(-4.0f)), splat(4.0f));
  vf z = x * x;
  vf p = splat(-2.72614225801306e-10f);
  p = vfma(p, z, splat(2.77068142495902e-08f));
  p = vfma(p, z, splat(-2.10102402082508e-06f));
  p = vfma(p, z, splat(-5.69250639462346e-05f));
  p = vfma(p, z, splat(-7.34990630326855e-04f));
  p = vfma(p, z, splat(-2.95459980854025e-03f));
  p = vfma(p, z, splat(-1.60960333262415e-02f));
  vf q = splat(-1.45660718464996e-05f);
  q = vfma(q, z, splat(-2.13374055278905e-04f));
  q = vfma(q, z, splat(-1.68282697438203e-03f));
  q = vfma(q, z, splat(-7.37332916720468e-03f));
  q = vfma(q, z, splat(-1.42647390514189e-02f));
  return x * p / q;
}


/// One activation on a vector. kind: 0 ReLU, 1 GELU (erf), 2 GELU (tanh), 3 SiLU, 4 tanh, 5 sigmoid.
INLINE vf KERNEL(act)(vf x, int kind) {
  if (kind == 0) return vmax(x, splat(0));
  if (kind == 1) return splat(0.5f) * x * (splat(1) + verf(x * splat(0.70710678118654752f)));
  if (kind == 2) {
    vf u = splat(0.7978845608028654f) * vfma(splat(0.044715f) * x * x, x, x);
    return splat(0.5f) * x * (splat(1) + vtanh1(u));
  }
  if (kind == 4) return vtanh1(x);
  if (kind == 5) {
    vf s = splat(1) / (splat(1) + vexp1(-x));
    return x == x ? s : x;
  }
  return x / (splat(1) + vexp1(-x));
}

/// Its derivative.
INLINE vf KERNEL(slope)(vf x, int kind) {
  if (kind == 0) {
    vi on = x > splat(0);
    vi one = on & (vi)(0x3f800000);
    vf r;
    memcpy(&r, &one, sizeof r);
    return r;
  }
  if (kind == 1) {
    vf cdf = splat(0.5f) * (splat(1) + verf(x * splat(0.70710678118654752f)));
    return cdf + x * splat(0.3989422804014327f) * vexp1(splat(-0.5f) * x * x);
  }
  if (kind == 2) {
    vf u = splat(0.7978845608028654f) * vfma(splat(0.044715f) * x * x, x, x);
    vf t = vtanh1(u);
    vf du = splat(0.7978845608028654f) * vfma(splat(3 * 0.044715f) * x, x, splat(1));
    return splat(0.5f) * (splat(1) + t) + splat(0.5f) * x * (splat(1) - t * t) * du;
  }
  if (kind == 4) {
    vf t = vtanh1(x);
    return splat(1) - t * t;
  }
  if (kind == 5) {
    vf s = splat(1) / (splat(1) + vexp1(-x));
    return x == x ? s * (splat(1) - s) : x;
  }
  vf s = splat(1) / (splat(1) + vexp1(-x));
  return s * (splat(1) + x * (splat(1) - s));
}

#define EACH(n, BODY, TAIL)                       \
  ptrdiff_t i = 0;                                \
  for (; i + VL <= (n); i += VL) { BODY }         \
  if (i < (n)) {                                  \
    ptrdiff_t rest = (n) - i;                     \
    TAIL                                          \
  }

INLINE void KERNEL(activate1)(const float *x, float *y, ptrdiff_t n, int kind) {
  EACH(n, store(y + i, KERNEL(act)(load(x + i), kind));
       , store_part(y + i, KERNEL(act)(vpartial(x + i, rest, 0), kind), (int)rest);)
}
void KERNEL(row_activate)(const float *x, float *y, ptrdiff_t n, int kind) {
  if (kind == 0) KERNEL(activate1)(x, y, n, 0);
  else if (kind == 1) KERNEL(activate1)(x, y, n, 1);
  else if (kind == 2) KERNEL(activate1)(x, y, n, 2);
  else if (kind == 4) KERNEL(activate1)(x, y, n, 4);
  else if (kind == 5) KERNEL(activate1)(x, y, n, 5);
  else KERNEL(activate1)(x, y, n, 3);
}

INLINE void KERNEL(deactivate1)(const float *x, const float *dy, float *dx, ptrdiff_t n, int kind) {
  EACH(n, store(dx + i, load(dy + i) * KERNEL(slope)(load(x + i), kind));
       , store_part(dx + i, vpartial(dy + i, rest, 0) * KERNEL(slope)(vpartial(x + i, rest, 0), kind), (int)rest);)
}
void KERNEL(row_deactivate)(const float *x, const float *dy, float *dx, ptrdiff_t n, int kind) {
  if (kind == 0) KERNEL(deactivate1)(x, dy, dx, n, 0);
  else if (kind == 1) KERNEL(deactivate1)(x, dy, dx, n, 1);
  else if (kind == 2) KERNEL(deactivate1)(x, dy, dx, n, 2);
  else if (kind == 4) KERNEL(deactivate1)(x, dy, dx, n, 4);
  else if (kind == 5) KERNEL(deactivate1)(x, dy, dx, n, 5);
  else KERNEL(deactivate1)(x, dy, dx, n, 3);
}

/// A gated unit of a gate g and a factor u: f(g)·u, f by its kind; 6: (ū + 1)·ḡ·σ(α·ḡ), ḡ = min(g, most), ū within ±most.
INLINE vf KERNEL(glu)(vf g, vf u, int kind, vf alpha, vf most) {
  if (kind != 6) return KERNEL(act)(g, kind) * u;
  g = vmin(g, most);
  u = vmin(vmax(u, -most), most);
  return (u + splat(1)) * g * KERNEL(act)(alpha * g, 5);
}
/// Its slope by the gate.
INLINE vf KERNEL(glu_gate)(vf g, vf u, int kind, vf alpha, vf most) {
  if (kind != 6) return u * KERNEL(slope)(g, kind);
  vf held = vmin(g, most), s = KERNEL(act)(alpha * held, 5);
  u = vmin(vmax(u, -most), most);
  vf slope = (u + splat(1)) * s * (splat(1) + alpha * held * (splat(1) - s));
  return g > most ? splat(0) : slope;
}
/// Its slope by the factor.
INLINE vf KERNEL(glu_factor)(vf g, vf u, int kind, vf alpha, vf most) {
  if (kind != 6) return KERNEL(act)(g, kind);
  g = vmin(g, most);
  vf slope = g * KERNEL(act)(alpha * g, 5);
  return vmax(u, -u) > most ? splat(0) : slope;
}
INLINE void KERNEL(glu1)(
    const float *x, float *y, ptrdiff_t rows, ptrdiff_t h, int kind, float alpha, float most) {
  const vf a = splat(alpha), m = splat(most);
  for (ptrdiff_t r = 0; r < rows; r++, x += 2 * h, y += h) {
    EACH(h, store(y + i, KERNEL(glu)(load(x + i), load(x + h + i), kind, a, m));
         , store_part(y + i, KERNEL(glu)(vpartial(x + i, rest, 0), vpartial(x + h + i, rest, 0), kind, a, m), (int)rest);)
  }
}
INLINE void KERNEL(glu_back1)(
    const float *x, const float *dy, float *dx, ptrdiff_t rows, ptrdiff_t h, int kind, float alpha, float most) {
  const vf a = splat(alpha), m = splat(most);
  for (ptrdiff_t r = 0; r < rows; r++, x += 2 * h, dx += 2 * h, dy += h) {
    EACH(h,
         vf g = load(x + i); vf u = load(x + h + i); vf d = load(dy + i);
         store(dx + i, d * KERNEL(glu_gate)(g, u, kind, a, m));
         store(dx + h + i, d * KERNEL(glu_factor)(g, u, kind, a, m));
         , vf g = vpartial(x + i, rest, 0); vf u = vpartial(x + h + i, rest, 0); vf d = vpartial(dy + i, rest, 0);
         store_part(dx + i, d * KERNEL(glu_gate)(g, u, kind, a, m), (int)rest);
         store_part(dx + h + i, d * KERNEL(glu_factor)(g, u, kind, a, m), (int)rest);)
  }
}
/// x [rows][2·h] = gate | factor; y [rows][h].
void KERNEL(row_glu)(const float *x, float *y, ptrdiff_t rows, ptrdiff_t h, int kind, float alpha, float most) {
  if (kind == 1) KERNEL(glu1)(x, y, rows, h, 1, alpha, most);
  else if (kind == 2) KERNEL(glu1)(x, y, rows, h, 2, alpha, most);
  else if (kind == 6) KERNEL(glu1)(x, y, rows, h, 6, alpha, most);
  else KERNEL(glu1)(x, y, rows, h, 3, alpha, most);
}
void KERNEL(row_glu_back)(
    const float *x, const float *dy, float *dx, ptrdiff_t rows, ptrdiff_t h, int kind, float alpha, float most) {
  if (kind == 1) KERNEL(glu_back1)(x, dy, dx, rows, h, 1, alpha, most);
  else if (kind == 2) KERNEL(glu_back1)(x, dy, dx, rows, h, 2, alpha, most);
  else if (kind == 6) KERNEL(glu_back1)(x, dy, dx, rows, h, 6, alpha, most);
  else KERNEL(glu_back1)(x, dy, dx, rows, h, 3, alpha, most);
}

INLINE float KERNEL(rowsum)(const float *x, ptrdiff_t n) {
  vf s = splat(0);
  EACH(n, s += load(x + i);, s += vpartial(x + i, rest, 0);)
  return vsum(s);
}
/// The mean, also of numbers whose sum overflows.
INLINE float KERNEL(rowmean)(const float *x, ptrdiff_t n) {
  const float sum = KERNEL(rowsum)(x, n);
  if (sum - sum == 0) return sum / (float)n;
  const vf share = splat(1 / (float)n);
  vf s = splat(0);
  EACH(n, s += load(x + i) * share;, s += vpartial(x + i, rest, 0) * share;)
  return vsum(s);
}
/// Σ ((x − m)·by)².
INLINE float KERNEL(rowspread)(const float *x, ptrdiff_t n, float m, float by) {
  vf s = splat(0);
  EACH(n, vf d = (load(x + i) - splat(m)) * splat(by); s += d * d;
       , vf d = (vpartial(x + i, rest, m) - splat(m)) * splat(by); s += d * d;)
  return vsum(s);
}
/// Σ (x − m)² in Double, from numbers whose squares overflow or vanish in single precision (squares.h).
static __attribute__((noinline)) double KERNEL(scaled_spread)(const float *x, ptrdiff_t n, float m) {
  vf most = splat(0);
  EACH(n, vf d = load(x + i) - splat(m); most = vmax(vmax(d, -d), most);
       , vf d = vpartial(x + i, rest, m) - splat(m); most = vmax(vmax(d, -d), most);)
  const double by = (double)attn_square_scale(vtop(most));
  return (double)KERNEL(rowspread)(x, n, m, (float)by) / (by * by);
}
/// 1/√(mean square of x − m, and ε).
INLINE float KERNEL(inverse_deviation)(const float *x, ptrdiff_t n, float m, float epsilon) {
  const float spread = KERNEL(rowspread)(x, n, m, 1);
  if (attn_squares_are_safe(spread + epsilon)) return 1 / __builtin_sqrtf(spread / (float)n + epsilon);
  return (float)(1 / sqrt(KERNEL(scaled_spread)(x, n, m) / (double)n + (double)epsilon));
}

/// The sums of nv vectors of columns, in registers.
INLINE void KERNEL(colsum_nv)(const int nv, const float *x, float *out, ptrdiff_t rows, ptrdiff_t ld) {
  vf sum[8];
  UNROLL for (int v = 0; v < nv; v++) sum[v] = load(out + v * VL);
  for (ptrdiff_t r = 0; r < rows; r++, x += ld) UNROLL for (int v = 0; v < nv; v++) sum[v] += load(x + v * VL);
  UNROLL for (int v = 0; v < nv; v++) store(out + v * VL, sum[v]);
}
/// out[dim] += Σ over rows of x, one row after another.
void KERNEL(row_colsum)(const float *x, float *out, ptrdiff_t rows, ptrdiff_t dim, ptrdiff_t ld) {
  ptrdiff_t i = 0;
#define SUM_COLUMNS(nv) \
  for (; i + (nv) * VL <= dim; i += (nv) * VL) KERNEL(colsum_nv)(nv, x + i, out + i, rows, ld);
  SUM_COLUMNS(8)
  SUM_COLUMNS(6)
  SUM_COLUMNS(4)
  SUM_COLUMNS(2)
  SUM_COLUMNS(1)
#undef SUM_COLUMNS
  if (i == dim) return;
  const int rest = (int)(dim - i);
  vf sum = load_part(out + i, rest);
  for (ptrdiff_t r = 0; r < rows; r++) sum += load_part(x + r * ld + i, rest);
  store_part(out + i, sum, rest);
}

/// y += a·x.
void KERNEL(row_axpy)(float a, const float *x, float *y, ptrdiff_t n) {
  EACH(n, store(y + i, load(y + i) + splat(a) * load(x + i));
       , store_part(y + i, vpartial(y + i, rest, 0) + splat(a) * vpartial(x + i, rest, 0), (int)rest);)
}
/// y = a·x + b·z.
void KERNEL(row_blend)(float a, const float *x, float b, const float *z, float *y, ptrdiff_t n) {
  EACH(n, store(y + i, splat(a) * load(x + i) + splat(b) * load(z + i));
       , store_part(y + i, splat(a) * vpartial(x + i, rest, 0) + splat(b) * vpartial(z + i, rest, 0), (int)rest);)
}

/// Σ x², in Double over blocks of 1024 floats of any size.
void KERNEL(row_sumsq)(const float *x, ptrdiff_t n, double *out) {
  double total = 0;
  for (ptrdiff_t start = 0; start < n; start += 1024) {
    const ptrdiff_t count = n - start < 1024 ? n - start : 1024;
    const float sum = KERNEL(rowspread)(x + start, count, 0, 1);
    total += attn_squares_are_safe(sum) ? (double)sum : KERNEL(scaled_spread)(x + start, count, 0);
  }
  *out = total;
}

/// y = keep ? x/(1−p) : 0; the choice is a hash of key and position, so backward needs no stored mask.
void KERNEL(row_dropout)(const float *x, float *y, ptrdiff_t n, uint64_t position, uint64_t key, float p) {
  uint32_t limit = (uint32_t)((double)p * 4294967296.0);
  float scale = 1 / (1 - p);
  uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
  for (ptrdiff_t i = 0; i < n; i++) {
    uint64_t at = position + (uint64_t)i;
    uint32_t h = (uint32_t)at ^ k0;
    h = (h ^ (h >> 16)) * 0x7feb352du;
    h = (h ^ (h >> 15)) * 0x846ca68bu;
    h ^= (h >> 16) ^ k1 ^ (uint32_t)(at >> 32);
    h = (h ^ (h >> 16)) * 0x7feb352du;
    h = (h ^ (h >> 15)) * 0x846ca68bu;
    h ^= h >> 16;
    y[i] = h < limit ? 0 : x[i] * scale;
  }
}

/// Softmax cross-entropy of one row at a time. losses[r] = lse − (1−ε)·z_t − ε·mean(z); 0 for ignored rows.
/// Turns logits into gradients in place when `scale` is not 0: scale·(p − (1−ε)·onehot − ε/V).
void KERNEL(row_xent)(
    float *z, const int32_t *targets, double *losses, int32_t *hits, ptrdiff_t rows, ptrdiff_t vocab, float epsilon,
    float scale) {
  for (ptrdiff_t r = 0; r < rows; r++, z += vocab) {
    int32_t t = targets[r];
    if (t < 0) {
      losses[r] = 0;
      hits[r] = 0;
      if (scale != 0) memset(z, 0, (size_t)vocab * sizeof(float));
      continue;
    }
    const float none = -__builtin_inff();
    vf top = splat(none);
    { EACH(vocab, top = vmax(top, load(z + i));
           , top = vmax(top, vpartial(z + i, rest, none));) }
    float m = vtop(top);
    // Without smoothing the sum of logits is not needed, but that of zeros tells whether one is not finite.
    const vf use = splat(epsilon != 0 ? 1.0f : 0.0f);
    vf acc = splat(0), plain = splat(0);
    const float target = z[t];
    // Where gradients are wanted the exponentials take the place of the logits.
#define SUMMED(x, put) \
  const vf power = vexp1((x) - splat(m)); \
  acc += power; \
  if (scale != 0) put
    { EACH(vocab, vf x = load(z + i); plain = vfma(x, use, plain); SUMMED(x, store(z + i, power));
           , plain = vfma(vpartial(z + i, rest, 0), use, plain); vf x = vpartial(z + i, rest, none);
           SUMMED(x, store_part(z + i, power, (int)rest));) }
#undef SUMMED
    float sum = vsum(acc);
    float lse = m + __builtin_logf(sum);
    losses[r] = (double)lse - (1 - (double)epsilon) * (double)target -
                (double)epsilon * (double)vsum(plain) / (double)vocab;
    hits[r] = target >= m;
    if (scale == 0) continue;
    float onehot = scale * (1 - epsilon);
    vf f = splat(scale / sum), base = splat(scale * epsilon / (float)vocab);
    { EACH(vocab, store(z + i, load(z + i) * f - base);
           , store_part(z + i, vpartial(z + i, rest, 0) * f - base, (int)rest);) }
    z[t] -= onehot;
  }
}

/// AdamW with decoupled decay: m, v moments; w −= lr·(wd·w + (m/c1) / (√(v/c2) + ε)); g is read times `clip`.
void KERNEL(row_adamw)(
    float *w, const float *g, float *m, float *v, ptrdiff_t n, float lr, float beta1, float beta2, float epsilon,
    float decay, float c1, float c2, float clip) {
  vf keep = splat(1 - lr * decay), step = splat(lr / c1), root = splat(1 / __builtin_sqrtf(c2));
#define ADAM(LOAD, STORE)                                                              \
  vf x = LOAD(g + i) * splat(clip);                                                     \
  vf a = LOAD(m + i) * splat(beta1) + x * splat(1 - beta1);                              \
  vf b = LOAD(v + i) * splat(beta2) + x * x * splat(1 - beta2);                          \
  STORE(m + i, a) STORE(v + i, b)                                                      \
  STORE(w + i, LOAD(w + i) * keep - step * a / (__builtin_elementwise_sqrt(b) * root + splat(epsilon)))
#define FULL_LOAD(p) load(p)
#define FULL_STORE(p, x) store(p, x);
#define PART_LOAD(p) vpartial(p, rest, 0)
#define PART_STORE(p, x) store_part(p, x, (int)rest);
  EACH(n, ADAM(FULL_LOAD, FULL_STORE), ADAM(PART_LOAD, PART_STORE))
#undef ADAM
#undef FULL_LOAD
#undef FULL_STORE
#undef PART_LOAD
#undef PART_STORE
}

/// SGD with momentum: m = μ·m + clip·g + wd·w; w −= lr·m.
void KERNEL(row_sgd)(
    float *w, const float *g, float *m, ptrdiff_t n, float lr, float momentum, float decay, float clip) {
  EACH(n,
       vf a = load(m + i) * splat(momentum) + load(g + i) * splat(clip) + load(w + i) * splat(decay);
       store(m + i, a); store(w + i, load(w + i) - splat(lr) * a);
       , vf a = vpartial(m + i, rest, 0) * splat(momentum) + vpartial(g + i, rest, 0) * splat(clip) +
                vpartial(w + i, rest, 0) * splat(decay);
       store_part(m + i, a, (int)rest); store_part(w + i, vpartial(w + i, rest, 0) - splat(lr) * a, (int)rest);)
}

/// One head of one sequence between token rows (stride ld) and [length][dim]; its first `turned` elements are rotated by
/// cos/sin tables [length][turned/2] when given (sign −1 undoes it). half: pairs (i, i + turned/2), else (2i, 2i+1).
/// gather = 1: rows → head; 0: head → rows.
void KERNEL(row_head)(
    float *rows, ptrdiff_t ld, float *head, ptrdiff_t length, ptrdiff_t dim, ptrdiff_t turned, const float *cosine,
    const float *sine, float sign, int half, int gather) {
  const ptrdiff_t pairs = turned / 2;
  for (ptrdiff_t t = 0; t < length; t++, rows += ld, head += dim) {
    const float *x = gather ? rows : head;
    float *y = gather ? head : rows;
    ptrdiff_t j = cosine ? turned : 0;
    for (; j + VL <= dim; j += VL) store(y + j, load(x + j));
    if (j < dim) store_part(y + j, load_part(x + j, (int)(dim - j)), (int)(dim - j));
    if (!cosine) continue;
    const float *c = cosine + t * pairs, *s = sine + t * pairs;
    if (half) {
      ptrdiff_t i = 0;
      for (; i + VL <= pairs; i += VL) {
        const vf a = load(x + i), b = load(x + i + pairs), cos = load(c + i), sin = load(s + i);
        store(y + i, a * cos - splat(sign) * b * sin);
        store(y + i + pairs, b * cos + splat(sign) * a * sin);
      }
      for (; i < pairs; i++) {
        float a = x[i], b = x[i + pairs];
        y[i] = a * c[i] - sign * b * s[i];
        y[i + pairs] = b * c[i] + sign * a * s[i];
      }
    } else
      for (ptrdiff_t i = 0; i < pairs; i++) {
        float a = x[2 * i], b = x[2 * i + 1];
        y[2 * i] = a * c[i] - sign * b * s[i];
        y[2 * i + 1] = b * c[i] + sign * a * s[i];
      }
  }
}
