#ifndef ATTNLAB_DEPTHWISE_H
#define ATTNLAB_DEPTHWISE_H
#include <stddef.h>
#include <stdint.h>

#pragma clang assume_nonnull begin

/// A window that moves over images `[height][width][channels]` and gives `[lines][columns][channels]`: the result at (line, column)
/// covers the places `(stride·line − padding + dilation·i, stride·column − padding + dilation·j)`, 0 ≤ i, j < size. Those outside
/// the image are left out; padding may be below 0.
typedef struct {
  ptrdiff_t channels, height, width, lines, columns, size, stride, padding, dilation;
} attn_window;

/// A convolution with a filter a channel, w `[size·size][channels]`: `y[p][c] = bias[c] + Σ w[i][j][c]·x[place][c]` on the lines
/// `first ..< last` of one image; adds: y has a value already that takes the place of the bias. bias may be null.
void attn_depthwise(
    int32_t isa, const attn_window *window, const float *x, const float *w, const float *_Nullable bias, int32_t adds,
    float *y, ptrdiff_t first, ptrdiff_t last);
/// Adds what dy says of the rows `first ..< last` of x to dx.
void attn_depthwise_scatter(
    int32_t isa, const attn_window *window, const float *dy, const float *w, float *dx, ptrdiff_t first, ptrdiff_t last);
/// Adds what one image says of w to dw, and the sums of dy to dbias, which may be null.
void attn_depthwise_gradient(
    int32_t isa, const attn_window *window, const float *dy, const float *x, float *dw, float *_Nullable dbias);

#pragma clang assume_nonnull end
#endif
