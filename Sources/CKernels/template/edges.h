// Attention on an edge list: one target with its sources, or one source with its targets. Rows are gathered; nothing of
// edges × dim is stored.

/// How many edges ahead rows are prefetched.
#define EDGES_AHEAD 6
/// The largest magnitude of a score: the largest single times ln 2.
#define EDGES_LIMIT 2.3586576e38f

INLINE void KERNEL(edge_prefetch)(const float *row, int dim) {
  for (int t = 0; t < dim; t += 16) __builtin_prefetch(row + t, 0, 3);
}

INLINE vf KERNEL(leaky)(vf x, vf slope) { return x > 0.0f ? x : x * slope; }
INLINE float KERNEL(leaky1)(float x, float slope) { return x > 0 ? x : x * slope; }

/// What rows are multiplied by before their products are added: a scale below 1 may bring back what would overflow.
INLINE float KERNEL(edge_gain)(const attn_edges *g) {
  return g->kind == ATTN_EDGE_DOT && fabsf(g->scale) <= 1 ? g->scale : 1;
}
/// What is left of the factor on the score.
INLINE float KERNEL(edge_factor)(const attn_edges *g) {
  return g->kind == ATTN_EDGE_DOT && fabsf(g->scale) <= 1 ? 1 : g->scale;
}

/// Adds the terms of a score to `sum`: zeros behind the end of a row add nothing. Of a product `a` is the gain.
INLINE vf KERNEL(edge_terms)(const int kind, vf q, vf k, vf a, vf slope, vf sum) {
  if (kind == ATTN_EDGE_DOT) return vfma(q * a, k, sum);
  return vfma(a, kind == ATTN_EDGE_LEAKY ? KERNEL(leaky)(q + k, slope) : vtanh1(q + k), sum);
}

/// ∂score/∂q = ∂score/∂k of a sum; for a product the other factor times the gain `a`.
INLINE vf KERNEL(edge_slope)(const int kind, vf q, vf k, vf a, vf slope, const int of_query) {
  if (kind == ATTN_EDGE_DOT) return (of_query ? k : q) * a;
  const vf x = q + k;
  if (kind == ATTN_EDGE_LEAKY) return x > 0.0f ? a : a * slope;
  const vf y = vtanh1(x);
  return a - a * y * y;
}

INLINE float KERNEL(edge_dot)(const float *x, const float *y, int dim) {
  vf sum = splat(0);
  int t = 0;
  for (; t + VL <= dim; t += VL) sum = vfma(load(x + t), load(y + t), sum);
  if (t < dim) sum = vfma(load_part(x + t, dim - t), load_part(y + t, dim - t), sum);
  return vsum(sum);
}

INLINE void KERNEL(edge_add)(float *y, float a, const float *x, int dim) {
  int t = 0;
  for (; t + VL <= dim; t += VL) store(y + t, vfma(splat(a), load(x + t), load(y + t)));
  if (t < dim) store_part(y + t, vfma(splat(a), load_part(x + t, dim - t), load_part(y + t, dim - t)), dim - t);
}

void KERNEL(edges_node_scores)(
    const float *rows, int64_t stride, const float *vector, int32_t dim, int64_t count, float *scores) {
  for (int64_t r = 0; r < count; r++) scores[r] = KERNEL(edge_dot)(rows + r * stride, vector, dim);
}

INLINE void KERNEL(edge_sum_scores)(
    const int kind, const attn_edges *g, int64_t target, const int32_t *sources, int32_t count, float *scores) {
  const float *q = g->query + target * g->query_stride, *a = g->vector;
  const int dim = g->head_dim, whole = dim / VL * VL, rest = dim - whole;
  const vf slope = splat(g->slope), zero = splat(0), gain = splat(KERNEL(edge_gain)(g));
  for (int32_t e = 0; e < count; e++) {
    if (e + EDGES_AHEAD < count)
      KERNEL(edge_prefetch)(g->key + sources[e + EDGES_AHEAD] * g->key_stride, dim);
    const float *k = g->key + sources[e] * g->key_stride;
    vf sum = zero;
    for (int t = 0; t < whole; t += VL)
      sum = KERNEL(edge_terms)(
          kind, load(q + t), load(k + t), kind == ATTN_EDGE_DOT ? gain : load(a + t), slope, sum);
    if (rest)
      sum = KERNEL(edge_terms)(
          kind, load_part(q + whole, rest), load_part(k + whole, rest),
          kind == ATTN_EDGE_DOT ? gain : load_part(a + whole, rest), slope, sum);
    scores[e] = KERNEL(edge_factor)(g) * vsum(sum);
  }
}

static void KERNEL(edge_scores)(
    const attn_edges *g, int64_t target, const int32_t *sources, int32_t count, float *scores) {
  switch (g->kind) {
  case ATTN_EDGE_DOT: KERNEL(edge_sum_scores)(ATTN_EDGE_DOT, g, target, sources, count, scores); break;
  case ATTN_EDGE_LEAKY: KERNEL(edge_sum_scores)(ATTN_EDGE_LEAKY, g, target, sources, count, scores); break;
  case ATTN_EDGE_TANH: KERNEL(edge_sum_scores)(ATTN_EDGE_TANH, g, target, sources, count, scores); break;
  default:
    for (int32_t e = 0; e < count; e++)
      scores[e] = g->scale * KERNEL(leaky1)(g->source_score[sources[e]] + g->target_score[target], g->slope);
  }
}

/// Whether all scores stay below the largest single in base 2, as ScoreOverflow demands; NaN does not.
INLINE int KERNEL(edge_scores_hold)(const float *scores, int32_t count) {
  vi bad = (vi)0;
  int32_t e = 0;
  for (; e + VL <= count; e += VL) {
    const vf x = load(scores + e);
    bad |= ~((x > 0.0f ? x : -x) <= EDGES_LIMIT);
  }
  int any = 0;
  for (int lane = 0; lane < VL; lane++) any |= bad[lane];
  for (; e < count; e++) any |= !(fabsf(scores[e]) <= EDGES_LIMIT);
  return !any;
}

float KERNEL(edges_forward)(
    const attn_edges *g, int64_t target, const int32_t *sources, int32_t count, float *scratch, float *output) {
  const int dim = g->value_dim;
  memset(output, 0, sizeof(float) * (size_t)dim);
  if (count == 0) return -__builtin_inff();
  KERNEL(edge_scores)(g, target, sources, count, scratch);
  if (!KERNEL(edge_scores_hold)(scratch, count)) return __builtin_nanf("");
  const float lse = KERNEL(dense_softmax)(scratch, scratch, count, count);
  for (int32_t e = 0; e < count; e++) {
    if (e + EDGES_AHEAD < count)
      KERNEL(edge_prefetch)(g->value + sources[e + EDGES_AHEAD] * g->value_stride, dim);
    // What has no weight may be anything.
    if (scratch[e] != 0) KERNEL(edge_add)(output, scratch[e], g->value + sources[e] * g->value_stride, dim);
  }
  return lse;
}

/// dq += s·∂score/∂q and dvector += s·leaky(q + k) or s·tanh(q + k) of the edges of a target.
INLINE void KERNEL(edge_target_sums)(
    const int kind, const attn_edges *g, int64_t target, const int32_t *sources, int32_t count, const float *slopes,
    float *dq, float *dvector) {
  const float *q = g->query + target * g->query_stride, *a = g->vector;
  const int dim = g->head_dim;
  const vf slope = splat(g->slope), gain = splat(KERNEL(edge_gain)(g));
  for (int32_t e = 0; e < count; e++) {
    if (e + EDGES_AHEAD < count)
      KERNEL(edge_prefetch)(g->key + sources[e + EDGES_AHEAD] * g->key_stride, dim);
    if (slopes[e] == 0) continue;
    const float *k = g->key + sources[e] * g->key_stride;
    const vf s = splat(slopes[e]);
    for (int t = 0; t < dim; t += VL) {
      const int n = dim - t < VL ? dim - t : VL, part = n < VL;
      const vf x = part ? load_part(q + t, n) : load(q + t), y = part ? load_part(k + t, n) : load(k + t);
      const vf w = kind == ATTN_EDGE_DOT ? gain : part ? load_part(a + t, n) : load(a + t);
      const vf d = KERNEL(edge_slope)(kind, x, y, w, slope, 1);
      if (part) store_part(dq + t, vfma(s, d, load_part(dq + t, n)), n);
      else store(dq + t, vfma(s, d, load(dq + t)));
      if (kind == ATTN_EDGE_DOT) continue;
      const vf f = kind == ATTN_EDGE_LEAKY ? KERNEL(leaky)(x + y, slope) : vtanh1(x + y);
      if (part) store_part(dvector + t, vfma(s, f, load_part(dvector + t, n)), n);
      else store(dvector + t, vfma(s, f, load(dvector + t)));
    }
  }
}

float KERNEL(edges_target)(
    const attn_edges *g, int64_t target, const int32_t *sources, int32_t count, const float *output_gradient,
    float *weights, float *slopes, float *dq, float *dvector) {
  memset(dq, 0, sizeof(float) * (size_t)g->head_dim);
  if (count == 0) return -__builtin_inff();
  KERNEL(edge_scores)(g, target, sources, count, weights);
  if (!KERNEL(edge_scores_hold)(weights, count)) {
    memset(weights, 0, sizeof(float) * (size_t)count);
    memset(slopes, 0, sizeof(float) * (size_t)count);
    return __builtin_nanf("");
  }
  const float lse = KERNEL(dense_softmax)(weights, weights, count, count);
  for (int32_t e = 0; e < count; e++) {
    if (e + EDGES_AHEAD < count)
      KERNEL(edge_prefetch)(g->value + sources[e + EDGES_AHEAD] * g->value_stride, g->value_dim);
    slopes[e] =
        weights[e] == 0
            ? 0 : KERNEL(edge_dot)(output_gradient, g->value + sources[e] * g->value_stride, g->value_dim);
  }
  KERNEL(dense_softmax_gradient)(slopes, weights, count, count);
  for (int32_t e = 0; e < count; e++) slopes[e] *= KERNEL(edge_factor)(g);
  switch (g->kind) {
  case ATTN_EDGE_DOT:
    KERNEL(edge_target_sums)(ATTN_EDGE_DOT, g, target, sources, count, slopes, dq, dvector);
    return lse;
  case ATTN_EDGE_LEAKY:
    KERNEL(edge_target_sums)(ATTN_EDGE_LEAKY, g, target, sources, count, slopes, dq, dvector);
    return lse;
  case ATTN_EDGE_TANH:
    KERNEL(edge_target_sums)(ATTN_EDGE_TANH, g, target, sources, count, slopes, dq, dvector);
    return lse;
  }
  float sum = 0;
  for (int32_t e = 0; e < count; e++) {
    if (!(g->source_score[sources[e]] + g->target_score[target] > 0)) slopes[e] *= g->slope;
    sum += slopes[e];
  }
  KERNEL(edge_add)(dq, sum, g->vector, g->head_dim);
  KERNEL(edge_add)(dvector, sum, g->query + target * g->query_stride, g->head_dim);
  return lse;
}

void KERNEL(edges_scatter)(
    const attn_edges *g, int64_t target, const int32_t *sources, int32_t count, const float *weights,
    const float *slopes, const float *output_gradient, float *dk, int64_t dk_stride, float *dv, int64_t dv_stride) {
  const float *q = g->query + target * g->query_stride;
  const vf gain = splat(KERNEL(edge_gain)(g));
  for (int32_t e = 0; e < count; e++) {
    if (e + EDGES_AHEAD < count) {
      KERNEL(edge_prefetch)(dv + sources[e + EDGES_AHEAD] * dv_stride, g->value_dim);
      if (slopes) KERNEL(edge_prefetch)(dk + sources[e + EDGES_AHEAD] * dk_stride, g->head_dim);
    }
    if (weights[e] != 0) KERNEL(edge_add)(dv + sources[e] * dv_stride, weights[e], output_gradient, g->value_dim);
    if (!slopes || slopes[e] == 0) continue;
    // The scale may be as small as the row is large.
    float *own = dk + sources[e] * dk_stride;
    const vf slope = splat(slopes[e]);
    int t = 0;
    for (; t + VL <= g->head_dim; t += VL) store(own + t, vfma(slope, load(q + t) * gain, load(own + t)));
    const int rest = g->head_dim - t;
    if (rest) store_part(own + t, vfma(slope, load_part(q + t, rest) * gain, load_part(own + t, rest)), rest);
  }
}

INLINE void KERNEL(edge_source_sums)(
    const int kind, const attn_edges *g, int64_t source, const int32_t *targets, const int32_t *places, int32_t count,
    const float *slopes, float *dk) {
  const float *k = g->key + source * g->key_stride, *a = g->vector;
  const int dim = g->head_dim;
  const vf slope = splat(g->slope), gain = splat(KERNEL(edge_gain)(g));
  for (int32_t e = 0; e < count; e++) {
    if (e + EDGES_AHEAD < count)
      KERNEL(edge_prefetch)(g->query + targets[e + EDGES_AHEAD] * g->query_stride, dim);
    const float own = slopes[places[e]];
    if (own == 0) continue;
    const float *q = g->query + targets[e] * g->query_stride;
    for (int t = 0; t < dim; t += VL) {
      const int n = dim - t < VL ? dim - t : VL, part = n < VL;
      const vf x = part ? load_part(q + t, n) : load(q + t), y = part ? load_part(k + t, n) : load(k + t);
      const vf w = kind == ATTN_EDGE_DOT ? gain : part ? load_part(a + t, n) : load(a + t);
      const vf d = KERNEL(edge_slope)(kind, x, y, w, slope, 0);
      if (part) store_part(dk + t, vfma(splat(own), d, load_part(dk + t, n)), n);
      else store(dk + t, vfma(splat(own), d, load(dk + t)));
    }
  }
}

void KERNEL(edges_source)(
    const attn_edges *g, int64_t source, const int32_t *targets, const int32_t *places, int32_t count,
    const float *weights, const float *slopes, const float *output_gradient, int64_t gradient_stride, float *dk,
    float *dv, float *dvector) {
  for (int32_t e = 0; e < count; e++) {
    if (e + EDGES_AHEAD < count)
      KERNEL(edge_prefetch)(output_gradient + targets[e + EDGES_AHEAD] * gradient_stride, g->value_dim);
    const float weight = weights[places[e]];
    if (weight != 0) KERNEL(edge_add)(dv, weight, output_gradient + targets[e] * gradient_stride, g->value_dim);
  }
  switch (g->kind) {
  case ATTN_EDGE_DOT:
    KERNEL(edge_source_sums)(ATTN_EDGE_DOT, g, source, targets, places, count, slopes, dk);
    return;
  case ATTN_EDGE_LEAKY:
    KERNEL(edge_source_sums)(ATTN_EDGE_LEAKY, g, source, targets, places, count, slopes, dk);
    return;
  case ATTN_EDGE_TANH:
    KERNEL(edge_source_sums)(ATTN_EDGE_TANH, g, source, targets, places, count, slopes, dk);
    return;
  }
  float sum = 0;
  for (int32_t e = 0; e < count; e++) sum += slopes[places[e]];
  if (sum == 0) return;
  KERNEL(edge_add)(dk, sum, g->source_vector, g->head_dim);
  KERNEL(edge_add)(dvector, sum, g->key + source * g->key_stride, g->head_dim);
}
