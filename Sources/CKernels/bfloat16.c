// The run-time choice of the bfloat16 kernels: one table more than the others, for AVX512-BF16.
#include "common.h"

#define KERNELS16(X)                                                                                                  \
  X(void, downconvert16, (uint16_t *target, const float *source, int64_t count))                                            \
  X(void, upconvert16, (float *target, const uint16_t *source, int64_t count))                                            \
  X(size_t, forward16_bytes, (int32_t head_dim, int32_t value_dim))                                                   \
  X(void, forward16_begin, (void *scratch, const attn_head16 *head, attn_list rows))                                  \
  X(size_t, shared_bytes, (int32_t head_dim, int32_t value_dim, int32_t capacity))                                    \
  X(void, forward16_run, (void *scratch, const attn_run *run, attn_shared_rows *shared))                              \
  X(void, forward16_end,                                                                                              \
    (void *scratch, float *output, int64_t output_stride, float *lse, int32_t in_place, int32_t merge))               \
  X(double, dot16_loop, (int64_t rounds))

#define DECLARE(result, name, parameters)                                                                             \
  result name##_portable parameters;                                                                                  \
  result name##_avx2 parameters;                                                                                      \
  result name##_avx512 parameters;                                                                                    \
  result name##_avx512bf16 parameters;
KERNELS16(DECLARE)

#define FIELD(result, name, parameters) result(*name) parameters;
typedef struct {
  KERNELS16(FIELD)
} kernel16_table;

#define PORTABLE(result, name, parameters) name##_portable,
#define AVX2(result, name, parameters) name##_avx2,
#define AVX512(result, name, parameters) name##_avx512,
#define AVX512BF16(result, name, parameters) name##_avx512bf16,
static const kernel16_table tables[] = {
    {KERNELS16(PORTABLE)},
#if defined(__x86_64__)
    {KERNELS16(AVX2)},
    {KERNELS16(AVX512)},
    {KERNELS16(AVX512BF16)},
#endif
};

static inline const kernel16_table *table(int32_t isa) {
  return &tables[isa >= 0 && isa < (int32_t)(sizeof tables / sizeof *tables) ? isa : 0];
}

void attn_downconvert16(int32_t isa, uint16_t *target, const float *source, int64_t count) {
  table(isa)->downconvert16(target, source, count);
}

void attn_upconvert16(int32_t isa, float *target, const uint16_t *source, int64_t count) {
  table(isa)->upconvert16(target, source, count);
}

size_t attn_forward16_bytes(int32_t isa, int32_t head_dim, int32_t value_dim) {
  return table(isa)->forward16_bytes(head_dim, value_dim);
}

void attn_forward16_begin(int32_t isa, void *scratch, const attn_head16 *head, attn_list rows) {
  table(isa)->forward16_begin(scratch, head, rows);
}

void attn_forward16_run(int32_t isa, void *scratch, const attn_run *run, attn_shared_rows *shared) {
  table(isa)->forward16_run(scratch, run, shared);
}

size_t attn_shared_bytes(int32_t isa, int32_t head_dim, int32_t value_dim, int32_t capacity) {
  return table(isa)->shared_bytes(head_dim, value_dim, capacity);
}

void attn_shared_begin(void *room, int32_t capacity, int32_t shortest) {
  *(attn_shared_rows *)room = (attn_shared_rows){.capacity = capacity, .shortest = shortest};
}

void attn_forward16_end(
    int32_t isa, void *scratch, float *output, int64_t output_stride, float *lse, int32_t in_place, int32_t merge) {
  table(isa)->forward16_end(scratch, output, output_stride, lse, in_place, merge);
}

double attn_dot16_loop(int32_t isa, int64_t rounds) { return table(isa)->dot16_loop(rounds); }
