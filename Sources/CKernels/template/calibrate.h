// The machine's limits, measured with the same instructions as the kernels.

/// Twelve independent chains of fused multiply-adds on registers: enough to hide a latency of 4 on two ports (or 6).
double KERNEL(fma_loop)(int64_t rounds) {
  vf c[12];
  UNROLL for (int i = 0; i < 12; i++) c[i] = splat((float)i);
  vf a = splat(1.0000001f), b = splat(1e-9f);
  for (int64_t k = 0; k < rounds; k++) {
    UNROLL for (int i = 0; i < 12; i++) c[i] = vfma(c[i], a, b);
    __asm__ volatile("" ::: "memory");
  }
  float sum = 0;
  UNROLL for (int i = 0; i < 12; i++) sum += c[i][0];
  volatile float sink = sum;
  (void)sink;
  return (double)rounds * 12 * 2 * VL;
}

float KERNEL(read_loop)(const float *data, int64_t count) {
  vf c[8];
  UNROLL for (int i = 0; i < 8; i++) c[i] = (vf)0.0f;
  for (int64_t k = 0; k + 8 * VL <= count; k += 8 * VL)
    UNROLL for (int i = 0; i < 8; i++) c[i] += load(data + k + i * VL);
  float sum = 0;
  UNROLL for (int i = 0; i < 8; i++) for (int j = 0; j < VL; j++) sum += c[i][j];
  return sum;
}

/// Reads and writes all of it in place, with what is written next fetched meanwhile.
void KERNEL(rewrite_loop)(float *data, int64_t count) {
  const vf a = splat(0.5f), b = splat(0.25f);
  for (int64_t k = 0; k + 8 * VL <= count; k += 8 * VL) {
    for (int c = 0; c < 8 * VL; c += 16) __builtin_prefetch(data + k + 1024 + c, 1, 3);
    UNROLL for (int i = 0; i < 8; i++) store(data + k + i * VL, vfma(a, load(data + k + i * VL), b));
  }
}
