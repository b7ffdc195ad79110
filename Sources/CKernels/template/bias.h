// A bias on scores by the distance of row and key: T5's buckets, the logarithm of a ramp. Scores are in base 2, lanes are query
// rows.

/// Whether the rows of a strip follow one another, so that a table by distance is read as a vector.
INLINE int KERNEL(follow)(const int32_t *position, int rows) {
  for (int i = 1; i < rows; i++)
    if (position[i] != position[0] + i) return 0;
  return 1;
}

/// Adds bias[i − j] to the scores of `count` keys and one strip of nv vectors with `rows` rows: s[key][lane].
static __attribute__((noinline)) void KERNEL(add_bias)(
    int nv, float *s, const int32_t *key, int count, const float *bias, const int32_t *position, int rows) {
  const int width = nv * VL, run = KERNEL(follow)(position, rows);
  for (int t = 0; t < count; t++, s += width) {
    if (run) {
      const float *own = bias + ((ptrdiff_t)position[0] - key[t]);
      for (int v = 0; v < width; v += VL) store(s + v, load(s + v) + load(own + v));
    } else {
      for (int i = 0; i < rows; i++) s[i] += bias[(ptrdiff_t)position[i] - key[t]];
    }
  }
}

/// Adds a vector of slopes to the sums of its lanes' buckets; distances of one bucket stand together, mostly.
INLINE void KERNEL(bucket_slopes)(const float *ds, const int32_t *bucket, int lanes, int width, float *sums) {
  int same = lanes == VL;
  for (int i = 1; i < lanes; i++) same &= bucket[i] == bucket[0];
  if (same) {
    float *sum = sums + (ptrdiff_t)bucket[0] * width;
    store(sum, load(sum) + load(ds));
    return;
  }
  for (int i = 0; i < lanes; i++) sums[(ptrdiff_t)bucket[i] * width + i] += ds[i];
}

/// Adds a strip's slopes, of scores before any soft cap, to the sums of their rows and buckets: sums[bucket][lane].
// Sets of instructions that only go forward do not call it.
static __attribute__((noinline, unused)) void KERNEL(sum_slopes)(
    int nv, const float *ds, const int32_t *key, int count, const int32_t *bucket, const int32_t *position, int rows,
    float *sums) {
  const int width = nv * VL, run = KERNEL(follow)(position, rows);
  for (int t = 0; t < count; t++, ds += width) {
    if (!run) {
      for (int i = 0; i < rows; i++) sums[(ptrdiff_t)bucket[(ptrdiff_t)position[i] - key[t]] * width + i] += ds[i];
      continue;
    }
    const int32_t *own = bucket + ((ptrdiff_t)position[0] - key[t]);
    for (int v = 0; v < rows; v += VL)
      KERNEL(bucket_slopes)(ds + v, own + v, rows - v < VL ? rows - v : VL, width, sums + v);
  }
}
