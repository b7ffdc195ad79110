#ifndef ATTNLAB_GEMM_H
#define ATTNLAB_GEMM_H
#include <stddef.h>
#include <stdint.h>

/// Rows of a register tile: packed A has groups of this many.
int32_t attn_gemm_tile_rows(int32_t isa);
/// Columns of a register tile: packed B has panels of this many.
int32_t attn_gemm_tile_columns(int32_t isa);

/// Packs A(i, k) = source[i·row_stride + k·depth_stride] as [group][k][tile rows], zeros beyond `rows`.
void attn_gemm_pack_a(
    int32_t isa, const float *source, ptrdiff_t row_stride, ptrdiff_t depth_stride, ptrdiff_t rows, ptrdiff_t depth,
    float *target);

/// Packs B(k, j) = source[j·column_stride + k·depth_stride] as [panel][k][tile columns], zeros beyond `columns`.
void attn_gemm_pack_b(
    int32_t isa, const float *source, ptrdiff_t column_stride, ptrdiff_t depth_stride, ptrdiff_t columns,
    ptrdiff_t depth, float *target);

/// C[rows][columns] = scale·A·B (+ bias over columns) (+ add, with the stride of C; it may be C), A and B packed.
/// 2·rows·columns·depth operations.
void attn_gemm_block(
    int32_t isa, const float *a, const float *b, float *c, ptrdiff_t ldc, ptrdiff_t rows, ptrdiff_t columns,
    ptrdiff_t depth, float scale, const float *add, const float *bias);

/// y[rows][columns] = x·Wᵀ (+ bias over columns) (+ add, with the stride of y; it may be y) for few rows: W
/// [columns][depth] is read once, in place. A row's bits do not depend on how many rows there are.
/// 2·rows·columns·depth operations.
void attn_gemm_few(
    int32_t isa, const float *x, ptrdiff_t x_stride, const float *w, ptrdiff_t w_stride, float *y, ptrdiff_t y_stride,
    ptrdiff_t rows, ptrdiff_t columns, ptrdiff_t depth, const float *add, const float *bias);
#endif
