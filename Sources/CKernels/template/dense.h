// Row softmax and its gradient: what attention that stores its n×n matrices needs beside the packed product.

/// softmax of the first `count` scores; the rest become 0. Returns the natural LSE: NaN when a score is not finite.
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
    const vf s = lanes == VL ? load(scores + j) : load_part(scores + j, lanes);
    const vf x = vmax((s - top) * log2e, splat(2 * FLOOR_EXPONENT));
    vf p = vfma(s, splat(0.0f), KERNEL(exp2)(x));
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

/// y[i] = most·tanh(x[i]·by); NaN where x[i] is not finite.
void KERNEL(cap_row)(const float *x, float *y, int64_t count, float by, float most) {
  int64_t i = 0;
  for (; i + VL <= count; i += VL) store(y + i, KERNEL(capped)(load(x + i), by, most));
  const int rest = (int)(count - i);
  if (rest > 0) store_part(y + i, KERNEL(capped)(load_part(x + i, rest), by, most), rest);
}

/// y[i] *= 1 − tanh²(x[i]·by).
void KERNEL(uncap_row)(const float *x, float *y, int64_t count, float by) {
  int64_t i = 0;
  for (; i + VL <= count; i += VL) store(y + i, load(y + i) * KERNEL(tanh_slope)(load(x + i) * by));
  const int rest = (int)(count - i);
  if (rest > 0) store_part(y + i, load_part(y + i, rest) * KERNEL(tanh_slope)(load_part(x + i, rest) * by), rest);
}
