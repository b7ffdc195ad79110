// Decays by channel that are gentle: all pairs of a chunk are one product, since what rows and keys are multiplied by has an inverse.
//
// With Λ_t = Π_{u ≤ t} a_u and Λ the product of the whole chunk: rows are q_t∘Λ_t, keys k_t∘Π_{u > t} a_u, which is k_t∘Λ/Λ_t, and the
// pairs `Σ_c q_i k_j Λ_i/Λ_j` are the product of both over Λ.

/// A token fades no channel by less than the first, a chunk none by less than the second: no inverse is large, and what crosses a token is
/// no small difference of large sums.
#define GENTLE_TOKEN 0.125f
#define GENTLE_CHUNK 0x1p-24f

/// Lanes that do not exist fade by 1.
INLINE vf KERNEL(take_decays)(const float *p, const int lanes) { return lanes ? vpartial(p, lanes, 1) : load(p); }
#define take_decays KERNEL(take_decays)

INLINE int KERNEL(is_strong)(const int nv, const vf *least, const vf *r) {
  int strong = 0;
  EVERY(nv) strong |= any(!(r[v] >= splat(GENTLE_CHUNK)) | !(least[v] >= splat(GENTLE_TOKEN)));
  return strong;
}

INLINE int KERNEL(behind_all)(
    const int nv, const int lanes, const float *x, ptrdiff_t xs, const float *a, float *y, float *totals, float *inverses,
    ptrdiff_t rows, ptrdiff_t dim) {
  vf r[4], least[4];
  EVERY(nv) r[v] = least[v] = splat(1);
  for (ptrdiff_t t = rows - 1; t >= 0; t--) {
    EVERY(nv) {
      const ptrdiff_t at = t * dim + v * VL;
      const vf own = take_decays(a + at, lanes);
      put(y + at, r[v] * take(x + t * xs + v * VL, lanes), lanes);
      r[v] = KERNEL(faded)(r[v], own);
      least[v] = vmin(least[v], own);
    }
  }
  EVERY(nv) {
    put(totals + v * VL, r[v], lanes);
    put(inverses + v * VL, splat(1) / r[v], lanes);
  }
  return !KERNEL(is_strong)(nv, least, r);
}
int KERNEL(scan_behind_all)(
    const float *x, ptrdiff_t xs, const float *a, float *y, float *totals, float *inverses, ptrdiff_t rows, ptrdiff_t dim) {
  int gentle = 1;
#define BODY(nv, lanes, i) \
  gentle &= KERNEL(behind_all)(nv, lanes, x + i, xs, a + i, y + i, totals + i, inverses + i, rows, dim);
  CHANNELS(dim, BODY)
#undef BODY
  return gentle;
}

INLINE ptrdiff_t KERNEL(unfade)(
    const int nv, const int lanes, const float *x, ptrdiff_t xs, const float *a, float *y, ptrdiff_t rows, ptrdiff_t dim) {
  vf r[4], least[4];
  EVERY(nv) r[v] = least[v] = splat(1);
  for (ptrdiff_t t = 0; t < rows; t++) {
    EVERY(nv) {
      const ptrdiff_t at = t * dim + v * VL;
      const vf own = take_decays(a + at, lanes);
      r[v] = KERNEL(faded)(r[v], own);
      least[v] = vmin(least[v], own);
      put(y + at, take(x + t * xs + v * VL, lanes) / r[v], lanes);
    }
  }
  if (!KERNEL(is_strong)(nv, least, r)) return rows;
  EVERY(nv) r[v] = splat(1);
  for (ptrdiff_t t = 0; t < rows; t++) {
    EVERY(nv) least[v] = take_decays(a + t * dim + v * VL, lanes);
    EVERY(nv) r[v] = KERNEL(faded)(r[v], least[v]);
    if (KERNEL(is_strong)(nv, least, r)) return t;
  }
  return rows;
}
ptrdiff_t KERNEL(scan_unfade)(
    const float *x, ptrdiff_t xs, const float *a, float *y, ptrdiff_t rows, ptrdiff_t dim) {
  ptrdiff_t count = rows;
#define BODY(nv, lanes, i)                                                               \
  const ptrdiff_t own = KERNEL(unfade)(nv, lanes, x + i, xs, a + i, y + i, rows, dim); \
  count = own < count ? own : count;
  CHANNELS(dim, BODY)
#undef BODY
  return count;
}

INLINE void KERNEL(ahead_all)(
    const int nv, const int lanes, const float *x, ptrdiff_t xs, float scale, const float *a, float *y, ptrdiff_t rows,
    ptrdiff_t dim) {
  vf r[4];
  EVERY(nv) r[v] = splat(1);
  for (ptrdiff_t t = 0; t < rows; t++) {
    EVERY(nv) {
      const ptrdiff_t at = t * dim + v * VL;
      r[v] = KERNEL(faded)(r[v], take(a + at, lanes));
      put(y + at, r[v] * (splat(scale) * take(x + t * xs + v * VL, lanes)), lanes);
    }
  }
}
void KERNEL(scan_ahead_all)(
    const float *x, ptrdiff_t xs, float scale, const float *a, float *y, ptrdiff_t rows, ptrdiff_t dim) {
#define BODY(nv, lanes, i) KERNEL(ahead_all)(nv, lanes, x + i, xs, scale, a + i, y + i, rows, dim);
  CHANNELS(dim, BODY)
#undef BODY
}

// What pairs say of the decay before token t: all that rows from t on take from keys, less what keys from t on give to rows. Or, which is
// the same and loses less for early tokens, what keys before t give less what rows before t take; but where no row from t on has a
// gradient the decay has none, to the bit.

/// dx[t] = r∘(by the state + by pairs); the latter is the result.
INLINE vf KERNEL(gentle_step)(const attn_gentle *p, const int adds, const int lanes, ptrdiff_t at, vf r, vf inverse) {
  const vf pairs = inverse * take(p->pairs + at, lanes);
  vf d = r * (take(p->state + at, lanes) + pairs);
  if (adds) d += take(p->gradient + at, lanes);
  put(p->gradient + at, d, lanes);
  return pairs;
}

INLINE void KERNEL(rows_back)(const int nv, const int lanes, const int adds, const attn_gentle *given, ptrdiff_t i) {
  const attn_gentle p = *given;
  const ptrdiff_t dim = p.dim, middle = p.rows / 2 + 1 < p.rows ? p.rows / 2 + 1 : p.rows;
  const ptrdiff_t early = middle < p.active ? middle : p.active;
  vf r[4], taken[4], read[4], inverse[4];
  EVERY(nv) r[v] = splat(1), taken[v] = read[v] = splat(0), inverse[v] = take(p.inverses + i + v * VL, lanes);
  ptrdiff_t t = 0;
  for (; t < early; t++) {
    EVERY(nv) {
      const ptrdiff_t at = t * dim + i + v * VL;
      r[v] = KERNEL(faded)(r[v], take(p.decays + at, lanes));
      const vf pairs = KERNEL(gentle_step)(&p, adds, lanes, at, r[v], inverse[v]);
      put(p.logs + at, take(p.logs + at, lanes) - taken[v], lanes);
      taken[v] = vfma(take(p.faded + at, lanes), pairs, taken[v]);
    }
  }
  for (; t < p.rows; t++) {
    EVERY(nv) {
      const ptrdiff_t at = t * dim + i + v * VL;
      r[v] = KERNEL(faded)(r[v], take(p.decays + at, lanes));
      KERNEL(gentle_step)(&p, adds, lanes, at, r[v], inverse[v]);
    }
  }
  EVERY(nv) taken[v] = splat(0);
  for (t = p.rows - 1; t >= middle; t--) {
    EVERY(nv) {
      const ptrdiff_t at = t * dim + i + v * VL;
      const vf own = take(p.faded + at, lanes);
      read[v] = vfma(own, take(p.state + at, lanes), read[v]);
      taken[v] = vfma(own, inverse[v] * take(p.pairs + at, lanes), taken[v]);
      put(p.logs + at, take(p.logs + at, lanes) + (read[v] + taken[v]), lanes);
    }
  }
  for (; t >= 0; t--) {
    EVERY(nv) {
      const ptrdiff_t at = t * dim + i + v * VL;
      read[v] = vfma(take(p.faded + at, lanes), take(p.state + at, lanes), read[v]);
      put(p.logs + at, take(p.logs + at, lanes) + read[v], lanes);
    }
  }
}
void KERNEL(scan_rows_back)(const attn_gentle *p) {
  if (p->adds) {
#define BODY(nv, lanes, i) KERNEL(rows_back)(nv, lanes, 1, p, i);
    CHANNELS(p->dim, BODY)
#undef BODY
  } else {
#define BODY(nv, lanes, i) KERNEL(rows_back)(nv, lanes, 0, p, i);
    CHANNELS(p->dim, BODY)
#undef BODY
  }
}

INLINE void KERNEL(keys_back)(
    const int nv, const int lanes, const int adds, const attn_gentle *own, const float *through, float *target,
    ptrdiff_t i) {
  const attn_gentle p = *own;
  const ptrdiff_t dim = p.dim, middle = p.rows / 2 + 1 < p.rows ? p.rows / 2 + 1 : p.rows;
  const ptrdiff_t early = middle < p.active ? middle : p.active;
  vf r[4], given[4], written[4], inverse[4];
  EVERY(nv) r[v] = splat(1), given[v] = splat(0), inverse[v] = take(p.inverses + i + v * VL, lanes);
  ptrdiff_t t = p.rows - 1;
  for (; t >= middle; t--) {
    EVERY(nv) {
      const ptrdiff_t at = t * dim + i + v * VL;
      const vf pairs = KERNEL(gentle_step)(&p, adds, lanes, at, r[v], inverse[v]);
      r[v] = KERNEL(faded)(r[v], take(p.decays + at, lanes));
      given[v] = vfma(take(p.faded + at, lanes), pairs, given[v]);
      put(p.logs + at, take(p.logs + at, lanes) - given[v], lanes);
    }
  }
  for (; t >= 0; t--) {
    EVERY(nv) {
      const ptrdiff_t at = t * dim + i + v * VL;
      KERNEL(gentle_step)(&p, adds, lanes, at, r[v], inverse[v]);
      r[v] = KERNEL(faded)(r[v], take(p.decays + at, lanes));
    }
  }
  EVERY(nv) given[v] = splat(0), written[v] = take(through + i + v * VL, lanes);
  for (t = 0; t < early; t++) {
    EVERY(nv) {
      const ptrdiff_t at = t * dim + i + v * VL;
      const vf own = take(p.faded + at, lanes);
      put(target + at, take(p.logs + at, lanes) + (written[v] + given[v]), lanes);
      written[v] = vfma(own, take(p.state + at, lanes), written[v]);
      given[v] = vfma(own, inverse[v] * take(p.pairs + at, lanes), given[v]);
    }
  }
  for (; t < p.rows; t++) {
    EVERY(nv) {
      const ptrdiff_t at = t * dim + i + v * VL;
      put(target + at, take(p.logs + at, lanes) + written[v], lanes);
      written[v] = vfma(take(p.faded + at, lanes), take(p.state + at, lanes), written[v]);
    }
  }
}
void KERNEL(scan_keys_back)(const attn_gentle *p, const float *through, float *target) {
  if (p->adds) {
#define BODY(nv, lanes, i) KERNEL(keys_back)(nv, lanes, 1, p, through, target, i);
    CHANNELS(p->dim, BODY)
#undef BODY
  } else {
#define BODY(nv, lanes, i) KERNEL(keys_back)(nv, lanes, 0, p, through, target, i);
    CHANNELS(p->dim, BODY)
#undef BODY
  }
}
