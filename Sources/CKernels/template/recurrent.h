// One step of a gated recurrent unit, rows side by side.

INLINE vf KERNEL(sigmoid)(vf x) { return splat(1) / (splat(1) + vexp1(-x)); }

/// x and h [rows][3n]: what the input and the state give to r | z | n, with their biases; before [rows][n]: the state.
/// gates [rows][3n] = r | z | n, r = σ(x_r + h_r), z = σ(x_z + h_z), n = tanh(x_n + r·h_n); after = (1 − z)·n + z·before.
void KERNEL(row_gru)(
    const float *x, const float *h, const float *before, float *gates, float *after, ptrdiff_t rows, ptrdiff_t n) {
  for (ptrdiff_t row = 0; row < rows; row++, x += 3 * n, h += 3 * n, gates += 3 * n, before += n, after += n) {
#define GRU(LOAD, STORE)                                                     \
  vf r = KERNEL(sigmoid)(LOAD(x + i) + LOAD(h + i));                         \
  vf z = KERNEL(sigmoid)(LOAD(x + n + i) + LOAD(h + n + i));                 \
  vf c = vtanh1(LOAD(x + 2 * n + i) + r * LOAD(h + 2 * n + i));              \
  STORE(gates + i, r); STORE(gates + n + i, z); STORE(gates + 2 * n + i, c); \
  STORE(after + i, c + z * (LOAD(before + i) - c));
#define PART(p) vpartial(p, rest, 0)
#define PUT(p, v) store_part(p, v, (int)rest)
    EACH(n, GRU(load, store), GRU(PART, PUT))
#undef GRU
  }
}

/// The gradients of x, h and before from that of after.
void KERNEL(row_gru_back)(
    const float *h, const float *before, const float *gates, const float *dafter, float *dx, float *dh, float *dbefore,
    ptrdiff_t rows, ptrdiff_t n) {
  for (ptrdiff_t row = 0; row < rows;
       row++, h += 3 * n, gates += 3 * n, dx += 3 * n, dh += 3 * n, before += n, dafter += n, dbefore += n) {
#define GRU(LOAD, STORE)                                                                  \
  vf r = LOAD(gates + i), z = LOAD(gates + n + i), c = LOAD(gates + 2 * n + i);           \
  vf d = LOAD(dafter + i), one = splat(1);                                                \
  vf dc = d * (one - z) * (one - c * c);                                                  \
  vf dz = d * (LOAD(before + i) - c) * z * (one - z);                                     \
  vf dr = dc * LOAD(h + 2 * n + i) * r * (one - r);                                       \
  STORE(dx + i, dr); STORE(dx + n + i, dz); STORE(dx + 2 * n + i, dc);                    \
  STORE(dh + i, dr); STORE(dh + n + i, dz); STORE(dh + 2 * n + i, dc * r);                \
  STORE(dbefore + i, d * z);
    EACH(n, GRU(load, store), GRU(PART, PUT))
#undef GRU
  }
}
#undef PART
#undef PUT
