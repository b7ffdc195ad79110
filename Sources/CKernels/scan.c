// The run-time choice of the kernels of recurrences, and their definition in Double.
#include "choose.h"

#define SCAN_KERNELS(X)                                                                                              \
  X(void, scan_load,                                                                                                 \
    (int map, const float *x, ptrdiff_t xs, float *y, ptrdiff_t ys, ptrdiff_t rows, ptrdiff_t dim, float scale,      \
     float epsilon))                                                                                                 \
  X(void, scan_load_back,                                                                                            \
    (int map, const float *x, ptrdiff_t xs, const float *y, const float *dy, ptrdiff_t dys, float *dx,               \
     ptrdiff_t dxs, ptrdiff_t rows, ptrdiff_t dim, float scale, float epsilon))                                                     \
  X(void, scan_exp, (const float *x, float *y, ptrdiff_t n))                                                         \
  X(void, scan_decays,                                                                                               \
    (const double *sums, ptrdiff_t first, ptrdiff_t rows, ptrdiff_t count, float scale, float *y))             \
  X(void, scan_multiply, (const float *a, const float *b, float *y, ptrdiff_t n))                                    \
  X(void, scan_fade,                                                                                                 \
    (const float *x, const float *decays, float *y, ptrdiff_t first, ptrdiff_t rows, ptrdiff_t count))               \
  X(void, scan_columns, (float *x, const float *factors, ptrdiff_t rows, ptrdiff_t dim))                             \
  X(void, scan_scale,                                                                                                \
    (const float *x, ptrdiff_t xs, const float *factors, float *y, ptrdiff_t ys, ptrdiff_t rows, ptrdiff_t dim))     \
  X(void, scan_outer,                                                                                                \
    (const float *factors, const float *x, float *y, ptrdiff_t ys, ptrdiff_t rows, ptrdiff_t dim))                   \
  X(void, scan_dots,                                                                                                 \
    (const float *x, ptrdiff_t xs, const float *z, ptrdiff_t zs, float *y, float add, ptrdiff_t rows,                \
     ptrdiff_t dim))                                                                                                 \
  X(void, scan_sums, (const float *x, ptrdiff_t xs, float *y, float add, ptrdiff_t rows, ptrdiff_t dim))             \
  X(void, scan_step,                                                                                                 \
    (float *running, float *slot, const float *factors, ptrdiff_t stride, ptrdiff_t rows, ptrdiff_t dim))            \
  X(void, scan_token, (const attn_token *t))                                                                         \
  X(void, chunk_product, (const attn_product *p))                                                                    \
  X(void, chunk_transpose,                                                                                           \
    (const float *x, ptrdiff_t xs, const float *factors, float *y, ptrdiff_t ys, ptrdiff_t rows, ptrdiff_t columns)) \
  X(void, scan_clear, (float *x, ptrdiff_t first, ptrdiff_t rows, ptrdiff_t count))                                  \
  X(int, scan_behind_all,                                                                                            \
    (const float *x, ptrdiff_t xs, const float *a, float *y, float *totals, float *inverses, ptrdiff_t rows,         \
     ptrdiff_t dim))                                                                                                 \
  X(ptrdiff_t, scan_unfade,                                                                                          \
    (const float *x, ptrdiff_t xs, const float *a, float *y, ptrdiff_t rows, ptrdiff_t dim))                         \
  X(void, scan_ahead_all,                                                                                            \
    (const float *x, ptrdiff_t xs, float scale, const float *a, float *y, ptrdiff_t rows, ptrdiff_t dim))            \
  X(void, scan_rows_back, (const attn_gentle *p))                                                                    \
  X(void, scan_keys_back, (const attn_gentle *p, const float *through, float *target))                               \
  X(void, scan_solve,                                                                                                \
    (const float *a, ptrdiff_t count, float *x, ptrdiff_t xs, ptrdiff_t dim, int transposed))                        \
  X(void, scan_gate,                                                                                                  \
    (const float *x, ptrdiff_t xs, const float *bias, float sign, float rate, float *a, ptrdiff_t rows,               \
    ptrdiff_t dim))                                                                                                   \
  X(void, scan_gate_back,                                                                                             \
    (const float *x, ptrdiff_t xs, const float *bias, float sign, float rate, const float *dlog, float *dx,           \
    ptrdiff_t rows, ptrdiff_t dim, double *rates, double *biases))                                                                    \
  X(void, scan_step_gate,                                                                                             \
    (const float *x, ptrdiff_t xs, float bias, float sign, float rate, float *logs, float *steps, ptrdiff_t n))       \
  X(void, scan_step_gate_back,                                                                                        \
    (const float *x, ptrdiff_t xs, float bias, float sign, float rate, const float *dlog, const float *dstep,         \
    float *dx, ptrdiff_t n, double *sums))                                                                            \
  X(void, scan_sigmoid, (const float *x, ptrdiff_t xs, float *y, ptrdiff_t n))                                        \
  X(void, scan_totals,                                                                                                \
    (const float *a, float *y, ptrdiff_t rows, ptrdiff_t dim))                                                        \
  X(void, scan_ahead,                                                                                                 \
    (const float *x, const float *a, float *y, ptrdiff_t skip, ptrdiff_t rows, ptrdiff_t dim))                        \
  X(void, scan_behind,                                                                                                \
    (const float *x, const float *a, float *y, ptrdiff_t rows, ptrdiff_t dim))                                        \
  X(void, scan_ahead_back,                                                                                            \
    (float *dy, const float *a, const float *x, float *dx, float *dlog, ptrdiff_t skip, ptrdiff_t rows,               \
    ptrdiff_t dim))                                                                                                   \
  X(void, scan_behind_back,                                                                                           \
    (float *dy, const float *a, const float *x, float *dx, float *dlog, ptrdiff_t rows, ptrdiff_t dim))               \
  X(void, scan_pairs,                                                                                                 \
    (const float *q, const float *k, const float *a, float *s, ptrdiff_t ss, ptrdiff_t skip, ptrdiff_t rows,          \
    ptrdiff_t keys, ptrdiff_t dim))                                                                         \
  X(void, scan_pairs_back,                                                                                            \
    (const float *ds, ptrdiff_t ss, const float *q, const float *k, const float *a, float *dq, float *dk, float       \
    *dlog, ptrdiff_t skip, ptrdiff_t rows, ptrdiff_t keys, ptrdiff_t dim, float *w))                                  \
  X(void, scan_crossings,                                                                                            \
    (const float *p, ptrdiff_t first, ptrdiff_t rows, ptrdiff_t count, double *sums))                                \
  X(int, scan_finite, (const float *x, ptrdiff_t xs, ptrdiff_t rows, ptrdiff_t dim))

SCAN_KERNELS(DECLARE)

#define CALL(isa, name, ...) CHOOSE(isa, scan_##name, __VA_ARGS__)

void attn_chunk_product(int32_t isa, const attn_product *product) { CHOOSE(isa, chunk_product, product); }
void attn_chunk_transpose(
    int32_t isa, const float *x, ptrdiff_t x_stride, const float *factors, float *y, ptrdiff_t y_stride, ptrdiff_t rows,
    ptrdiff_t columns) {
  CHOOSE(isa, chunk_transpose, x, x_stride, factors, y, y_stride, rows, columns);
}
void attn_scan_clear(int32_t isa, float *x, ptrdiff_t first, ptrdiff_t rows, ptrdiff_t count) {
  CALL(isa, clear, x, first, rows, count);
}
int32_t attn_scan_behind_all(
    int32_t isa, const float *x, ptrdiff_t x_stride, const float *a, float *y, float *totals, float *inverses,
    ptrdiff_t rows, ptrdiff_t dim) {
  return CALL(isa, behind_all, x, x_stride, a, y, totals, inverses, rows, dim);
}
ptrdiff_t attn_scan_unfade(
    int32_t isa, const float *x, ptrdiff_t x_stride, const float *a, float *y, ptrdiff_t rows, ptrdiff_t dim) {
  return CALL(isa, unfade, x, x_stride, a, y, rows, dim);
}
void attn_scan_ahead_all(
    int32_t isa, const float *x, ptrdiff_t x_stride, float scale, const float *a, float *y, ptrdiff_t rows,
    ptrdiff_t dim) {
  CALL(isa, ahead_all, x, x_stride, scale, a, y, rows, dim);
}
void attn_scan_rows_back(int32_t isa, const attn_gentle *rows) { CALL(isa, rows_back, rows); }
void attn_scan_keys_back(int32_t isa, const attn_gentle *keys, const float *through, float *target) {
  CALL(isa, keys_back, keys, through, target);
}
void attn_scan_fade(
    int32_t isa, const float *x, const float *decays, float *y, ptrdiff_t first, ptrdiff_t rows, ptrdiff_t count) {
  CALL(isa, fade, x, decays, y, first, rows, count);
}
void attn_scan_columns(int32_t isa, float *x, const float *factors, ptrdiff_t rows, ptrdiff_t dim) {
  CALL(isa, columns, x, factors, rows, dim);
}

void attn_scan_load(
    int32_t isa, int32_t map, const float *x, ptrdiff_t x_stride, float *y, ptrdiff_t y_stride, ptrdiff_t rows,
    ptrdiff_t dim, float scale, float epsilon) {
  CALL(isa, load, map, x, x_stride, y, y_stride, rows, dim, scale, epsilon);
}
void attn_scan_load_backward(
    int32_t isa, int32_t map, const float *x, ptrdiff_t x_stride, const float *y, const float *dy, ptrdiff_t dy_stride,
    float *dx, ptrdiff_t dx_stride, ptrdiff_t rows, ptrdiff_t dim, float scale, float epsilon) {
  CALL(isa, load_back, map, x, x_stride, y, dy, dy_stride, dx, dx_stride, rows, dim, scale, epsilon);
}
void attn_scan_decays(
    int32_t isa, const double *sums, ptrdiff_t first, ptrdiff_t rows, ptrdiff_t count, float scale, float *y) {
  CALL(isa, decays, sums, first, rows, count, scale, y);
}
void attn_scan_exp(int32_t isa, const float *x, float *y, ptrdiff_t n) { CALL(isa, exp, x, y, n); }
void attn_scan_multiply(int32_t isa, const float *a, const float *b, float *y, ptrdiff_t n) {
  CALL(isa, multiply, a, b, y, n);
}
void attn_scan_scale(
    int32_t isa, const float *x, ptrdiff_t x_stride, const float *factors, float *y, ptrdiff_t y_stride, ptrdiff_t rows,
    ptrdiff_t dim) {
  CALL(isa, scale, x, x_stride, factors, y, y_stride, rows, dim);
}
void attn_scan_outer(
    int32_t isa, const float *factors, const float *x, float *y, ptrdiff_t y_stride, ptrdiff_t rows, ptrdiff_t dim) {
  CALL(isa, outer, factors, x, y, y_stride, rows, dim);
}
void attn_scan_dots(
    int32_t isa, const float *x, ptrdiff_t x_stride, const float *z, ptrdiff_t z_stride, float *y, float add,
    ptrdiff_t rows, ptrdiff_t dim) {
  CALL(isa, dots, x, x_stride, z, z_stride, y, add, rows, dim);
}
void attn_scan_sums(
    int32_t isa, const float *x, ptrdiff_t x_stride, float *y, float add, ptrdiff_t rows, ptrdiff_t dim) {
  CALL(isa, sums, x, x_stride, y, add, rows, dim);
}
void attn_scan_step(
    int32_t isa, float *running, float *slot, const float *factors, ptrdiff_t stride, ptrdiff_t rows, ptrdiff_t dim) {
  CALL(isa, step, running, slot, factors, stride, rows, dim);
}
void attn_scan_token(int32_t isa, const attn_token *token) { CALL(isa, token, token); }
void attn_scan_solve(
    int32_t isa, const float *a, ptrdiff_t count, float *x, ptrdiff_t x_stride, ptrdiff_t dim, int32_t transposed) {
  CALL(isa, solve, a, count, x, x_stride, dim, transposed);
}
void attn_scan_gate(
    int32_t isa, const float *x, ptrdiff_t xs, const float *bias, float sign, float rate, float *a, ptrdiff_t
    rows, ptrdiff_t dim) {
  CALL(isa, gate, x, xs, bias, sign, rate, a, rows, dim);
}
void attn_scan_gate_back(
    int32_t isa, const float *x, ptrdiff_t xs, const float *bias, float sign, float rate, const float *dlog, float *dx,
    ptrdiff_t rows, ptrdiff_t dim, double *rates, double *biases) {
  CALL(isa, gate_back, x, xs, bias, sign, rate, dlog, dx, rows, dim, rates, biases);
}
void attn_scan_totals(
    int32_t isa, const float *a, float *y, ptrdiff_t rows, ptrdiff_t dim) {
  CALL(isa, totals, a, y, rows, dim);
}
void attn_scan_ahead(
    int32_t isa, const float *x, const float *a, float *y, ptrdiff_t skip, ptrdiff_t rows, ptrdiff_t dim) {
  CALL(isa, ahead, x, a, y, skip, rows, dim);
}
void attn_scan_behind(
    int32_t isa, const float *x, const float *a, float *y, ptrdiff_t rows, ptrdiff_t dim) {
  CALL(isa, behind, x, a, y, rows, dim);
}
void attn_scan_ahead_back(
    int32_t isa, float *dy, const float *a, const float *x, float *dx, float *dlog, ptrdiff_t skip, ptrdiff_t
    rows, ptrdiff_t dim) {
  CALL(isa, ahead_back, dy, a, x, dx, dlog, skip, rows, dim);
}
void attn_scan_behind_back(
    int32_t isa, float *dy, const float *a, const float *x, float *dx, float *dlog, ptrdiff_t rows, ptrdiff_t dim)
    {
  CALL(isa, behind_back, dy, a, x, dx, dlog, rows, dim);
}
void attn_scan_pairs(
    int32_t isa, const float *q, const float *k, const float *a, float *s, ptrdiff_t ss, ptrdiff_t skip, ptrdiff_t
    rows, ptrdiff_t keys, ptrdiff_t dim) {
  CALL(isa, pairs, q, k, a, s, ss, skip, rows, keys, dim);
}
void attn_scan_pairs_back(
    int32_t isa, const float *ds, ptrdiff_t ss, const float *q, const float *k, const float *a, float *dq, float
    *dk, float *dlog, ptrdiff_t skip, ptrdiff_t rows, ptrdiff_t keys, ptrdiff_t dim, float *w) {
  CALL(isa, pairs_back, ds, ss, q, k, a, dq, dk, dlog, skip, rows, keys, dim, w);
}
void attn_scan_crossings(
    int32_t isa, const float *p, ptrdiff_t first, ptrdiff_t rows, ptrdiff_t count, double *sums) {
  CALL(isa, crossings, p, first, rows, count, sums);
}
int32_t attn_scan_finite(int32_t isa, const float *x, ptrdiff_t x_stride, ptrdiff_t rows, ptrdiff_t dim) {
  return CALL(isa, finite, x, x_stride, rows, dim);
}

void attn_scan_step_gate(
    int32_t isa, const float *x, ptrdiff_t xs, float bias, float sign, float rate, float *logs, float *steps,
    ptrdiff_t n) {
  CALL(isa, step_gate, x, xs, bias, sign, rate, logs, steps, n);
}
void attn_scan_step_gate_back(
    int32_t isa, const float *x, ptrdiff_t xs, float bias, float sign, float rate, const float *dlog, const float *dstep,
    float *dx, ptrdiff_t n, double *sums) {
  CALL(isa, step_gate_back, x, xs, bias, sign, rate, dlog, dstep, dx, n, sums);
}
void attn_scan_sigmoid(int32_t isa, const float *x, ptrdiff_t xs, float *y, ptrdiff_t n) {
  CALL(isa, sigmoid, x, xs, y, n);
}

void attn_reference_state_step(
    double *state, double *sizes, const double *decay, const double *k, const double *v, double beta, int32_t delta,
    ptrdiff_t key_dim, ptrdiff_t value_dim) {
  for (ptrdiff_t c = 0; c < value_dim; c++, state += key_dim, sizes += key_dim) {
    double rest = v[c], size = fabs(v[c]);
    for (ptrdiff_t t = 0; t < key_dim; t++) {
      state[t] *= decay[t];
      sizes[t] *= decay[t];
      if (delta) rest -= state[t] * k[t], size += fabs(state[t] * k[t]);
    }
    for (ptrdiff_t t = 0; t < key_dim; t++) {
      state[t] += beta * rest * k[t];
      sizes[t] += fabs(beta * k[t]) * size;
    }
  }
}

void attn_reference_state_read(
    const double *state, const double *sizes, const double *q, double factor, ptrdiff_t key_dim, ptrdiff_t value_dim,
    double *output, double *magnitude) {
  for (ptrdiff_t c = 0; c < value_dim; c++, state += key_dim, sizes += key_dim) {
    double sum = 0, size = 0;
    for (ptrdiff_t t = 0; t < key_dim; t++) {
      sum += state[t] * q[t];
      size += fabs(sizes[t] * q[t]);
    }
    output[c] += factor * sum;
    magnitude[c] += fabs(factor) * size;
  }
}

void attn_reference_state_unread(
    const double *state, const double *sizes, const double *q, const double *output_gradient,
    const double *output_gradient_sizes, double factor, ptrdiff_t key_dim, ptrdiff_t value_dim, double *gradient, double *gradient_sizes,
    double *gradient_terms, double *dq, double *dq_sizes) {
  for (ptrdiff_t c = 0; c < value_dim; c++) {
    const double d = factor * output_gradient[c], d_size = fabs(factor) * output_gradient_sizes[c];
    const ptrdiff_t row = c * key_dim;
    for (ptrdiff_t t = 0; t < key_dim; t++) {
      dq[t] += d * state[row + t];
      dq_sizes[t] += d_size * sizes[row + t];
      gradient[row + t] += d * q[t];
      gradient_sizes[row + t] += d_size * fabs(q[t]);
      gradient_terms[row + t] += d_size * fabs(q[t]);
    }
  }
}

void attn_reference_state_back(
    const double *state, const double *sizes, const double *decay, const double *k, const double *v, double beta,
    int32_t delta, ptrdiff_t key_dim, ptrdiff_t value_dim, double *gradient, double *gradient_sizes,
    double *gradient_terms, double *dk, double *dk_sizes, double *dv, double *dv_sizes, double *d_decay, double *d_decay_sizes, double *dbeta,
    double *dbeta_size) {
  for (ptrdiff_t c = 0; c < value_dim; c++) {
    const ptrdiff_t row = c * key_dim;
    double rest = v[c], rest_size = fabs(v[c]), along = 0, along_terms = 0, along_size = 0, whole_terms = 0;
    for (ptrdiff_t t = 0; t < key_dim; t++) {
      if (delta) {
        rest -= decay[t] * state[row + t] * k[t];
        rest_size += decay[t] * sizes[row + t] * fabs(k[t]);
      }
      along += gradient[row + t] * k[t];
      along_terms += fabs(gradient[row + t] * k[t]);
      whole_terms += gradient_terms[row + t] * fabs(k[t]);
      along_size += gradient_sizes[row + t] * fabs(k[t]);
    }
    if (whole_terms > along_terms) along_terms = whole_terms;
    *dbeta += rest * along;
    *dbeta_size += rest_size * along_size;
    dv[c] += beta * along;
    dv_sizes[c] += fabs(beta) * along_size;
    for (ptrdiff_t t = 0; t < key_dim; t++) {
      const double before = decay[t] * state[row + t], before_size = decay[t] * sizes[row + t];
      dk[t] += beta * rest * gradient[row + t];
      dk_sizes[t] += fabs(beta) * rest_size * gradient_sizes[row + t];
      if (delta) {
        dk[t] -= beta * along * before;
        dk_sizes[t] += fabs(beta) * along_size * before_size;
        gradient[row + t] -= beta * along * k[t];
        gradient_sizes[row + t] += fabs(beta * k[t]) * along_terms;
      }
      d_decay[t] += gradient[row + t] * before;
      d_decay_sizes[t] += gradient_sizes[row + t] * before_size;
      gradient[row + t] *= decay[t];
      gradient_sizes[row + t] *= decay[t];
      gradient_terms[row + t] *= decay[t];
    }
  }
}
