// The run-time choice: a table of function pointers per instruction set, indexed by InstructionSet.code.
// A family of kernels lists its functions once here: X(return type, name, parameters, arguments).
#include "common.h"

#define KERNELS(X)                                                                                                    \
  X(size_t, forward_bytes, (int32_t head_dim, int32_t value_dim))                                                     \
  X(size_t, backward_bytes, (int32_t head_dim, int32_t value_dim))                                                    \
  X(void, forward_begin, (void *scratch, const attn_head *head, attn_list rows))                                      \
  X(void, forward_run, (void *scratch, const attn_run *run))                                                          \
  X(void, forward_end,                                                                                                \
    (void *scratch, float *output, int64_t output_stride, float *lse, int32_t in_place, int32_t merge))               \
  X(void, merge_row, (float *output, float *lse, const float *part, float part_lse, int32_t value_dim))               \
  X(void, backward_begin, (void *scratch, const attn_head *head, const attn_gradient *gradient, attn_list rows))      \
  X(void, backward_run, (void *scratch, const attn_run *run))                                                         \
  X(void, backward_flush, (void *scratch))                                                                            \
  X(void, backward_end,                                                                                               \
    (void *scratch, float *target, int64_t target_stride, int32_t in_place, int32_t adds))                            \
  X(void, add, (float *target, const float *source, int64_t count))                                                   \
  X(void, hash_rows,                                                                                                  \
    (const float *rows, int64_t row_stride, int32_t count, int32_t dim, const float *rotations, int32_t hashes,       \
     int32_t first_half, int32_t second_half, int32_t *bucket, int64_t bucket_stride, float *scratch))                \
  X(float, dense_softmax, (float *weights, const float *scores, int32_t count, int32_t size))                         \
  X(void, dense_softmax_gradient, (float *gradient, const float *weights, int32_t count, int32_t size))               \
  X(double, fma_loop, (int64_t rounds))                                                                               \
  X(float, read_loop, (const float *data, int64_t count))

#define DECLARE(result, name, parameters)                                                                             \
  result name##_portable parameters;                                                                                  \
  result name##_avx2 parameters;                                                                                      \
  result name##_avx512 parameters;
KERNELS(DECLARE)

#define FIELD(result, name, parameters) result(*name) parameters;
typedef struct {
  KERNELS(FIELD)
} kernel_table;

#define PORTABLE(result, name, parameters) name##_portable,
#define AVX2(result, name, parameters) name##_avx2,
#define AVX512(result, name, parameters) name##_avx512,
static const kernel_table tables[] = {
    {KERNELS(PORTABLE)},
#if defined(__x86_64__)
    {KERNELS(AVX2)},
    {KERNELS(AVX512)},
#endif
};

/// An instruction set that was not built for falls back to the portable table.
static inline const kernel_table *table(int32_t isa) {
  return &tables[isa >= 0 && isa < (int32_t)(sizeof tables / sizeof *tables) ? isa : 0];
}

int32_t attn_isa_supported(int32_t isa) {
  if (isa == 0) return 1;
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (isa == 1) return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (isa == 2)
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma");
  if (isa == ATTN_AVX512_BF16) return attn_isa_supported(2) && __builtin_cpu_supports("avx512bf16");
#endif
  return 0;
}

void attn_prefetch_rows(const void *base, int64_t stride, attn_list rows, int32_t bytes, int32_t writes) {
  for (int32_t t = 0; t < rows.count; t++) {
    const char *row = (const char *)base + (ptrdiff_t)attn_row(&rows, t) * stride;
    for (int32_t at = 0; at < bytes; at += 64) {
      if (writes) __builtin_prefetch(row + at, 1);
      else __builtin_prefetch(row + at, 0, 2);
    }
  }
}

void attn_backward_prefetch(const attn_head *head, const attn_gradient *gradient, attn_list keys) {
  const int32_t dk = head->head_dim, dv = head->value_dim;
  for (int32_t t = 0; t < keys.count; t++) {
    const int32_t key = attn_row(&keys, t);
    if (key >= head->key_limit) continue;
    const float *k = head->key + (ptrdiff_t)key * head->key_stride;
    const float *v = head->value + (ptrdiff_t)key * head->value_stride;
    const float *gk = attn_gradient_row(gradient->key_gradient, key, dk);
    const float *gv = attn_gradient_row(gradient->value_gradient, key, dv);
    for (int32_t at = 0; at < dk; at += 16) {
      __builtin_prefetch(k + at, 0, 2);
      __builtin_prefetch(gk + at, 0, 2);
    }
    for (int32_t at = 0; at < dv; at += 16) {
      __builtin_prefetch(v + at, 0, 2);
      __builtin_prefetch(gv + at, 0, 2);
    }
  }
}

static inline void stream_row(const void *row, int32_t bytes) {
  for (int32_t at = 0; at < bytes; at += 64) (void)*((const volatile char *)row + at);
}

void attn_stream_rows(const void *base, int64_t stride, attn_list rows, int32_t bytes) {
  for (int32_t t = 0; t < rows.count; t++)
    stream_row((const char *)base + (ptrdiff_t)attn_row(&rows, t) * stride, bytes);
}

void attn_backward_stream(const attn_head *head, const attn_gradient *gradient, attn_list keys) {
  const int32_t float_bytes = sizeof(float), dk = head->head_dim, dv = head->value_dim;
  attn_stream_rows(head->key, head->key_stride * float_bytes, keys, dk * float_bytes);
  attn_stream_rows(head->value, head->value_stride * float_bytes, keys, dv * float_bytes);
  for (int32_t t = 0; t < keys.count; t++)
    stream_row(attn_gradient_row(gradient->key_gradient, attn_row(&keys, t), dk), dk * float_bytes);
  for (int32_t t = 0; t < keys.count; t++)
    stream_row(attn_gradient_row(gradient->value_gradient, attn_row(&keys, t), dv), dv * float_bytes);
}

size_t attn_scratch_bytes(int32_t isa, int32_t head_dim, int32_t value_dim, int32_t backward) {
  return backward ? table(isa)->backward_bytes(head_dim, value_dim) : table(isa)->forward_bytes(head_dim, value_dim);
}

void attn_forward_begin(int32_t isa, void *scratch, const attn_head *head, attn_list rows) {
  table(isa)->forward_begin(scratch, head, rows);
}

void attn_forward_run(int32_t isa, void *scratch, const attn_run *run) { table(isa)->forward_run(scratch, run); }

void attn_forward_end(
    int32_t isa, void *scratch, float *output, int64_t output_stride, float *lse, int32_t in_place, int32_t merge) {
  table(isa)->forward_end(scratch, output, output_stride, lse, in_place, merge);
}

void attn_merge_row(int32_t isa, float *output, float *lse, const float *part, float part_lse, int32_t value_dim) {
  table(isa)->merge_row(output, lse, part, part_lse, value_dim);
}

void attn_backward_begin(
    int32_t isa, void *scratch, const attn_head *head, const attn_gradient *gradient, attn_list rows) {
  table(isa)->backward_begin(scratch, head, gradient, rows);
}

void attn_backward_run(int32_t isa, void *scratch, const attn_run *run) { table(isa)->backward_run(scratch, run); }

void attn_backward_flush(int32_t isa, void *scratch) { table(isa)->backward_flush(scratch); }

void attn_backward_end(
    int32_t isa, void *scratch, float *target, int64_t target_stride, int32_t in_place, int32_t adds) {
  table(isa)->backward_end(scratch, target, target_stride, in_place, adds);
}

void attn_add(int32_t isa, float *target, const float *source, int64_t count) {
  table(isa)->add(target, source, count);
}

double attn_fma_loop(int32_t isa, int64_t rounds) { return table(isa)->fma_loop(rounds); }

float attn_read_loop(int32_t isa, const float *data, int64_t count) { return table(isa)->read_loop(data, count); }

void attn_hash_pack(
    float *target, const float *rotations, int32_t dim, int32_t hashes, int32_t first_half, int32_t second_half) {
  const int32_t columns = first_half + second_half;
  for (int32_t hash = 0; hash < hashes; hash++)
    for (int32_t factor = 0; factor < 2; factor++) {
      const int32_t half = factor ? second_half : first_half;
      const float *source = rotations + hash * columns + (factor ? first_half : 0);
      for (int32_t column = 0, group; column < half; column += group) {
        group = attn_hash_group(half - column);
        for (int32_t k = 0; k < dim; k++)
          for (int32_t i = 0; i < group; i++) *target++ = source[(ptrdiff_t)k * hashes * columns + column + i];
      }
    }
}

void attn_hash_rows(
    int32_t isa, const float *rows, int64_t row_stride, int32_t count, int32_t dim, const float *rotations,
    int32_t hashes, int32_t first_half, int32_t second_half, int32_t *bucket, int64_t bucket_stride, float *scratch) {
  table(isa)->hash_rows(
      rows, row_stride, count, dim, rotations, hashes, first_half, second_half, bucket, bucket_stride, scratch);
}

float attn_dense_softmax(int32_t isa, float *weights, const float *scores, int32_t count, int32_t size) {
  return table(isa)->dense_softmax(weights, scores, count, size);
}

void attn_dense_softmax_gradient(int32_t isa, float *gradient, const float *weights, int32_t count, int32_t size) {
  table(isa)->dense_softmax_gradient(gradient, weights, count, size);
}
