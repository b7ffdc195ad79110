// The run-time choice of the kernels of attention on edge lists.
#include "common.h"

#define EDGE_KERNELS(X)                                                                                               \
  X(void, node_scores,                                                                                                \
    (const float *rows, int64_t stride, const float *vector, int32_t dim, int64_t count, float *scores))              \
  X(float, forward,                                                                                                   \
    (const attn_edges *edges, int64_t target, const int32_t *sources, int32_t count, float *scratch, float *output))  \
  X(float, target,                                                                                                    \
    (const attn_edges *edges, int64_t target, const int32_t *sources, int32_t count, const float *output_gradient,    \
     float *weights, float *slopes, float *query_gradient, float *vector_gradient))                                   \
  X(void, scatter,                                                                                                    \
    (const attn_edges *edges, int64_t target, const int32_t *sources, int32_t count, const float *weights,            \
     const float *slopes, const float *output_gradient, float *key_gradient, int64_t key_stride,                      \
     float *value_gradient, int64_t value_stride))                                                                    \
  X(void, source,                                                                                                     \
    (const attn_edges *edges, int64_t source, const int32_t *targets, const int32_t *places, int32_t count,           \
     const float *weights, const float *slopes, const float *output_gradient, int64_t gradient_stride,                \
     float *key_gradient, float *value_gradient, float *vector_gradient))

#define DECLARE(result, name, parameters)                                                                             \
  result edges_##name##_portable parameters;                                                                          \
  result edges_##name##_avx2 parameters;                                                                              \
  result edges_##name##_avx512 parameters;
EDGE_KERNELS(DECLARE)

#define FIELD(result, name, parameters) result(*name) parameters;
typedef struct {
  EDGE_KERNELS(FIELD)
} edge_table;

#define PORTABLE(result, name, parameters) edges_##name##_portable,
#define AVX2(result, name, parameters) edges_##name##_avx2,
#define AVX512(result, name, parameters) edges_##name##_avx512,
static const edge_table edge_tables[] = {
    {EDGE_KERNELS(PORTABLE)},
#if defined(__x86_64__)
    {EDGE_KERNELS(AVX2)},
    {EDGE_KERNELS(AVX512)},
#endif
};

/// An instruction set that was not built for falls back to the portable table.
static inline const edge_table *table(int32_t isa) {
  return &edge_tables[isa >= 0 && isa < (int32_t)(sizeof edge_tables / sizeof *edge_tables) ? isa : 0];
}

void attn_edges_node_scores(
    int32_t isa, const float *rows, int64_t stride, const float *vector, int32_t dim, int64_t count, float *scores) {
  table(isa)->node_scores(rows, stride, vector, dim, count, scores);
}

float attn_edges_forward(
    int32_t isa, const attn_edges *edges, int64_t target, const int32_t *sources, int32_t count, float *scratch,
    float *output) {
  return table(isa)->forward(edges, target, sources, count, scratch, output);
}

float attn_edges_target(
    int32_t isa, const attn_edges *edges, int64_t target, const int32_t *sources, int32_t count,
    const float *output_gradient, float *weights, float *slopes, float *query_gradient, float *vector_gradient) {
  return table(isa)->target(
      edges, target, sources, count, output_gradient, weights, slopes, query_gradient, vector_gradient);
}

void attn_edges_scatter(
    int32_t isa, const attn_edges *edges, int64_t target, const int32_t *sources, int32_t count, const float *weights,
    const float *slopes, const float *output_gradient, float *key_gradient, int64_t key_stride, float *value_gradient,
    int64_t value_stride) {
  table(isa)->scatter(
      edges, target, sources, count, weights, slopes, output_gradient, key_gradient, key_stride, value_gradient,
      value_stride);
}

void attn_edges_source(
    int32_t isa, const attn_edges *edges, int64_t source, const int32_t *targets, const int32_t *places, int32_t count,
    const float *weights, const float *slopes, const float *output_gradient, int64_t gradient_stride,
    float *key_gradient, float *value_gradient, float *vector_gradient) {
  table(isa)->source(
      edges, source, targets, places, count, weights, slopes, output_gradient, gradient_stride, key_gradient,
      value_gradient, vector_gradient);
}
