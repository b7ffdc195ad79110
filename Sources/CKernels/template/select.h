// The largest of some scores, times a sign; NaN counts as infinity: which of both a sum becomes depends on its order.
//
// A bound is found by halving: floats are taken as whole numbers of the same order, and all scores that reach the middle are counted,
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
    first += second;
    for (int lane = 0; lane < VL; lane++) sum += first[lane];
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

/// What the k-th largest score of two stretches reaches, and how many of those that equal it are among the k largest.
static float KERNEL(bound_of)(
    const float *x, ptrdiff_t count, const float *y, ptrdiff_t others, float sign, ptrdiff_t k, ptrdiff_t *equals) {
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

/// Writes the places of scores above a bound, and of the first ones that equal it as long as `equals` lasts; returns how many.
static ptrdiff_t KERNEL(write_from)(
    const float *x, ptrdiff_t first, ptrdiff_t end, float sign, float bound, ptrdiff_t *equals, ptrdiff_t *room,
    int32_t *out) {
  ptrdiff_t count = 0;
  for (ptrdiff_t i = first; i < end && *room > 0;) {
    const ptrdiff_t stop = end - i > 4 * VL ? i + 4 * VL : end;
    if (stop == i + 4 * VL && KERNEL(count_from)(x + i, 4 * VL, sign, bound) == 0) {
      i = stop;
      continue;
    }
    for (; i < stop; i++) {
      const float value = sign * x[i];
      if (value < bound || *room == 0) continue;
      if (KERNEL(equals_bound)(value, bound) && (*equals)-- <= 0) continue;
      out[count++] = (int32_t)i;
      (*room)--;
    }
  }
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
    ptrdiff_t few = SELECT_FEW;
    // Four groups for each that is chosen.
    const ptrdiff_t depth = all / (4 * k), least = (all + SELECT_GROUPS - 1) / SELECT_GROUPS;
    if (depth >= 4 && depth >= least) {
      ptrdiff_t groups = KERNEL(maxima)(x + first, before, sign, depth, most);
      groups += KERNEL(maxima)(x + resume, behind, sign, depth, most + groups);
      if (groups > k) {
        const float low = KERNEL(bound_of)(most, groups, most, 0, 1, k, &equals);
        ptrdiff_t any = SELECT_FEW, left = SELECT_FEW;
        few = KERNEL(write_from)(x, first, split, sign, low, &any, &left, places);
        few += KERNEL(write_from)(x, resume, end, sign, low, &any, &left, places + few);
      }
    }
    if (few < SELECT_FEW) {
      for (ptrdiff_t i = 0; i < few; i++) values[i] = x[places[i]];
      bound = KERNEL(bound_of)(values, few, values, 0, sign, k, &equals);
      ptrdiff_t count = 0, i = 0;
      for (ptrdiff_t part = 0; part < 2; part++) {
        for (; i < few && (part || places[i] < split); i++) {
          const float value = sign * values[i];
          if (value < bound || room == 0 || (KERNEL(equals_bound)(value, bound) && equals-- <= 0)) continue;
          out[count++] = places[i];
          room--;
        }
        for (ptrdiff_t j = 0; part == 0 && j < kept; j++) out[count++] = (int32_t)(always + j);
      }
      return count;
    }
    bound = KERNEL(bound_of)(x + first, before, x + resume, behind, sign, k, &equals);
  }
  ptrdiff_t count = KERNEL(write_from)(x, first, split, sign, bound, &equals, &room, out);
  for (ptrdiff_t i = 0; i < kept; i++) out[count++] = (int32_t)(always + i);
  return count + KERNEL(write_from)(x, resume, end, sign, bound, &equals, &room, out + count);
}
