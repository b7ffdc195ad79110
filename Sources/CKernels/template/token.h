// One token against the state of a head: a decoder's step.

#if ISA_REGISTERS >= 32
#define TOKEN_VECTORS 8
#else
#define TOKEN_VECTORS 4
#endif

/// Floats from a row of a state to what is fetched meanwhile, to be written: behind its end the state of the next head.
#define TOKEN_AHEAD 1024

/// Fetches what is TOKEN_AHEAD floats behind some vectors.
INLINE void KERNEL(token_fetch)(const float *row, const int vectors) {
  for (int c = 0; c < vectors * VL; c += 16) __builtin_prefetch(row + TOKEN_AHEAD + c, 1, 3);
}

/// Some columns of the state, `vectors` of them whole, or the first `part` lanes of one.
INLINE void KERNEL(token_columns)(const attn_token *t, ptrdiff_t first, const int vectors, const int part) {
#define TAKE(p) (part ? load_part(p, part) : load(p))
#define PUT(p, x)                    \
  do {                               \
    if (part) store_part(p, x, part); \
    else store(p, x);                \
  } while (0)
  float *state = t->state + first;
  vf value[TOKEN_VECTORS], sum[TOKEN_VECTORS];
  UNROLL for (int v = 0; v < vectors; v++) sum[v] = splat(0);
  if (t->delta) {
    for (ptrdiff_t r = 0; r < t->key_dim; r++) {
      const vf f = splat(t->decays[r * t->decay_stride] * t->key[r]);
      const float *row = state + r * t->value_dim;
      KERNEL(token_fetch)(row, vectors);
      UNROLL for (int v = 0; v < vectors; v++) sum[v] = vfma(f, TAKE(row + v * VL), sum[v]);
    }
  }
  UNROLL for (int v = 0; v < vectors; v++) {
    value[v] = splat(t->strength) * (TAKE(t->value + first + v * VL) - sum[v]);
    sum[v] = splat(0);
  }
  for (ptrdiff_t r = 0; r < t->key_dim; r++) {
    const vf f = splat(t->decays[r * t->decay_stride]), k = splat(t->key[r]), q = splat(t->query[r]);
    float *row = state + r * t->value_dim;
    if (!t->delta) KERNEL(token_fetch)(row, vectors);
    UNROLL for (int v = 0; v < vectors; v++) {
      const vf now = vfma(k, value[v], f * TAKE(row + v * VL));
      PUT(row + v * VL, now);
      sum[v] = vfma(q, now, sum[v]);
    }
  }
  UNROLL for (int v = 0; v < vectors; v++) PUT(t->output + first + v * VL, sum[v]);
  for (ptrdiff_t g = 1; g < t->queries; g++) {
    const float *query = t->query + g * t->key_dim;
    UNROLL for (int v = 0; v < vectors; v++) sum[v] = splat(0);
    for (ptrdiff_t r = 0; r < t->key_dim; r++) {
      const float *row = state + r * t->value_dim;
      UNROLL for (int v = 0; v < vectors; v++) sum[v] = vfma(splat(query[r]), TAKE(row + v * VL), sum[v]);
    }
    UNROLL for (int v = 0; v < vectors; v++) PUT(t->output + g * t->output_stride + first + v * VL, sum[v]);
  }
#undef TAKE
#undef PUT
}

void KERNEL(scan_token)(const attn_token *t) {
  ptrdiff_t c = 0;
  for (; c + TOKEN_VECTORS * VL <= t->value_dim; c += TOKEN_VECTORS * VL)
    KERNEL(token_columns)(t, c, TOKEN_VECTORS, 0);
  for (; c + 4 * VL <= t->value_dim; c += 4 * VL) KERNEL(token_columns)(t, c, 4, 0);
  for (; c + VL <= t->value_dim; c += VL) KERNEL(token_columns)(t, c, 1, 0);
  if (c < t->value_dim) KERNEL(token_columns)(t, c, 1, (int)(t->value_dim - c));
}
#undef TOKEN_VECTORS
