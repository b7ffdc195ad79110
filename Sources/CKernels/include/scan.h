#ifndef ATTNLAB_SCAN_H
#define ATTNLAB_SCAN_H
#include <stddef.h>
#include <stdint.h>

#pragma clang assume_nonnull begin

/// What becomes of a row of q or k before a recurrence reads it: itself, elu(x) + 1, x/√(Σx² + ε).
enum { ATTN_MAP_IDENTITY = 0, ATTN_MAP_ELU = 1, ATTN_MAP_UNIT = 2 };

/// y[r] = scale·map(x[r]), rows of `dim` floats.
void attn_scan_load(
    int32_t isa, int32_t map, const float *x, ptrdiff_t x_stride, float *y, ptrdiff_t y_stride, ptrdiff_t rows,
    ptrdiff_t dim, float scale, float epsilon);
/// dx[r] = scale·(∂map/∂x)ᵀ dy[r]; y = scale·map(x), rows without gaps, as it was loaded.
void attn_scan_load_backward(
    int32_t isa, int32_t map, const float *x, ptrdiff_t x_stride, const float *y, const float *dy, ptrdiff_t dy_stride,
    float *dx, ptrdiff_t dx_stride, ptrdiff_t rows, ptrdiff_t dim, float scale, float epsilon);

/// y[i][j] = scale·exp(sums[min(first + i, count − 1)] − sums[j]) where j ≤ first + i, else 0; `rows` × `count` without gaps. The
/// differences are never above 0: sums of log decays fall.
void attn_scan_decays(
    int32_t isa, const double *sums, ptrdiff_t first, ptrdiff_t rows, ptrdiff_t count, float scale,
    float *y);
/// y[i] = exp(x[i]) of x ≤ 0; 0 where single precision has no normal number for it.
void attn_scan_exp(int32_t isa, const float *x, float *y, ptrdiff_t n);

/// Which part of a product of a chunk there is: with p = first + i the place of row i among the keys, all of it; of a result [rows][keys]
/// the columns j ≤ p (further ones may be written too); of the sums only k ≤ p, as A is 0 behind it (or read as 0 there), or only
/// k ≥ i − first, A being the transpose of such a matrix.
enum { ATTN_WHOLE = 0, ATTN_RESULT_LOWER = 1, ATTN_LEFT_LOWER = 2, ATTN_LEFT_UPPER = 3 };

/// Rows of memory that the next work reads, or writes: they are fetched into the cache a few lines at a time while a product is made.
typedef struct {
  const float *_Nullable base;
  ptrdiff_t stride, rows, columns;
  int32_t writes;
} attn_ahead;

/// C(i, j) = adds·C(i, j) + factors[i]·Σ_k A(i, k)·B(k, j), adds 0 or 1; −1: C(i, j) − the product. Rows of A, B and C are so many floats
/// apart; with `down` A lies transposed, A(i, k) = a[k·a_stride + i]. No factors: 1.
typedef struct {
  const float *a;
  ptrdiff_t a_stride;
  int32_t down;
  const float *b;
  ptrdiff_t b_stride;
  float *c;
  ptrdiff_t c_stride, rows, columns, depth;
  const float *_Nullable factors;
  int32_t adds, part;
  ptrdiff_t first;
  attn_ahead ahead, also;
} attn_product;
/// A product of small matrices that lie in the nearest caches: nothing is packed. The bits of an element do not depend on the tile.
void attn_chunk_product(int32_t isa, const attn_product *product);
/// y[c][r] = factors[c]·x[r][c]; no factors: 1.
void attn_chunk_transpose(
    int32_t isa, const float *x, ptrdiff_t x_stride, const float *_Nullable factors, float *y, ptrdiff_t y_stride,
    ptrdiff_t rows, ptrdiff_t columns);
/// x[i][j] = 0 where j > first + i; `rows` × `count` without gaps.
void attn_scan_clear(int32_t isa, float *x, ptrdiff_t first, ptrdiff_t rows, ptrdiff_t count);

/// y[i][j] = x[i][j]·decays[i][j] where j ≤ first + i and the decay is not 0, else 0, whatever stands in x; without gaps. y may be x.
void attn_scan_fade(
    int32_t isa, const float *x, const float *decays, float *y, ptrdiff_t first, ptrdiff_t rows, ptrdiff_t count);
/// Multiplies every row of x by factors of its columns; without gaps.
void attn_scan_columns(int32_t isa, float *x, const float *factors, ptrdiff_t rows, ptrdiff_t dim);
/// y = a∘b.
void attn_scan_multiply(int32_t isa, const float *a, const float *b, float *y, ptrdiff_t n);
/// y[r] = factors[r]·x[r]; y may be x.
void attn_scan_scale(
    int32_t isa, const float *x, ptrdiff_t x_stride, const float *factors, float *y, ptrdiff_t y_stride, ptrdiff_t rows,
    ptrdiff_t dim);
/// y[r] += factors[r]·x, one x for all rows.
void attn_scan_outer(
    int32_t isa, const float *factors, const float *x, float *y, ptrdiff_t y_stride, ptrdiff_t rows, ptrdiff_t dim);
/// y[r] = x[r]·z[r] + add·y[r]; strides of 0 take one row for all.
void attn_scan_dots(
    int32_t isa, const float *x, ptrdiff_t x_stride, const float *z, ptrdiff_t z_stride, float *y, float add,
    ptrdiff_t rows, ptrdiff_t dim);
/// y[r] = Σ x[r] + add·y[r].
void attn_scan_sums(
    int32_t isa, const float *x, ptrdiff_t x_stride, float *y, float add, ptrdiff_t rows, ptrdiff_t dim);

/// A step of a scan over states: running and slot become factors[r·stride]·running[r] + slot[r] and what running was, rows of
/// `dim` floats without gaps.
void attn_scan_step(
    int32_t isa, float *running, float *slot, const float *factors, ptrdiff_t stride, ptrdiff_t rows, ptrdiff_t dim);

/// One token against the state H `[key_dim][value_dim]` of a head, without gaps: with a the decays, one a row of H or (decay_stride 0) one
/// for all, `H ← a∘H + β·k (v − [delta] (a∘H)ᵀ k)ᵀ`, then `o_g = Hᵀ q_g` of every query head that reads it.
typedef struct {
  float *state;
  ptrdiff_t key_dim, value_dim;
  const float *key, *value, *decays;
  ptrdiff_t decay_stride;
  float strength;
  int32_t delta;
  /// `queries` rows of `key_dim` without gaps.
  const float *query;
  ptrdiff_t queries;
  float *output;
  ptrdiff_t output_stride;
} attn_token;
/// Reads the state once from where it lies (with the delta rule twice, the second time from the nearest caches), and writes it once.
void attn_scan_token(int32_t isa, const attn_token *token);

/// sums[t] += Σ_{i: first + i ≥ t} Σ_{j < t} p[i][j] for t < count: what crosses t. p is `rows` × `count` without gaps.
void attn_scan_crossings(
    int32_t isa, const float *p, ptrdiff_t first, ptrdiff_t rows, ptrdiff_t count, double *sums);

/// x ← (I + A)⁻¹ x, or (I + Aᵀ)⁻¹ x: A is the part of `a`, count × count without gaps, strictly below the diagonal; `count` rows of x.
void attn_scan_solve(
    int32_t isa, const float *a, ptrdiff_t count, float *x, ptrdiff_t x_stride, ptrdiff_t dim, int32_t transposed);

/// a[t] = e^{−rate·softplus(sign·(x[t] + bias))}, `rows` rows of `dim` channels; a without gaps. Decays by channel.
void attn_scan_gate(
    int32_t isa, const float *x, ptrdiff_t xs, const float *bias, float sign, float rate, float *a, ptrdiff_t
    rows, ptrdiff_t dim);
/// From the gradient of the log decays: dx; the gradient of b is added to `biases`, and that of log rate to `rates` where it is asked for.
/// dlog and dx without gaps.
void attn_scan_gate_back(
    int32_t isa, const float *x, ptrdiff_t xs, const float *bias, float sign, float rate, const float *dlog, float *dx,
    ptrdiff_t rows, ptrdiff_t dim, double *_Nullable rates, double *biases);
/// One log decay a token, from numbers that are xs apart: with s = softplus(sign·(x + bias)) logs = −rate·s and steps = s.
void attn_scan_step_gate(
    int32_t isa, const float *x, ptrdiff_t xs, float bias, float sign, float rate, float *logs, float *_Nullable steps,
    ptrdiff_t n);
/// The way back: dx; to sums[0] is added the gradient of log rate, to sums[1] that of the bias.
void attn_scan_step_gate_back(
    int32_t isa, const float *x, ptrdiff_t xs, float bias, float sign, float rate, const float *dlog,
    const float *_Nullable dstep, float *dx, ptrdiff_t n, double *sums);
/// y = 1/(1 + e^{−x}) of numbers that are xs apart.
void attn_scan_sigmoid(int32_t isa, const float *x, ptrdiff_t xs, float *y, ptrdiff_t n);
/// y = Π a[t].
void attn_scan_totals(
    int32_t isa, const float *a, float *y, ptrdiff_t rows, ptrdiff_t dim);
/// y[t] = x[t]∘Π_{u ≤ t} a[u] for skip ≤ t < rows; y may be x. No gaps.
void attn_scan_ahead(
    int32_t isa, const float *x, const float *a, float *y, ptrdiff_t skip, ptrdiff_t rows, ptrdiff_t dim);
/// y[t] = x[t]∘Π_{u > t} a[u]; y may be x. No gaps.
void attn_scan_behind(
    int32_t isa, const float *x, const float *a, float *y, ptrdiff_t rows, ptrdiff_t dim);
/// The way back through `attn_scan_ahead`: adds to dx and to dlog, the gradient of log a. dy is overwritten.
void attn_scan_ahead_back(
    int32_t isa, float *dy, const float *a, const float *x, float *dx, float *dlog, ptrdiff_t skip, ptrdiff_t
    rows, ptrdiff_t dim);
/// The way back through `attn_scan_behind`, likewise.
void attn_scan_behind_back(
    int32_t isa, float *dy, const float *a, const float *x, float *dx, float *dlog, ptrdiff_t rows, ptrdiff_t
    dim);
/// s[t − skip][j] = Σ_c q[t]·k[j]·Π_{j < u ≤ t} a[u] for j ≤ t, skip ≤ t < rows, j < keys: at most 8 rows, whose decays are multiplied up
/// one after the other.
void attn_scan_pairs(
    int32_t isa, const float *q, const float *k, const float *a, float *s, ptrdiff_t ss, ptrdiff_t skip, ptrdiff_t
    rows, ptrdiff_t keys, ptrdiff_t dim);
/// The way back through `attn_scan_pairs`: adds to dq, dk and dlog, which may be parts of one array. w has room for rows + 1 rows.
void attn_scan_pairs_back(
    int32_t isa, const float *ds, ptrdiff_t ss, const float *q, const float *k, const float *a, float *dq, float
    *dk, float *dlog, ptrdiff_t skip, ptrdiff_t rows, ptrdiff_t keys, ptrdiff_t dim, float *w);

/// y[t] = x[t]∘Π_{u > t} a[u], totals = Π a and inverses = 1/Π a; rows of x are x_stride apart, those of y have no gaps. The result is
/// whether the decays are gentle, so that all pairs of the chunk may be one product.
int32_t attn_scan_behind_all(
    int32_t isa, const float *x, ptrdiff_t x_stride, const float *a, float *y, float *totals, float *inverses,
    ptrdiff_t rows, ptrdiff_t dim);
/// y[t] = x[t]/Π_{u ≤ t} a[u], rows of x x_stride apart; the result is up to which row decays are gentle, behind which y is of no use. Neither
/// depends on later rows.
ptrdiff_t attn_scan_unfade(
    int32_t isa, const float *x, ptrdiff_t x_stride, const float *a, float *y, ptrdiff_t rows, ptrdiff_t dim);
/// y[t] = scale·x[t]∘Π_{u ≤ t} a[u], rows of x x_stride apart.
void attn_scan_ahead_all(
    int32_t isa, const float *x, ptrdiff_t x_stride, float scale, const float *a, float *y, ptrdiff_t rows,
    ptrdiff_t dim);
/// The way back through rows or keys of a chunk whose decays are gentle; `[rows, dim]` without gaps.
typedef struct {
  /// a, and 1/Π a.
  const float *decays, *inverses;
  /// The rows or keys as they have faded.
  const float *faded;
  /// Their gradients as the state gives them, and as pairs do; the latter are times the inverses.
  const float *state, *pairs;
  /// The gradients before the decays, `adds`: added to what stands there.
  float *gradient;
  int32_t adds;
  /// The gradients of log a, added to.
  float *logs;
  ptrdiff_t rows, dim;
  /// Rows up to the last one whose pairs have a gradient.
  ptrdiff_t active;
} attn_gentle;
/// Of rows, which have faded by Π_{u ≤ t} a[u].
void attn_scan_rows_back(int32_t isa, const attn_gentle *rows);
/// Of keys, which have faded by Π_{u > t} a[u]: target = logs + through, what goes through the whole chunk by the state.
void attn_scan_keys_back(int32_t isa, const attn_gentle *keys, const float *through, float *target);

/// Whether all of `rows` rows of `dim` floats are finite.
int32_t attn_scan_finite(int32_t isa, const float *x, ptrdiff_t x_stride, ptrdiff_t rows, ptrdiff_t dim);

// The definition of a recurrence, step by step in Double; states are [value_dim][key_dim].

/// One token: S ← S·diag(decay), then S ← S + β(v − [delta] S·k)kᵀ. `sizes` follows with absolute values of all terms, as if
/// every row of the state were read with the sum of its terms' sizes.
void attn_reference_state_step(
    double *state, double *sizes, const double *decay, const double *k, const double *v, double beta, int32_t delta,
    ptrdiff_t key_dim, ptrdiff_t value_dim);
/// output[c] += factor·S[c]·q and magnitude[c] += |factor|·sizes[c]·|q|.
void attn_reference_state_read(
    const double *state, const double *sizes, const double *q, double factor, ptrdiff_t key_dim, ptrdiff_t value_dim,
    double *output, double *magnitude);
/// Adds what a query that read the state gives its gradient, gradient[c] += factor·dO[c]·q, and to ∂L/∂q = factor·Σ dO[c]·S[c].
void attn_reference_state_unread(
    const double *state, const double *sizes, const double *q, const double *output_gradient,
    const double *output_gradient_sizes, double factor, ptrdiff_t key_dim, ptrdiff_t value_dim, double *gradient, double *gradient_sizes,
    double *gradient_terms, double *dq, double *dq_sizes);
/// The way back through one token, from the state before it: `gradient` of the state after it becomes that of the state before it.
/// `gradient_terms` are what readings added, faded alone, without what erasing took from the gradient: an implementation that makes the
/// gradients of a chunk at once rounds relative to these.
/// dk, d_decay (of the log decay, by channel) and their sizes have key_dim elements, dv value_dim, dbeta one; all are added to.
void attn_reference_state_back(
    const double *state, const double *sizes, const double *decay, const double *k, const double *v, double beta,
    int32_t delta, ptrdiff_t key_dim, ptrdiff_t value_dim, double *gradient, double *gradient_sizes,
    double *gradient_terms, double *dk, double *dk_sizes, double *dv, double *dv_sizes, double *d_decay, double *d_decay_sizes, double *dbeta,
    double *dbeta_size);

#pragma clang assume_nonnull end
#endif
