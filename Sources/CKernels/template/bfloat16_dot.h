// bfloat16 tiles in pairs: c += a₀b₀ + a₁b₁ a lane, one instruction for two multiply-adds. Products of bfloat16 are exact in
// float32; sums are rounded to nearest; denormal inputs and results count as 0, whatever the control register says.
// Scores pair neighbouring dims, weighted values neighbouring keys of a block; where a number has no partner it is 0.

typedef __bf16 KERNEL(vb) __attribute__((ext_vector_type(2 * VL)));
#define vb KERNEL(vb)

INLINE vb KERNEL(pairs)(const uint32_t *p) { return (vb)loadi((const int32_t *)p); }
/// The same pair in every lane.
INLINE vb KERNEL(pair)(uint32_t x) { return (vb)(vw)x; }
INLINE vf KERNEL(dot)(vf c, vb a, vb b) { return __builtin_ia32_dpbf16ps_512(c, a, b); }

/// (low, high) a lane, rounded to nearest, ties to even.
INLINE vw KERNEL(rounded_pairs)(vf low, vf high) {
  vb x = __builtin_ia32_cvtne2ps2bf16_512(high, low);
  return (vw)__builtin_shufflevector(
      x, x, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14,
      30, 15, 31);
}

INLINE uint32_t KERNEL(read_pair)(const uint16_t *p) {
  uint32_t x;
  memcpy(&x, p, sizeof x);
  return x;
}

/// x·2^−down; what becomes subnormal counts as 0 in the products, so it is 0 here. No branch, so that loops become vectors.
INLINE uint32_t KERNEL(shifted16)(uint32_t x, uint32_t down) {
  const uint32_t own = x >> 7 & 0xFF;
  const uint32_t shifted = own > down ? x - (down << 7) : x & 0x8000;
  return own == 0xFF ? x : shifted;
}

/// Pairs of a tile's queries, multiplied by 2^−down: in one loop, since number by number it took a tenth of a pass over short
/// windows.
static void KERNEL(shift_pairs)(uint32_t *pairs, ptrdiff_t count, uint32_t down) {
  for (ptrdiff_t i = 0; i < count; i++)
    pairs[i] = KERNEL(shifted16)(pairs[i] & 0xFFFF, down) | KERNEL(shifted16)(pairs[i] >> 16, down) << 16;
}

/// Packs Qᵀ as pairs of dims: [strip][dim/2][lane]. The sign of the scale and its power of two, where that is below 1, go
/// here, which leaves q's digits what they were; the rest goes to the exponentials. So what the scale makes small need
/// not be held before.
static void KERNEL(pairs_begin)(forward_tile16 *own) {
  const attn_head16 *head = &own->head;
  const forward_tile *tile = own->tile;
  own->qt = (uint32_t *)own->wide;
  own->pt = own->qt + (ptrdiff_t)tile->lanes * ROUND_UP(HALF(head->head_dim), VL);
  own->vt = own->pt + (ptrdiff_t)ATTN_LANES * HALF(ATTN_BLOCK);
  int exponent = 0;
  frexp(fabs((double)head->scale), &exponent);
  if (head->scale == 0 || exponent > 0) exponent = 0;
  own->factor = (float)(ldexp(fabs((double)head->scale), -exponent) * 1.4426950408889634);
  memset(own->sum, 0, sizeof own->sum);
  const uint32_t sign = head->scale < 0 ? 0x80008000u : 0;
  const int width = tile->nv * VL, dim = head->head_dim, half = HALF(dim);
  for (int lane = 0; lane < tile->lanes; lane++) {
    uint32_t *strip = own->qt + (ptrdiff_t)(lane / width) * width * half + lane % width;
    const uint16_t *q = head->query + (ptrdiff_t)tile->row[lane] * head->query_stride;
    for (int d = 0; d < half; d++)
      strip[(ptrdiff_t)d * width] =
          lane >= tile->rows ? 0 : (2 * d + 1 < dim ? KERNEL(read_pair)(q + 2 * d) : q[2 * d]) ^ sign;
  }
  if (exponent < 0) KERNEL(shift_pairs)(own->qt, (ptrdiff_t)tile->lanes * half, (uint32_t)-exponent);
}

/// out[i] = Σ_k rows[i][k] · b[k], mr rows of nv vectors; b in pairs.
INLINE void KERNEL(scores16_group)(
    const int mr, const int nv, float *out, const uint16_t *const *rows, int depth, const uint32_t *b) {
  const uint16_t *a[MR_MAX];
  vf c[32];
  UNROLL for (int i = 0; i < mr; i++) a[i] = rows[i];
  UNROLL for (int t = 0; t < mr * nv; t++) c[t] = (vf)0.0f;
  int k = 0;
#pragma clang loop unroll_count(2)
  for (; k + 2 <= depth; k += 2, b += nv * VL) {
    vb operand[NV_MAX];
    UNROLL for (int v = 0; v < nv; v++) operand[v] = KERNEL(pairs)(b + v * VL);
    UNROLL for (int i = 0; i < mr; i++) {
      vb x = KERNEL(pair)(KERNEL(read_pair)(a[i] + k));
      UNROLL for (int v = 0; v < nv; v++) c[i * nv + v] = KERNEL(dot)(c[i * nv + v], operand[v], x);
    }
  }
  if (k < depth)
    UNROLL for (int i = 0; i < mr; i++)
      UNROLL for (int v = 0; v < nv; v++)
        c[i * nv + v] = KERNEL(dot)(c[i * nv + v], KERNEL(pairs)(b + v * VL), KERNEL(pair)(a[i][k]));
  UNROLL for (int t = 0; t < mr * nv; t++) store(out + t * VL, c[t]);
}

INLINE void KERNEL(scores16_nv)(
    const int mr, const int nv, float *out, const uint16_t *const *rows, int count, int depth, const uint32_t *b) {
  int i = 0;
  for (; i + mr <= count; i += mr) KERNEL(scores16_group)(mr, nv, out + (ptrdiff_t)i * nv * VL, rows + i, depth, b);
  for (; i + 2 <= count; i += 2) KERNEL(scores16_group)(2, nv, out + (ptrdiff_t)i * nv * VL, rows + i, depth, b);
  for (; i < count; i++) KERNEL(scores16_group)(1, nv, out + (ptrdiff_t)i * nv * VL, rows + i, depth, b);
}

/// out[i] += Σ_t v[t][i] · p[t], mr rows of nv vectors; both in pairs, `stride` pairs between rows of v. With `sum` the
/// last row goes there instead.
INLINE void KERNEL(weighted16_group)(
    const int mr, const int nv, float *out, float *sum, const uint32_t *v, ptrdiff_t stride, int depth,
    const uint32_t *p) {
  vf c[32];
  UNROLL for (int t = 0; t < mr * nv; t++) c[t] = (vf)0.0f;
#pragma clang loop unroll_count(2)
  for (int k = 0; k < depth; k++, v += stride, p += nv * VL) {
    vb operand[NV_MAX];
    UNROLL for (int j = 0; j < nv; j++) operand[j] = KERNEL(pairs)(p + j * VL);
    UNROLL for (int i = 0; i < mr; i++) {
      vb x = KERNEL(pair)(v[i]);
      UNROLL for (int j = 0; j < nv; j++) c[i * nv + j] = KERNEL(dot)(c[i * nv + j], operand[j], x);
    }
  }
  UNROLL for (int i = 0; i < mr; i++) {
    float *row = sum && i == mr - 1 ? sum : out + i * nv * VL;
    UNROLL for (int j = 0; j < nv; j++) store(row + j * VL, load(row + j * VL) + c[i * nv + j]);
  }
}

/// Oᵀ += Vᵀ·Pᵀ for `count` dims, and sum += Σ P: the column of ones after V's last.
INLINE void KERNEL(weighted16_nv)(
    const int mr, const int nv, float *out, float *sum, int count, const uint32_t *v, ptrdiff_t stride, int depth,
    const uint32_t *p) {
  int i = 0;
  for (; i + mr <= count; i += mr)
    KERNEL(weighted16_group)(mr, nv, out + (ptrdiff_t)i * nv * VL, 0, v + i, stride, depth, p);
  for (; i + 5 <= count; i += 4)
    KERNEL(weighted16_group)(4, nv, out + (ptrdiff_t)i * nv * VL, 0, v + i, stride, depth, p);
  out += (ptrdiff_t)i * nv * VL;
  switch (count - i) {
  case 0: KERNEL(weighted16_group)(1, nv, out, sum, v + i, stride, depth, p); break;
  case 1: KERNEL(weighted16_group)(2, nv, out, sum, v + i, stride, depth, p); break;
  case 2: KERNEL(weighted16_group)(3, nv, out, sum, v + i, stride, depth, p); break;
  case 3: KERNEL(weighted16_group)(4, nv, out, sum, v + i, stride, depth, p); break;
  default: KERNEL(weighted16_group)(5, nv, out, sum, v + i, stride, depth, p); break;
  }
}

/// The block's V as pairs of keys, rows `stride` apart, and a column of ones.
static void KERNEL(pair_values)(forward_tile16 *own, ptrdiff_t stride) {
  const int count = own->tile->block.count, dim = own->head.value_dim;
  for (int t = 0; t < count; t += 2) {
    const uint16_t *a = own->values[t], *b = t + 1 < count ? own->values[t + 1] : 0;
    uint32_t *out = own->vt + (ptrdiff_t)(t / 2) * stride;
    for (int d = 0; d < dim; d += VL) {
      const int part = dim - d < VL ? dim - d : VL;
      vh low = part == VL ? *(const vh *)(a + d) : KERNEL(load16_part)(a + d, part);
      vh high = (vh)(uint16_t)0;
      if (b) high = part == VL ? *(const vh *)(b + d) : KERNEL(load16_part)(b + d, part);
      vw pair = __builtin_convertvector(low, vw) | __builtin_convertvector(high, vw) << 16;
      store((float *)(out + d), (vf)pair);
    }
    out[dim] = 0x3f803f80u;
  }
}

#include "bfloat16_softmax.h"

INLINE void KERNEL(pairs_strip)(const int mr, const int nv, forward_tile16 *own, int strip, int masked) {
  forward_tile *tile = own->tile;
  const attn_block *block = &tile->block;
  const int lane0 = strip * nv * VL, dim = own->head.value_dim, half = HALF(own->head.head_dim);
  float *ot = tile->ot + (ptrdiff_t)lane0 * ROUND_UP(dim, VL);
  float *m = tile->m + lane0, *l = tile->l + lane0, *sum = own->sum + lane0;
  KERNEL(scores16_nv)(
      mr, nv, tile->s, own->keys, block->count, own->head.head_dim, own->qt + (ptrdiff_t)lane0 * half);
  // Raw scores: |scale|·log2 e is still to come.
  if (own->head.softcap != 0 && own->factor > 0) {
    const float most = own->head.softcap * LOG2_E;
    KERNEL(cap_scores)(tile->s, (ptrdiff_t)block->count * nv, own->factor, 1 / most, most / own->factor);
  }
  if (masked) {
    KERNEL(mask_block)(nv, tile->s, block, (attn_span){0, block->count}, tile->position, lane0, 1);
    KERNEL(softmax16_nv)(nv, tile->s, own->pt, block->count, own->factor, m, l, sum, ot, dim, 1);
  } else {
    KERNEL(softmax16_nv)(nv, tile->s, own->pt, block->count, own->factor, m, l, sum, ot, dim, 0);
  }
  KERNEL(weighted16_nv)(mr, nv, ot, sum, dim, own->vt, ROUND_UP(dim + 1, VL), HALF(block->count), own->pt);
}

static __attribute__((noinline)) void KERNEL(pairs_flush)(forward_tile16 *own) {
  forward_tile *tile = own->tile;
  const int masked = attn_block_masked(&tile->block);
  KERNEL(pair_values)(own, ROUND_UP(own->head.value_dim + 1, VL));
  for (int strip = 0; strip < tile->strips; strip++) {
    switch (tile->nv) {
    case 1: KERNEL(pairs_strip)(MR1, 1, own, strip, masked); break;
    case 2: KERNEL(pairs_strip)(MR2, 2, own, strip, masked); break;
    case 3: KERNEL(pairs_strip)(MR3, 3, own, strip, masked); break;
    default: KERNEL(pairs_strip)(MR4, 4, own, strip, masked); break;
    }
  }
  tile->block.count = tile->block.pieces = 0;
}

/// Oᵀ was summed with down-converted weights: the float32 tile is to divide it by their sum, not by that of the exact ones.
static void KERNEL(pairs_end)(forward_tile16 *own) {
  forward_tile *tile = own->tile;
  const int width = tile->nv * VL, dim = own->head.value_dim;
  for (int lane = 0; lane < tile->lanes; lane += VL) {
    float *strip = tile->ot + (ptrdiff_t)(lane / width) * width * ROUND_UP(dim, VL) + lane % width;
    const vf sum = load(own->sum + lane);
    const vf ratio = sum != 0.0f ? load(tile->l + lane) / sum : splat(0.0f);
    for (int d = 0; d < dim; d++) store(strip + (ptrdiff_t)d * width, load(strip + (ptrdiff_t)d * width) * ratio);
  }
}

/// Twenty-four independent chains: enough for a latency of 6 on two ports, and for longer ones on one.
double KERNEL(dot16_loop)(int64_t rounds) {
  vf c[24];
  UNROLL for (int i = 0; i < 24; i++) c[i] = splat((float)i);
  vb a = KERNEL(pair)(0x3f803f80u), b = KERNEL(pair)(0x30803080u);
  for (int64_t k = 0; k < rounds; k++) {
    UNROLL for (int i = 0; i < 24; i++) c[i] = KERNEL(dot)(c[i], a, b);
    __asm__ volatile("" ::: "memory");
  }
  float sum = 0;
  UNROLL for (int i = 0; i < 24; i++) sum += c[i][0];
  volatile float sink = sum;
  (void)sink;
  return (double)rounds * 24 * 4 * VL;
}
