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

/// Where the elements of A stand.
enum {
  /// As `attn_gemm_pack_a` leaves them.
  ATTN_GEMM_PACKED = 0,
  /// A(i, k) = a[i·a_step + k].
  ATTN_GEMM_ROWS = 1,
  /// A(i, k) = a[i + k·a_step].
  ATTN_GEMM_COLUMNS = 2,
};

/// What is done to C = scale·A·B (+ bias) (+ add) while it is in registers.
enum {
  ATTN_GEMM_PLAIN = 0,
  /// C becomes f(C), and `slope`, unless it is null, f′(C).
  ATTN_GEMM_ACTIVATE = 1,
  /// C becomes C∘slope.
  ATTN_GEMM_TIMES = 2,
};

/// Neighbouring k's whose elements of A, and of B, lie at one step from each other.
typedef struct {
  ptrdiff_t depth;
  /// Where the first of them stands behind the first of the part, in A and in B.
  ptrdiff_t a, b;
} attn_gemm_run;

/// A part of a product; `add` and `slope` have the stride of c, and `add` may be c.
typedef struct {
  int32_t side, finish, activation;
  float scale;
  ptrdiff_t rows, columns, depth;
  /// In place, the tile rows that end with the last of A are read: rows of A before these where these are fewer.
  const float *a;
  ptrdiff_t a_step;
  /// B(k, j) = b[j / w·b_panel + k·b_step + j % w], w the tile columns; whole panels are read.
  const float *b;
  ptrdiff_t b_step, b_panel;
  float *c;
  ptrdiff_t c_stride;
  const float *add, *bias;
  float *slope;
  /// The k's in runs whose depths sum to `depth`, for matrices that lie in pieces; null: all in one.
  const attn_gemm_run *runs;
  ptrdiff_t run_count;
} attn_gemm;

/// Every element is one sum over k in rising order, however A and B lie. 2·rows·columns·depth operations.
void attn_gemm_product(int32_t isa, const attn_gemm *part);

/// C[rows][columns] = scale·A·B (+ bias over columns) (+ add, with the stride of C; it may be C), A and B packed.
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
