// The largest of some scores, times a sign; NaN counts as infinity: which of both a sum becomes depends on its order.
//
// A bound is found by narrowing: all scores that reach a guess are counted, a vector at a time, and the next guess takes the logarithm of
// counts for a straight line between the two that hold the bound. Where that does not end soon (equal scores, infinities) or scores are no
// numbers it is found by halving: floats are taken as whole numbers of the same order, and all scores that reach the middle are counted,
// a vector at a time. It is the k-th largest score, or any bound that exactly k scores reach. A last walk writes what passes it.
//
// Of many scores a first walk takes the maxima of some 4k groups. The k-th largest of these is reached by at least k scores, and by few
// more: halving goes on among those alone.

/// How many scores are not below a bound.
static ptrdiff_t KERNEL(count_from)(const float *x, ptrdiff_t n, float sign, float bound) {
  ptrdiff_t sum = 0, i = 0;
  const vf s = splat(sign), b = splat(bound);
  while (i + VL <= n) {
    // 2³⁰ vectors would pass a lane's range.
    const ptrdiff_t end = n - i > (ptrdiff_t)1 << 30 ? i + ((ptrdiff_t)1 << 30) : n;
    vi first = (vi)0, second = (vi)0;
    for (; i + 2 * VL <= end; i += 2 * VL) {
      first += s * load(x + i) < b;
      second += s * load(x + i + VL) < b;
    }
    for (; i + VL <= end; i += VL) first += s * load(x + i) < b;
    sum += __builtin_reduce_add(first + second);
    if (end == n) break;
  }
  // Lanes count −1 for each score below the bound.
  ptrdiff_t count = i + sum;
  for (; i < n; i++) count += !(sign * x[i] < bound);
  return count;
}

/// The whole number that stands for a float: of the same order; −0 stands before 0.
INLINE int32_t KERNEL(rank_of)(float x) {
  int32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits ^ ((bits >> 31) & 0x7FFFFFFF);
}
INLINE float KERNEL(of_rank)(int32_t rank) {
  const int32_t bits = rank ^ ((rank >> 31) & 0x7FFFFFFF);
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

/// A bit for each lane whose score is not below a bound.
INLINE uint32_t KERNEL(reaching)(const float *x, vf s, vf b) {
  const vi below = s * load(x) < b;
#if VL == 16 && defined(__x86_64__) && !defined(ATTNLAB_SIXTEEN_LANES_ON_AVX2)
  return 0xFFFFu & ~(uint32_t)_mm512_movepi32_mask((__m512i)below);
#elif VL == 8 && defined(__x86_64__)
  return 0xFFu & ~(uint32_t)_mm256_movemask_ps((__m256)below);
#else
  uint32_t bits = 0;
  for (int lane = 0; lane < VL; lane++) bits |= (uint32_t)(below[lane] == 0) << lane;
  return bits;
#endif
}

/// log₂ of a count, within 0.09: the bits of a float are nearly its logarithm.
INLINE float KERNEL(log_count)(ptrdiff_t count) {
  const float x = (float)count;
  int32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return (float)(bits - 0x3F800000) * 0x1p-23f;
}

/// Counts of scores that are worth less than another walk over them.
#define SELECT_GUESSES 24

/// A bound that exactly k scores of two stretches reach, k > 0; or NaN, where some are not finite or it was not found soon.
static float KERNEL(guess_bound)(
    const float *x, ptrdiff_t count, const float *y, ptrdiff_t others, float sign, ptrdiff_t k) {
  if (k >= count + others) return -INFINITY;
  const vf s = splat(sign);
  vf most = splat(-INFINITY), least = splat(INFINITY), bad = splat(0);
  float high = -INFINITY, low = INFINITY, odd = 0;
  for (int part = 0; part < 2; part++) {
    const float *own = part ? y : x;
    const ptrdiff_t n = part ? others : count;
    ptrdiff_t i = 0;
    for (; i + VL <= n; i += VL) {
      const vf z = s * load(own + i);
      most = vmax(z, most);
      least = vmin(z, least);
      bad = vfma(z, splat(0), bad);
    }
    for (; i < n; i++) {
      const float z = sign * own[i];
      high = z > high ? z : high;
      low = z < low ? z : low;
      odd += z * 0;
    }
  }
  if (vsum(bad) + odd != 0) return NAN;
  const float top = vtop(most), bottom = -vtop(-least);
  high = top > high ? top : high;
  low = bottom < low ? bottom : low;
  float above = 0, below = KERNEL(log_count)(count + others);
  const float wanted = KERNEL(log_count)(k);
  for (int guess = 0; guess < SELECT_GUESSES; guess++) {
    float share = guess % 3 == 2 || below <= above ? 0.5f : (below - wanted) / (below - above);
    share = share < 0.05f ? 0.05f : share > 0.95f ? 0.95f : share;
    const float middle = low + (high - low) * share;
    if (!(middle > low && middle < high)) return NAN;
    const ptrdiff_t reached =
        KERNEL(count_from)(x, count, sign, middle) + KERNEL(count_from)(y, others, sign, middle);
    if (reached == k) return middle;
    if (reached > k) {
      low = middle;
      below = KERNEL(log_count)(reached);
    } else {
      high = middle;
      above = reached > 0 ? KERNEL(log_count)(reached) : 0;
    }
  }
  return NAN;
}

/// What the k-th largest score of two stretches reaches, and how many of those that equal it are among the k largest.
static float KERNEL(bound_of)(
    const float *x, ptrdiff_t count, const float *y, ptrdiff_t others, float sign, ptrdiff_t k, ptrdiff_t *equals) {
  const float guess = KERNEL(guess_bound)(x, count, y, others, sign, k);
  *equals = k;
  if (guess == guess) return guess;
  int64_t low = KERNEL(rank_of)(-INFINITY), high = KERNEL(rank_of)(INFINITY);
  while (low < high) {
    const int64_t middle = low + (high - low + 1) / 2;
    const float value = KERNEL(of_rank)((int32_t)middle);
    const ptrdiff_t reached =
        KERNEL(count_from)(x, count, sign, value) + KERNEL(count_from)(y, others, sign, value);
    if (reached >= k) low = middle; else high = middle - 1;
    if (reached == k) break;
  }
  // −0 and 0 are equal, and two whole numbers.
  if (low == -1) low = 0;
  const float bound = KERNEL(of_rank)((int32_t)low);
  *equals = k;
  if (bound < INFINITY) {
    // The next float: what reaches it is above the bound.
    const float above = KERNEL(of_rank)((int32_t)low + 1);
    *equals -= KERNEL(count_from)(x, count, sign, above) + KERNEL(count_from)(y, others, sign, above);
  }
  return bound;
}

/// Whether a score that is not below a bound equals it.
INLINE int KERNEL(equals_bound)(float value, float bound) { return value == bound || bound == INFINITY; }

/// Writes the places of scores above a bound, and of the first ones that equal it as long as `equals` lasts; returns how many. With `names`
/// a place is written as the number that stands there.
static ptrdiff_t KERNEL(write_from)(
    const float *x, ptrdiff_t first, ptrdiff_t end, float sign, float bound, ptrdiff_t *equals, ptrdiff_t *room,
    const int32_t *names, int32_t *out) {
  ptrdiff_t count = 0, i = first;
  const vf s = splat(sign), b = splat(bound);
#define TAKE(place)                                                                 \
  do {                                                                              \
    if (KERNEL(equals_bound)(sign * x[place], bound) && (*equals)-- <= 0) continue; \
    out[count++] = names ? names[place] : (int32_t)(place);                         \
    (*room)--;                                                                      \
  } while (0)
  for (; i + VL <= end && *room > 0; i += VL) {
    for (uint32_t bits = KERNEL(reaching)(x + i, s, b); bits && *room > 0; bits &= bits - 1) {
      const ptrdiff_t place = i + __builtin_ctz(bits);
      TAKE(place);
    }
  }
  for (; i < end && *room > 0; i++) {
    if (sign * x[i] < bound) continue;
    TAKE(i);
  }
#undef TAKE
  return count;
}

#define SELECT_GROUPS 1024
#define SELECT_FEW 2048

/// The maxima of groups of `depth` scores, VL groups beside each other, and of what is left over; NaN is passed over.
static ptrdiff_t KERNEL(maxima)(const float *x, ptrdiff_t n, float sign, ptrdiff_t depth, float *out) {
  ptrdiff_t count = 0, i = 0;
  const vf s = splat(sign);
  for (; i + depth * VL <= n; i += depth * VL, count += VL) {
    vf most = splat(-INFINITY);
    for (ptrdiff_t row = 0; row < depth; row++) most = vmax(s * load(x + i + row * VL), most);
    store(out + count, most);
  }
  if (i < n) {
    float most = -INFINITY;
    for (; i < n; i++) most = sign * x[i] > most ? sign * x[i] : most;
    out[count++] = most;
  }
  return count;
}

ptrdiff_t KERNEL(select_largest)(
    const float *x, float sign, ptrdiff_t first, ptrdiff_t split, ptrdiff_t resume, ptrdiff_t end, ptrdiff_t k,
    ptrdiff_t always, ptrdiff_t kept, int32_t *out) {
  const ptrdiff_t before = split - first, behind = end - resume, all = before + behind;
  float bound = -INFINITY;
  ptrdiff_t equals = all, room = k;
  if (k > 0 && k < all) {
    float most[SELECT_GROUPS + 2 * VL], values[SELECT_FEW];
    int32_t places[SELECT_FEW];
    ptrdiff_t few = SELECT_FEW, cut = 0;
    // Four groups for each that is chosen.
    const ptrdiff_t depth = all / (4 * k), least = (all + SELECT_GROUPS - 1) / SELECT_GROUPS;
    if (depth >= 4 && depth >= least) {
      ptrdiff_t groups = KERNEL(maxima)(x + first, before, sign, depth, most);
      groups += KERNEL(maxima)(x + resume, behind, sign, depth, most + groups);
      if (groups > k) {
        const float low = KERNEL(bound_of)(most, groups, most, 0, 1, k, &equals);
        ptrdiff_t any = SELECT_FEW, left = SELECT_FEW;
        cut = KERNEL(write_from)(x, first, split, sign, low, &any, &left, 0, places);
        few = cut + KERNEL(write_from)(x, resume, end, sign, low, &any, &left, 0, places + cut);
      }
    }
    if (few < SELECT_FEW) {
      for (ptrdiff_t i = 0; i < few; i++) values[i] = x[places[i]];
      bound = KERNEL(bound_of)(values, few, values, 0, sign, k, &equals);
      ptrdiff_t count = KERNEL(write_from)(values, 0, cut, sign, bound, &equals, &room, places, out);
      for (ptrdiff_t i = 0; i < kept; i++) out[count++] = (int32_t)(always + i);
      return count + KERNEL(write_from)(values, cut, few, sign, bound, &equals, &room, places, out + count);
    }
    bound = KERNEL(bound_of)(x + first, before, x + resume, behind, sign, k, &equals);
  }
  ptrdiff_t count = KERNEL(write_from)(x, first, split, sign, bound, &equals, &room, 0, out);
  for (ptrdiff_t i = 0; i < kept; i++) out[count++] = (int32_t)(always + i);
  return count + KERNEL(write_from)(x, resume, end, sign, bound, &equals, &room, 0, out + count);
}

/// NaN stays.
void KERNEL(signed_halves)(const float *x, ptrdiff_t xs, float sign, float *y, ptrdiff_t rows, ptrdiff_t dim) {
  const vf s = splat(sign), zero = splat(0);
  for (ptrdiff_t r = 0; r < rows; r++, x += xs, y += 2 * dim) {
    EACH(dim, const vf z = s * load(x + i); store(y + i, vmax(zero, z)); store(y + dim + i, vmin(zero, z));
         , const vf z = s * vpartial(x + i, rest, 0); store_part(y + i, vmax(zero, z), (int)rest);
         store_part(y + dim + i, vmin(zero, z), (int)rest);)
  }
}
