// LayerNorm and RMSNorm of rows, and their gradients.

/// Rows that are normalised side by side, so that one's sums do not wait for another's.
#define NORM_ROWS 4

/// The same as a row at a time, for rows of whole vectors.
INLINE void KERNEL(norm_rows)(
    const float *x, const float *gain, const float *shift, float *y, float *mean, float *rstd, ptrdiff_t dim,
    float epsilon, int centred) {
  vf sum[NORM_ROWS], spread[NORM_ROWS], middle[NORM_ROWS], scale[NORM_ROWS];
  UNROLL for (int r = 0; r < NORM_ROWS; r++) sum[r] = spread[r] = splat(0);
  if (centred)
    for (ptrdiff_t i = 0; i < dim; i += VL)
      UNROLL for (int r = 0; r < NORM_ROWS; r++) sum[r] += load(x + r * dim + i);
  UNROLL for (int r = 0; r < NORM_ROWS; r++) {
    const float all = centred ? vsum(sum[r]) : 0;
    mean[r] = all - all == 0 ? all / (float)dim : KERNEL(rowmean)(x + r * dim, dim);
    middle[r] = splat(mean[r]);
  }
  for (ptrdiff_t i = 0; i < dim; i += VL)
    UNROLL for (int r = 0; r < NORM_ROWS; r++) {
      const vf d = load(x + r * dim + i) - middle[r];
      spread[r] += d * d;
    }
  UNROLL for (int r = 0; r < NORM_ROWS; r++) {
    const float squares = vsum(spread[r]);
    rstd[r] = attn_squares_are_safe(squares + epsilon)
                  ? 1 / __builtin_sqrtf(squares / (float)dim + epsilon)
                  : KERNEL(inverse_deviation)(x + r * dim, dim, mean[r], epsilon);
    scale[r] = splat(rstd[r]);
  }
  for (ptrdiff_t i = 0; i < dim; i += VL) {
    const vf g = load(gain + i);
    UNROLL for (int r = 0; r < NORM_ROWS; r++) {
      const vf h = (load(x + r * dim + i) - middle[r]) * scale[r];
      store(y + r * dim + i, shift ? h * g + load(shift + i) : h * g);
    }
  }
}

/// y = (x − mean)·rstd·gain + shift; centred = 0 keeps mean at 0 (RMSNorm). shift may be null.
void KERNEL(row_norm)(
    const float *x, const float *gain, const float *shift, float *y, float *mean, float *rstd, ptrdiff_t rows,
    ptrdiff_t dim, float epsilon, int centred) {
  ptrdiff_t r = 0;
  if (dim % VL == 0)
    for (; r + NORM_ROWS <= rows; r += NORM_ROWS, x += NORM_ROWS * dim, y += NORM_ROWS * dim)
      KERNEL(norm_rows)(x, gain, shift, y, mean + r, rstd + r, dim, epsilon, centred);
  for (; r < rows; r++, x += dim, y += dim) {
    float m = centred ? KERNEL(rowmean)(x, dim) : 0;
    float s = KERNEL(inverse_deviation)(x, dim, m, epsilon);
    mean[r] = m;
    rstd[r] = s;
    if (shift) {
      EACH(dim, store(y + i, (load(x + i) - splat(m)) * splat(s) * load(gain + i) + load(shift + i));
           , store_part(y + i, (vpartial(x + i, rest, 0) - splat(m)) * splat(s) * vpartial(gain + i, rest, 0) +
                                      vpartial(shift + i, rest, 0), (int)rest);)
    } else {
      EACH(dim, store(y + i, (load(x + i) - splat(m)) * splat(s) * load(gain + i));
           , store_part(y + i, (vpartial(x + i, rest, 0) - splat(m)) * splat(s) * vpartial(gain + i, rest, 0), (int)rest);)
    }
  }
}

/// The same as a row at a time, for rows of whole vectors.
INLINE void KERNEL(norm_back_rows)(
    const float *x, const float *gain, const float *mean, const float *rstd, const float *dy, const float *add,
    float *dx, float *dgain, float *dshift, ptrdiff_t dim, int centred) {
  vf sum[NORM_ROWS], dot[NORM_ROWS], m[NORM_ROWS], s[NORM_ROWS], a[NORM_ROWS], b[NORM_ROWS];
  UNROLL for (int r = 0; r < NORM_ROWS; r++) {
    sum[r] = dot[r] = splat(0);
    m[r] = splat(mean[r]);
    s[r] = splat(rstd[r]);
  }
  for (ptrdiff_t i = 0; i < dim; i += VL) {
    const vf k = load(gain + i);
    vf to_gain = load(dgain + i), to_shift = dshift ? load(dshift + i) : splat(0);
    UNROLL for (int r = 0; r < NORM_ROWS; r++) {
      const vf d = load(dy + r * dim + i), h = (load(x + r * dim + i) - m[r]) * s[r], g = d * k;
      to_gain = to_gain + d * h;
      to_shift = to_shift + d;
      sum[r] += g;
      dot[r] += g * h;
    }
    store(dgain + i, to_gain);
    if (dshift) store(dshift + i, to_shift);
  }
  UNROLL for (int r = 0; r < NORM_ROWS; r++) {
    a[r] = centred ? splat(vsum(sum[r]) / (float)dim) : splat(0);
    b[r] = splat(vsum(dot[r]) / (float)dim);
  }
  for (ptrdiff_t i = 0; i < dim; i += VL) {
    const vf k = load(gain + i);
    UNROLL for (int r = 0; r < NORM_ROWS; r++) {
      const vf h = (load(x + r * dim + i) - m[r]) * s[r], d = s[r] * (load(dy + r * dim + i) * k - a[r] - h * b[r]);
      store(dx + r * dim + i, add ? load(add + r * dim + i) + d : d);
    }
  }
}

/// dx = rstd·(g − mean(g) − x̂·mean(g·x̂)) (+ add), g = dy·gain; adds Σ dy·x̂ to dgain and Σ dy to dshift.
void KERNEL(row_norm_back)(
    const float *x, const float *gain, const float *mean, const float *rstd, const float *dy, const float *add,
    float *dx, float *dgain, float *dshift, ptrdiff_t rows, ptrdiff_t dim, int centred) {
  ptrdiff_t r = 0;
  if (dim % VL == 0)
    for (; r + NORM_ROWS <= rows; r += NORM_ROWS, add = add ? add + NORM_ROWS * dim : NULL) {
      KERNEL(norm_back_rows)(x, gain, mean + r, rstd + r, dy, add, dx, dgain, dshift, dim, centred);
      x += NORM_ROWS * dim;
      dy += NORM_ROWS * dim;
      dx += NORM_ROWS * dim;
    }
  for (; r < rows; r++, x += dim, dy += dim, dx += dim, add = add ? add + dim : NULL) {
    vf m = splat(mean[r]), s = splat(rstd[r]), sum = splat(0), dot = splat(0);
    {
      EACH(dim,
           vf d = load(dy + i); vf h = (load(x + i) - m) * s; vf g = d * load(gain + i);
           store(dgain + i, load(dgain + i) + d * h); if (dshift) store(dshift + i, load(dshift + i) + d);
           sum += g; dot += g * h;
           , vf d = vpartial(dy + i, rest, 0); vf h = (vpartial(x + i, rest, 0) - m) * s;
           vf g = d * vpartial(gain + i, rest, 0);
           store_part(dgain + i, vpartial(dgain + i, rest, 0) + d * h, (int)rest);
           if (dshift) store_part(dshift + i, vpartial(dshift + i, rest, 0) + d, (int)rest);
           sum += g; dot += g * h;)
    }
    vf a = centred ? splat(vsum(sum) / (float)dim) : splat(0), b = splat(vsum(dot) / (float)dim);
    {
      EACH(dim,
           vf h = (load(x + i) - m) * s; vf d = s * (load(dy + i) * load(gain + i) - a - h * b);
           store(dx + i, add ? load(add + i) + d : d);
           , vf h = (vpartial(x + i, rest, 0) - m) * s;
           vf d = s * (vpartial(dy + i, rest, 0) * vpartial(gain + i, rest, 0) - a - h * b);
           store_part(dx + i, add ? vpartial(add + i, rest, 0) + d : d, (int)rest);)
    }
  }
}
