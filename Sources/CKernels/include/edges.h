#ifndef ATTNLAB_EDGES_H
#define ATTNLAB_EDGES_H
#include <stdint.h>

#pragma clang assume_nonnull begin

/// What the score of an edge j → i is, before its factor.
enum {
  ATTN_EDGE_DOT,    ///< q·k
  ATTN_EDGE_LEAKY,  ///< Σ a·leaky(q + k): GATv2
  ATTN_EDGE_TANH,   ///< Σ a·tanh(q + k): Bahdanau
  ATTN_EDGE_NODES,  ///< leaky(source_score[j] + target_score[i]): GAT
};

/// One (batch, head) of attention on an edge list: rows of q are targets, rows of k and of the message are sources.
typedef struct {
  int32_t kind, head_dim, value_dim;
  /// The factor on the score; the slope of leaky(x) where x ≤ 0.
  float scale, slope;
  const float *query, *key, *value;
  int64_t query_stride, key_stride, value_stride;
  /// a of LEAKY and TANH; of NODES the vector that q is multiplied by.
  const float *_Nullable vector;
  /// Of NODES the vector that k is multiplied by, and the products of both.
  const float *_Nullable source_vector;
  const float *_Nullable source_score, *_Nullable target_score;
} attn_edges;

/// scores[r] = rows[r]·vector.
void attn_edges_node_scores(
    int32_t isa, const float *rows, int64_t stride, const float *vector, int32_t dim, int64_t count, float *scores);

/// output = Σ p·value over the sources of one target; returns the natural-log LSE: −∞ of none, NaN, and an output of
/// zeros, when a score is not finite in base 2. scratch: `count` floats.
float attn_edges_forward(
    int32_t isa, const attn_edges *edges, int64_t target, const int32_t *sources, int32_t count, float *scratch,
    float *output);

/// Of one target: its weights p, of its edges what attn_edges_source multiplies rows by (∂L/∂score times the factor, where rows
/// do not have it), ∂L/∂q; adds to ∂L/∂vector. Returns the LSE as above; of NaN all are 0.
float attn_edges_target(
    int32_t isa, const attn_edges *edges, int64_t target, const int32_t *sources, int32_t count,
    const float *output_gradient, float *weights, float *slopes, float *query_gradient,
    float *_Nullable vector_gradient);

/// Of one target, where a source has no list of its edges: adds to ∂L/∂value and, unless slopes is null, to ∂L/∂k of a product, each of
/// all sources.
void attn_edges_scatter(
    int32_t isa, const attn_edges *edges, int64_t target, const int32_t *sources, int32_t count, const float *weights,
    const float *_Nullable slopes, const float *output_gradient, float *key_gradient, int64_t key_stride,
    float *value_gradient, int64_t value_stride);

/// Of one source: adds to ∂L/∂k and ∂L/∂value (which may be one array), and to ∂L/∂source_vector. Its edges lead to `targets`
/// and stand at `places` among all weights and slopes.
void attn_edges_source(
    int32_t isa, const attn_edges *edges, int64_t source, const int32_t *targets, const int32_t *places, int32_t count,
    const float *weights, const float *slopes, const float *output_gradient, int64_t gradient_stride,
    float *key_gradient, float *value_gradient, float *_Nullable vector_gradient);

#pragma clang assume_nonnull end
#endif
