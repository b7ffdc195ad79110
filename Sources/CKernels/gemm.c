// The run-time choice of the packed matrix product.
#include "common.h"

#define GEMM_KERNELS(X)                                                                                                \
  X(int32_t, gemm_tile_rows, (void))                                                                                   \
  X(int32_t, gemm_tile_columns, (void))                                                                                \
  X(void, gemm_pack_a, (const float *, ptrdiff_t, ptrdiff_t, ptrdiff_t, ptrdiff_t, float *))                           \
  X(void, gemm_pack_b, (const float *, ptrdiff_t, ptrdiff_t, ptrdiff_t, ptrdiff_t, float *))                           \
  X(void, gemm_product, (const attn_gemm *))                                                                           \
  X(void, gemm_few,                                                                                                    \
    (const float *, ptrdiff_t, const float *, ptrdiff_t, float *, ptrdiff_t, ptrdiff_t, ptrdiff_t, ptrdiff_t,          \
     const float *, const float *))

#define DECLARE(result, name, parameters) \
  result name##_portable parameters;      \
  result name##_avx2 parameters;          \
  result name##_avx512 parameters;
GEMM_KERNELS(DECLARE)

#define FIELD(result, name, parameters) result(*name) parameters;
typedef struct {
  GEMM_KERNELS(FIELD)
} gemm_table;

#define PORTABLE(result, name, parameters) name##_portable,
#define AVX2(result, name, parameters) name##_avx2,
#define AVX512(result, name, parameters) name##_avx512,
static const gemm_table tables[] = {
    {GEMM_KERNELS(PORTABLE)},
#if defined(__x86_64__)
    {GEMM_KERNELS(AVX2)},
    {GEMM_KERNELS(AVX512)},
#endif
};

static inline const gemm_table *table(int32_t isa) {
  return &tables[isa >= 0 && isa < (int32_t)(sizeof tables / sizeof *tables) ? isa : 0];
}

int32_t attn_gemm_tile_rows(int32_t isa) { return table(isa)->gemm_tile_rows(); }
int32_t attn_gemm_tile_columns(int32_t isa) { return table(isa)->gemm_tile_columns(); }

void attn_gemm_pack_a(
    int32_t isa, const float *source, ptrdiff_t row_stride, ptrdiff_t depth_stride, ptrdiff_t rows, ptrdiff_t depth,
    float *target) {
  table(isa)->gemm_pack_a(source, row_stride, depth_stride, rows, depth, target);
}

void attn_gemm_pack_b(
    int32_t isa, const float *source, ptrdiff_t column_stride, ptrdiff_t depth_stride, ptrdiff_t columns,
    ptrdiff_t depth, float *target) {
  table(isa)->gemm_pack_b(source, column_stride, depth_stride, columns, depth, target);
}

void attn_gemm_product(int32_t isa, const attn_gemm *part) { table(isa)->gemm_product(part); }

void attn_gemm_block(
    int32_t isa, const float *a, const float *b, float *c, ptrdiff_t ldc, ptrdiff_t rows, ptrdiff_t columns,
    ptrdiff_t depth, float scale, const float *add, const float *bias) {
  const int32_t width = attn_gemm_tile_columns(isa);
  const attn_gemm part = {
      .side = ATTN_GEMM_PACKED, .scale = scale, .rows = rows, .columns = columns, .depth = depth, .a = a, .b = b,
      .b_step = width, .b_panel = width * depth, .c = c, .c_stride = ldc, .add = add, .bias = bias};
  attn_gemm_product(isa, &part);
}

void attn_gemm_few(
    int32_t isa, const float *x, ptrdiff_t x_stride, const float *w, ptrdiff_t w_stride, float *y, ptrdiff_t y_stride,
    ptrdiff_t rows, ptrdiff_t columns, ptrdiff_t depth, const float *add, const float *bias) {
  table(isa)->gemm_few(x, x_stride, w, w_stride, y, y_stride, rows, columns, depth, add, bias);
}
