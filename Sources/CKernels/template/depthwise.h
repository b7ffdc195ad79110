// A convolution of images with a filter a channel. Channels lie side by side, so a vector holds VL of them at one place.

/// `part` is a constant 0 for a whole vector, else the lanes that there are.
INLINE vf KERNEL(channels_of)(const float *p, int part) { return part ? load_part(p, part) : load(p); }
INLINE void KERNEL(put_channels)(float *p, vf x, int part) {
  if (part) store_part(p, x, part);
  else store(p, x);
}
#define channels_of KERNEL(channels_of)
#define put_channels KERNEL(put_channels)

/// The least n ≥ 0 with `start + step·n ≥ 0`, and how many n there are below `size` with `start + step·n < extent`.
INLINE ptrdiff_t KERNEL(inside_from)(ptrdiff_t start, ptrdiff_t step) {
  return start >= 0 ? 0 : (step - 1 - start) / step;
}
INLINE ptrdiff_t KERNEL(inside_to)(ptrdiff_t start, ptrdiff_t step, ptrdiff_t extent, ptrdiff_t size) {
  const ptrdiff_t n = start >= extent ? 0 : (extent - start + step - 1) / step;
  return n < size ? n : size;
}
#define inside_from KERNEL(inside_from)
#define inside_to KERNEL(inside_to)

INLINE void KERNEL(depthwise_lanes)(
    const attn_window *s, const float *x, const float *w, const float *bias, int adds, float *y, ptrdiff_t first,
    ptrdiff_t last, int part, const ptrdiff_t size) {
  const ptrdiff_t c = s->channels, d = s->dilation, step = s->stride * c;
  const vf start = bias ? channels_of(bias, part) : splat(0);
  for (ptrdiff_t line = first; line < last; line++) {
    const ptrdiff_t top = line * s->stride - s->padding;
    const ptrdiff_t from = inside_from(top, d), to = inside_to(top, d, s->height, size);
    for (ptrdiff_t column = 0; column < s->columns;) {
      const ptrdiff_t left = column * s->stride - s->padding;
      float *out = y + (line * s->columns + column) * c;
      // Four windows that lie inside share a filter that is read once.
      if (left >= 0 && column + 4 <= s->columns && left + 3 * s->stride + d * (size - 1) < s->width) {
        vf a0 = adds ? channels_of(out, part) : start, a1 = adds ? channels_of(out + c, part) : start;
        vf a2 = adds ? channels_of(out + 2 * c, part) : start, a3 = adds ? channels_of(out + 3 * c, part) : start;
        for (ptrdiff_t i = from; i < to; i++) {
          const float *at = x + ((top + d * i) * s->width + left) * c, *filter = w + i * size * c;
          for (ptrdiff_t j = 0; j < size; j++, at += d * c, filter += c) {
            const vf f = channels_of(filter, part);
            a0 = vfma(f, channels_of(at, part), a0);
            a1 = vfma(f, channels_of(at + step, part), a1);
            a2 = vfma(f, channels_of(at + 2 * step, part), a2);
            a3 = vfma(f, channels_of(at + 3 * step, part), a3);
          }
        }
        put_channels(out, a0, part);
        put_channels(out + c, a1, part);
        put_channels(out + 2 * c, a2, part);
        put_channels(out + 3 * c, a3, part);
        column += 4;
        continue;
      }
      const ptrdiff_t j0 = inside_from(left, d), j1 = inside_to(left, d, s->width, size);
      vf a = adds ? channels_of(out, part) : start;
      for (ptrdiff_t i = from; i < to; i++) {
        const float *at = x + ((top + d * i) * s->width + left) * c, *filter = w + i * size * c;
        for (ptrdiff_t j = j0; j < j1; j++) a = vfma(channels_of(filter + j * c, part), channels_of(at + d * j * c, part), a);
      }
      put_channels(out, a, part);
      column++;
    }
  }
}
void KERNEL(depthwise)(
    const attn_window *window, const float *x, const float *w, const float *bias, int32_t adds, float *y,
    ptrdiff_t first, ptrdiff_t last) {
#define BLOCK(part, size)                                                                                             \
  KERNEL(depthwise_lanes)(window, x + i, w + i, bias ? bias + i : bias, adds, y + i, line, line + 1, part, size);
  // Loops over windows of 3 places are unrolled.
  for (ptrdiff_t line = first; line < last; line++) {
    if (window->size == 3) {
      EACH(window->channels, BLOCK(0, 3), BLOCK((int)rest, 3))
    } else {
      EACH(window->channels, BLOCK(0, window->size), BLOCK((int)rest, window->size))
    }
  }
#undef BLOCK
}

INLINE void KERNEL(depthwise_scatter_lanes)(
    const attn_window *s, const float *dy, const float *w, float *dx, ptrdiff_t first, ptrdiff_t last, int part) {
  const ptrdiff_t c = s->channels, d = s->dilation, size = s->size;
  for (ptrdiff_t row = first; row < last; row++) {
    for (ptrdiff_t i = 0; i < size; i++) {
      const ptrdiff_t place = row + s->padding - d * i, line = place / s->stride;
      if (place < 0 || place % s->stride || line >= s->lines) continue;
      for (ptrdiff_t column = 0; column < s->columns; column++) {
        const ptrdiff_t left = column * s->stride - s->padding;
        const ptrdiff_t j0 = inside_from(left, d), j1 = inside_to(left, d, s->width, size);
        const vf own = channels_of(dy + (line * s->columns + column) * c, part);
        for (ptrdiff_t j = j0; j < j1; j++) {
          float *at = dx + (row * s->width + left + d * j) * c;
          put_channels(at, vfma(channels_of(w + (i * size + j) * c, part), own, channels_of(at, part)), part);
        }
      }
    }
  }
}
void KERNEL(depthwise_scatter)(
    const attn_window *window, const float *dy, const float *w, float *dx, ptrdiff_t first, ptrdiff_t last) {
  for (ptrdiff_t row = first; row < last; row++) {
    EACH(window->channels, KERNEL(depthwise_scatter_lanes)(window, dy + i, w + i, dx + i, row, row + 1, 0);
         , KERNEL(depthwise_scatter_lanes)(window, dy + i, w + i, dx + i, row, row + 1, (int)rest);)
  }
}

/// Σ_n a[n]·b[n] over vectors that are `stepA` and `stepB` floats apart, in four sums that do not wait for each other.
INLINE vf KERNEL(depthwise_sum)(
    const float *a, ptrdiff_t stepA, const float *b, ptrdiff_t stepB, ptrdiff_t count, int part) {
  vf s0 = splat(0), s1 = splat(0), s2 = splat(0), s3 = splat(0);
  ptrdiff_t n = 0;
  for (; n + 4 <= count; n += 4, a += 4 * stepA, b += 4 * stepB) {
    s0 = vfma(channels_of(a, part), channels_of(b, part), s0);
    s1 = vfma(channels_of(a + stepA, part), channels_of(b + stepB, part), s1);
    s2 = vfma(channels_of(a + 2 * stepA, part), channels_of(b + 2 * stepB, part), s2);
    s3 = vfma(channels_of(a + 3 * stepA, part), channels_of(b + 3 * stepB, part), s3);
  }
  for (; n < count; n++, a += stepA, b += stepB) s0 = vfma(channels_of(a, part), channels_of(b, part), s0);
  return (s0 + s1) + (s2 + s3);
}
INLINE void KERNEL(depthwise_gradient_lanes)(
    const attn_window *s, const float *dy, const float *x, float *dw, float *dbias, ptrdiff_t line,
    int part) {
  const ptrdiff_t c = s->channels, d = s->dilation, size = s->size, step = s->stride * c;
  {
    const float *own = dy + line * s->columns * c;
    if (dbias) {
      vf sum = channels_of(dbias, part);
      for (ptrdiff_t column = 0; column < s->columns; column++) sum += channels_of(own + column * c, part);
      put_channels(dbias, sum, part);
    }
    const ptrdiff_t top = line * s->stride - s->padding, to = inside_to(top, d, s->height, size);
    for (ptrdiff_t i = inside_from(top, d); i < to; i++) {
      for (ptrdiff_t j = 0; j < size; j++) {
        const ptrdiff_t left = d * j - s->padding, from = inside_from(left, s->stride);
        const ptrdiff_t count = inside_to(left, s->stride, s->width, s->columns) - from;
        if (count <= 0) continue;
        float *target = dw + (i * size + j) * c;
        const float *at = x + ((top + d * i) * s->width + left + from * s->stride) * c;
        put_channels(
            target, channels_of(target, part) + KERNEL(depthwise_sum)(own + from * c, c, at, step, count, part), part);
      }
    }
  }
}
void KERNEL(depthwise_gradient)(
    const attn_window *window, const float *dy, const float *x, float *dw, float *dbias) {
#define BLOCK(part) \
  KERNEL(depthwise_gradient_lanes)(window, dy + i, x + i, dw + i, dbias ? dbias + i : dbias, line, part);
  for (ptrdiff_t line = 0; line < window->lines; line++) { EACH(window->channels, BLOCK(0), BLOCK((int)rest)) }
#undef BLOCK
}
