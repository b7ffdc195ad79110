// The run-time choice: a table of function pointers per instruction set, indexed by InstructionSet.code.
// A family of kernels lists its functions once here: X(return type, name, parameters, arguments).
#include "common.h"

#define KERNELS(X)                                                                                                    \
  X(size_t, forward_bytes, (int32_t head_dim, int32_t value_dim))                                                     \
  X(size_t, backward_bytes, (int32_t head_dim, int32_t value_dim))                                                    \
  X(int32_t, strip_rows, (void))                                                                                      \
  X(void, forward_begin, (void *scratch, const attn_head *head, attn_list rows))                                      \
  X(void, forward_run, (void *scratch, const attn_run *run))                                                          \
  X(void, forward_end,                                                                                                \
    (void *scratch, float *output, int64_t output_stride, float *lse, int32_t in_place, int32_t merge))               \
  X(void, merge_row, (float *output, float *lse, const float *partial, float partial_lse, int32_t value_dim))               \
  X(void, backward_begin, (void *scratch, const attn_head *head, const attn_gradient *gradient, attn_list rows))      \
  X(void, backward_run, (void *scratch, const attn_run *run))                                                         \
  X(void, backward_flush, (void *scratch))                                                                            \
  X(void, backward_end,                                                                                               \
    (void *scratch, float *target, int64_t target_stride, int32_t in_place, int32_t adds))                            \
  X(size_t, backward16_bytes, (int32_t head_dim, int32_t value_dim))                                                  \
  X(void, backward16_begin,                                                                                           \
    (void *scratch, const attn_head16 *head, const attn_gradient *gradient, attn_list rows))                          \
  X(void, backward16_run, (void *scratch, const attn_run *run))                                                       \
  X(void, backward16_flush, (void *scratch))                                                                          \
  X(void, backward16_end,                                                                                             \
    (void *scratch, float *target, int64_t target_stride, int32_t in_place, int32_t adds))                            \
  X(void, cap_row, (const float *x, float *y, int64_t count, float by, float most))                                   \
  X(void, uncap_row, (const float *x, float *y, int64_t count, float by))                                             \
  X(void, add, (float *target, const float *source, int64_t count))                                                   \
  X(void, hash_rows,                                                                                                  \
    (const float *rows, int64_t row_stride, int32_t count, int32_t dim, const float *rotations, int32_t hashes,       \
     int32_t first_half, int32_t second_half, int32_t *bucket, int64_t bucket_stride, float *scratch))                \
  X(float, dense_softmax, (float *weights, const float *scores, int32_t count, int32_t size))                         \
  X(void, dense_softmax_gradient, (float *gradient, const float *weights, int32_t count, int32_t size))               \
  X(double, fma_loop, (int64_t rounds))                                                                               \
  X(float, read_loop, (const float *data, int64_t count))                                                            \
  X(void, rewrite_loop, (float *data, int64_t count))

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

static inline void prefetch_row(const void *row, int32_t bytes) {
  for (int32_t at = 0; at < bytes; at += 64) __builtin_prefetch((const char *)row + at, 0, 2);
}

static inline void prefetch_row_to_write(const void *row, int32_t bytes) {
  for (int32_t at = 0; at < bytes; at += 64) __builtin_prefetch((const char *)row + at, 1);
}

void attn_prefetch_rows(const void *base, int64_t stride, attn_list rows, int32_t bytes, int32_t writes) {
  for (int32_t t = 0; t < rows.count; t++) {
    const char *row = (const char *)base + (ptrdiff_t)attn_row(&rows, t) * stride;
    if (writes) prefetch_row_to_write(row, bytes);
    else prefetch_row(row, bytes);
  }
}

/// A head's keys and values as bytes, whatever their precision.
typedef struct {
  const char *key, *value;
  ptrdiff_t key_step, value_step;
  int32_t key_bytes, value_bytes, key_limit, head_dim, value_dim;
} key_bytes;

#define KEY_BYTES(head, element)                                                                                      \
  (key_bytes) {                                                                                                       \
    (const char *)(head)->key, (const char *)(head)->value, (ptrdiff_t)(head)->key_stride * (element),                 \
        (ptrdiff_t)(head)->value_stride * (element), (head)->head_dim * (element), (head)->value_dim * (element),      \
        (head)->key_limit, (head)->head_dim, (head)->value_dim                                                         \
  }

static void prefetch_keys(key_bytes from, const attn_gradient *gradient, attn_list keys) {
  for (int32_t t = 0; t < keys.count; t++) {
    const int32_t key = attn_row(&keys, t);
    if (key >= from.key_limit) continue;
    prefetch_row(from.key + key * from.key_step, from.key_bytes);
    prefetch_row(attn_gradient_row(gradient->key_gradient, key, from.head_dim), from.head_dim * (int32_t)sizeof(float));
    prefetch_row(from.value + key * from.value_step, from.value_bytes);
    prefetch_row(attn_gradient_row(gradient->value_gradient, key, from.value_dim), from.value_dim * (int32_t)sizeof(float));
  }
}

void attn_backward_prefetch(const attn_head *head, const attn_gradient *gradient, attn_list keys) {
  prefetch_keys(KEY_BYTES(head, (int32_t)sizeof(float)), gradient, keys);
}

void attn_backward16_prefetch(const attn_head16 *head, const attn_gradient *gradient, attn_list keys) {
  prefetch_keys(KEY_BYTES(head, (int32_t)sizeof(uint16_t)), gradient, keys);
}

static inline void warm_row(const void *row, int32_t bytes) {
  for (int32_t at = 0; at < bytes; at += 64) (void)*((const volatile char *)row + at);
}

void attn_warm_rows(const void *base, int64_t stride, attn_list rows, int32_t bytes) {
  for (int32_t t = 0; t < rows.count; t++)
    warm_row((const char *)base + (ptrdiff_t)attn_row(&rows, t) * stride, bytes);
}

static void warm_gradients(float *const *blocks, attn_list keys, int32_t dim) {
  for (int32_t t = 0; t < keys.count; t++)
    warm_row(attn_gradient_row(blocks, attn_row(&keys, t), dim), dim * (int32_t)sizeof(float));
}

static void warm_keys(key_bytes from, const attn_gradient *gradient, attn_list keys) {
  attn_warm_rows(from.key, from.key_step, keys, from.key_bytes);
  attn_warm_rows(from.value, from.value_step, keys, from.value_bytes);
  warm_gradients(gradient->key_gradient, keys, from.head_dim);
  warm_gradients(gradient->value_gradient, keys, from.value_dim);
}

void attn_backward_warm(const attn_head *head, const attn_gradient *gradient, attn_list keys) {
  warm_keys(KEY_BYTES(head, (int32_t)sizeof(float)), gradient, keys);
}

void attn_backward16_warm(const attn_head16 *head, const attn_gradient *gradient, attn_list keys) {
  warm_keys(KEY_BYTES(head, (int32_t)sizeof(uint16_t)), gradient, keys);
}

size_t attn_scratch_bytes(int32_t isa, int32_t head_dim, int32_t value_dim, int32_t backward) {
  return backward ? table(isa)->backward_bytes(head_dim, value_dim) : table(isa)->forward_bytes(head_dim, value_dim);
}

void attn_cap(int32_t isa, const float *x, float *y, int64_t count, float by, float most) {
  table(isa)->cap_row(x, y, count, by, most);
}

void attn_uncap(int32_t isa, const float *x, float *y, int64_t count, float by) { table(isa)->uncap_row(x, y, count, by); }

int32_t attn_strip_rows(int32_t isa) { return table(isa)->strip_rows(); }

void attn_forward_begin(int32_t isa, void *scratch, const attn_head *head, attn_list rows) {
  table(isa)->forward_begin(scratch, head, rows);
}

void attn_forward_run(int32_t isa, void *scratch, const attn_run *run) { table(isa)->forward_run(scratch, run); }

void attn_forward_end(
    int32_t isa, void *scratch, float *output, int64_t output_stride, float *lse, int32_t in_place, int32_t merge) {
  table(isa)->forward_end(scratch, output, output_stride, lse, in_place, merge);
}

void attn_merge_row(int32_t isa, float *output, float *lse, const float *partial, float partial_lse, int32_t value_dim) {
  table(isa)->merge_row(output, lse, partial, partial_lse, value_dim);
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

size_t attn_backward16_bytes(int32_t isa, int32_t head_dim, int32_t value_dim) {
  return table(isa)->backward16_bytes(head_dim, value_dim);
}

void attn_backward16_begin(
    int32_t isa, void *scratch, const attn_head16 *head, const attn_gradient *gradient, attn_list rows) {
  table(isa)->backward16_begin(scratch, head, gradient, rows);
}

void attn_backward16_run(int32_t isa, void *scratch, const attn_run *run) { table(isa)->backward16_run(scratch, run); }

void attn_backward16_flush(int32_t isa, void *scratch) { table(isa)->backward16_flush(scratch); }

void attn_backward16_end(
    int32_t isa, void *scratch, float *target, int64_t target_stride, int32_t in_place, int32_t adds) {
  table(isa)->backward16_end(scratch, target, target_stride, in_place, adds);
}

void attn_add(int32_t isa, float *target, const float *source, int64_t count) {
  table(isa)->add(target, source, count);
}

double attn_fma_loop(int32_t isa, int64_t rounds) { return table(isa)->fma_loop(rounds); }

float attn_read_loop(int32_t isa, const float *data, int64_t count) { return table(isa)->read_loop(data, count); }
void attn_rewrite_loop(int32_t isa, float *data, int64_t count) { table(isa)->rewrite_loop(data, count); }

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
