// Dense products over whole matrices, and row softmax: what attention that stores its n×n matrices needs.

/// The depth of a packed strip of B.
#define DENSE_DEPTH 256

/// C rows first ..< last of one strip: mr rows at a time, then one at a time.
INLINE void KERNEL(dense_strip)(
    const int mr, float *out, int64_t out_stride, const float *a, int64_t a_row, int64_t a_column, int rows, int depth,
    int width, const float *b, float scale, int add) {
  const int nv = NV_MAX;
  for (int i = 0; i + mr <= rows; i += mr) {
    vf c[MR4 * NV_MAX];
    UNROLL for (int t = 0; t < mr * nv; t++) c[t] = (vf)0.0f;
    const float *x = a + i * a_row;
    for (int k = 0; k < depth; k++) {
      vf operand[NV_MAX];
      UNROLL for (int v = 0; v < nv; v++) operand[v] = load(b + (ptrdiff_t)k * STRIP + v * VL);
      UNROLL for (int r = 0; r < mr; r++) {
        vf factor = splat(x[r * a_row + k * a_column]);
        UNROLL for (int v = 0; v < nv; v++) c[r * nv + v] = vfma(factor, operand[v], c[r * nv + v]);
      }
    }
    UNROLL for (int r = 0; r < mr; r++) {
      float *o = out + (i + r) * out_stride;
      UNROLL for (int v = 0; v < nv; v++) {
        const int part = width - v * VL < VL ? width - v * VL : VL;
        if (part <= 0) break;
        vf x = scale * c[r * nv + v];
        if (part == VL) store(o + v * VL, add ? load(o + v * VL) + x : x);
        else store_part(o + v * VL, add ? load_part(o + v * VL, part) + x : x, part);
      }
    }
  }
}

void KERNEL(dense_product)(
    float *out, int64_t out_stride, const float *a, int64_t a_row, int64_t a_column, const float *b, int64_t b_row,
    int64_t b_column, int32_t rows, int32_t columns, int32_t depth, float scale, int32_t accumulate) {
  float packed[DENSE_DEPTH * STRIP];
  if (depth == 0 && !accumulate)
    for (int i = 0; i < rows; i++) memset(out + i * out_stride, 0, sizeof(float) * (size_t)columns);
  for (int from = 0; from < depth; from += DENSE_DEPTH) {
    const int part = depth - from < DENSE_DEPTH ? depth - from : DENSE_DEPTH;
    const int add = accumulate || from > 0;
    for (int j = 0; j < columns; j += STRIP) {
      const int width = columns - j < STRIP ? columns - j : STRIP;
      for (int k = 0; k < part; k++)
        for (int t = 0; t < STRIP; t++)
          packed[k * STRIP + t] = t < width ? b[(from + k) * b_row + (j + t) * b_column] : 0.0f;
      const int blocked = rows / MR4 * MR4;
      const float *x = a + from * a_column;
      KERNEL(dense_strip)(
          MR4, out + j, out_stride, x, a_row, a_column, blocked, part, width, packed, scale, add);
      KERNEL(dense_strip)(
          1, out + j + blocked * out_stride, out_stride, x + blocked * a_row, a_row, a_column, rows - blocked, part,
          width, packed, scale, add);
    }
  }
}

/// The largest of, and 2^((s − top)·log2 e) for, the first `count` scores; the rest become 0. Returns the natural LSE.
float KERNEL(dense_softmax)(float *weights, const float *scores, int32_t count, int32_t size) {
  const float log2e = 1.44269504f;
  memset(weights + count, 0, sizeof(float) * (size_t)(size - count));
  if (count == 0) return -__builtin_inff();
  float part[STRIP], top = scores[count - 1];
  vf tops = splat(top);
  for (int j = 0; j + VL <= count; j += VL) tops = vmax(load(scores + j), tops);
  for (int j = count / VL * VL; j < count; j++) top = scores[j] > top ? scores[j] : top;
  store(part, tops);
  for (int i = 0; i < VL; i++) top = part[i] > top ? part[i] : top;
  vf sum = (vf)0.0f;
  for (int j = 0; j < count; j += VL) {
    const int lanes = count - j < VL ? count - j : VL;
    vf x = ((lanes == VL ? load(scores + j) : load_part(scores + j, lanes)) - top) * log2e;
    vf p = KERNEL(exp2_from)(vmax(x, splat(FLOOR_EXPONENT)), splat(MAGIC));
    if (lanes == VL) {
      sum += p;
      store(weights + j, p);
    } else {
      store_part(weights + j, p, lanes);
      memset(part, 0, sizeof part);
      store_part(part, p, lanes);
      sum += load(part);
    }
  }
  store(part, sum);
  float total = 0;
  for (int i = 0; i < VL; i++) total += part[i];
  const float inverse = 1 / total;
  for (int j = 0; j < count; j++) weights[j] *= inverse;
  return top + logf(total);
}

/// gradient_j ← weights_j · (gradient_j − Σ_j weights_j gradient_j), the gradient of a softmax, in place.
void KERNEL(dense_softmax_gradient)(float *gradient, const float *weights, int32_t count, int32_t size) {
  vf sum = (vf)0.0f;
  int j = 0;
  for (; j + VL <= count; j += VL) sum = vfma(load(weights + j), load(gradient + j), sum);
  float part[STRIP];
  store(part, sum);
  float mean = 0;
  for (int i = 0; i < VL; i++) mean += part[i];
  for (; j < count; j++) mean += weights[j] * gradient[j];
  for (j = 0; j < count; j++) gradient[j] = weights[j] * (gradient[j] - mean);
  memset(gradient + count, 0, sizeof(float) * (size_t)(size - count));
}
