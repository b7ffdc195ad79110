// How one source becomes one kernel set per instruction set.
//
// isa/<set>.c switches the target on with `#pragma clang attribute push(target(...))`, defines ISA (the suffix of all
// names), VL (float lanes of a vector), ISA_REGISTERS (vector registers) and ISA_FMA (whether fma is one
// instruction), and includes this file and then the templates. No build flag is needed, so the package stays usable
// as a dependency. A template:
//   - has no include guard and names every function KERNEL(name): static, or exported when dispatch.c lists it;
//   - marks helpers INLINE and gives register-tile sizes as constant arguments, so loops over them unroll;
//   - never mentions a vector width: only VL, vf, vi and what is defined here.
// To add a family of kernels: write template/<family>.h, include it in every isa/*.c, declare the exported functions
// with DECLARE_KERNELS in dispatch.c, and pick one at run time with the number of InstructionSet.code.

#define PASTE2(a, b) a##_##b
#define PASTE(a, b) PASTE2(a, b)
#define KERNEL(name) PASTE(name, ISA)

#define INLINE static inline __attribute__((always_inline, unused))
#define UNROLL _Pragma("clang loop unroll(full)")

/// VL floats; loads and stores need no alignment.
typedef float KERNEL(vf) __attribute__((ext_vector_type(VL)));
typedef float KERNEL(vfu) __attribute__((ext_vector_type(VL), aligned(4)));
/// VL 32-bit integers; comparisons give 0 or −1.
typedef int32_t KERNEL(vi) __attribute__((ext_vector_type(VL)));
typedef int32_t KERNEL(viu) __attribute__((ext_vector_type(VL), aligned(4)));
#define vf KERNEL(vf)
#define vfu KERNEL(vfu)
#define vi KERNEL(vi)
#define viu KERNEL(viu)

INLINE vf KERNEL(load)(const float *p) { return *(const vfu *)p; }
INLINE void KERNEL(store)(float *p, vf x) { *(vfu *)p = x; }
INLINE vi KERNEL(loadi)(const int32_t *p) { return *(const viu *)p; }
INLINE vf KERNEL(splat)(float x) { return (vf)x; }
#define load KERNEL(load)
#define store KERNEL(store)
#define loadi KERNEL(loadi)
#define splat KERNEL(splat)

/// a·b + c: one rounding where the processor has it (without it the library's fmaf would be called for every lane).
#if ISA_FMA
INLINE vf KERNEL(fma)(vf a, vf b, vf c) { return __builtin_elementwise_fma(a, b, c); }
#else
INLINE vf KERNEL(fma)(vf a, vf b, vf c) { return a * b + c; }
#endif
#define vfma KERNEL(fma)

INLINE vf KERNEL(vmax)(vf a, vf b) { return a > b ? a : b; }
#define vmax KERNEL(vmax)

/// The first `count` < VL floats at p, zeros after them; reads nothing beyond.
#if VL == 16 && defined(__x86_64__) && !defined(ATTNLAB_SIXTEEN_LANES_ON_AVX2)
INLINE vf KERNEL(load_part)(const float *p, int count) {
  return (vf)_mm512_maskz_loadu_ps((__mmask16)((1u << count) - 1), p);
}
INLINE void KERNEL(store_part)(float *p, vf x, int count) {
  _mm512_mask_storeu_ps(p, (__mmask16)((1u << count) - 1), (__m512)x);
}
#elif VL == 8 && defined(__x86_64__)
INLINE __m256i KERNEL(first_lanes)(int count) {
  return (__m256i)((vi){0, 1, 2, 3, 4, 5, 6, 7} < count);
}
INLINE vf KERNEL(load_part)(const float *p, int count) {
  return (vf)_mm256_maskload_ps(p, KERNEL(first_lanes)(count));
}
INLINE void KERNEL(store_part)(float *p, vf x, int count) {
  _mm256_maskstore_ps(p, KERNEL(first_lanes)(count), (__m256)x);
}
#else
INLINE vf KERNEL(load_part)(const float *p, int count) {
  vf x = (vf)0.0f;
  memcpy(&x, p, (size_t)count * sizeof(float));
  return x;
}
INLINE void KERNEL(store_part)(float *p, vf x, int count) { memcpy(p, &x, (size_t)count * sizeof(float)); }
#endif
#define load_part KERNEL(load_part)
#define store_part KERNEL(store_part)

typedef uint16_t KERNEL(vh) __attribute__((ext_vector_type(VL), aligned(2)));
#define vh KERNEL(vh)
typedef uint32_t KERNEL(vw) __attribute__((ext_vector_type(VL)));
#define vw KERNEL(vw)

/// Exact.
INLINE vf KERNEL(upconvert)(vh x) { return (vf)(__builtin_convertvector(x, vw) << 16); }

INLINE vh KERNEL(load16_part)(const uint16_t *p, int count) {
  vh x = (vh)(uint16_t)0;
  memcpy(&x, p, (size_t)count * sizeof(uint16_t));
  return x;
}

/// Whether any lane of a comparison's result is set.
INLINE int KERNEL(any)(vi m) { return __builtin_reduce_or(m) != 0; }
#define any KERNEL(any)

// A transpose of VL vectors by pairs: neighbours within 128 bits first (TAKE_1: single floats, TAKE_2: pairs), then blocks of
// 128 bits between vectors half as far apart as there are (TAKE_4, TAKE_8). Crossing 128 bits costs most, so it comes once.
#if VL == 16
#define LOW_1 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29
#define HIGH_1 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31
#define LOW_2 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29
#define HIGH_2 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31
#define LOW_4 0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27
#define HIGH_4 4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31
#define LOW_8 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23
#define HIGH_8 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31
#elif VL == 8
#define LOW_1 0, 8, 1, 9, 4, 12, 5, 13
#define HIGH_1 2, 10, 3, 11, 6, 14, 7, 15
#define LOW_2 0, 1, 8, 9, 4, 5, 12, 13
#define HIGH_2 2, 3, 10, 11, 6, 7, 14, 15
#define LOW_4 0, 1, 2, 3, 8, 9, 10, 11
#define HIGH_4 4, 5, 6, 7, 12, 13, 14, 15
#elif VL == 4
#define LOW_1 0, 4, 1, 5
#define HIGH_1 2, 6, 3, 7
#define LOW_2 0, 1, 4, 5
#define HIGH_2 2, 3, 6, 7
#endif

INLINE void KERNEL(transpose)(vf *x) {
  vf y[VL];
  // Four neighbours: y[4g + j] has their elements 4b + j of every 128-bit block b.
  UNROLL for (int g = 0; g < VL; g += 4) {
    const vf a = __builtin_shufflevector(x[g], x[g + 1], LOW_1), b = __builtin_shufflevector(x[g], x[g + 1], HIGH_1);
    const vf c = __builtin_shufflevector(x[g + 2], x[g + 3], LOW_1);
    const vf d = __builtin_shufflevector(x[g + 2], x[g + 3], HIGH_1);
    y[g] = __builtin_shufflevector(a, c, LOW_2);
    y[g + 1] = __builtin_shufflevector(a, c, HIGH_2);
    y[g + 2] = __builtin_shufflevector(b, d, LOW_2);
    y[g + 3] = __builtin_shufflevector(b, d, HIGH_2);
  }
#if VL == 4
  UNROLL for (int i = 0; i < VL; i++) x[i] = y[i];
#elif VL == 8
  UNROLL for (int j = 0; j < 4; j++) {
    x[j] = __builtin_shufflevector(y[j], y[4 + j], LOW_4);
    x[4 + j] = __builtin_shufflevector(y[j], y[4 + j], HIGH_4);
  }
#else
  // Blocks b = 2·high + low of groups g: first the low bit of b and g trade places, then the high one.
  vf z[VL];
  UNROLL for (int j = 0; j < 4; j++)
    UNROLL for (int g = 0; g < 4; g += 2) {
      z[4 * g + j] = __builtin_shufflevector(y[4 * g + j], y[4 * g + 4 + j], LOW_4);
      z[4 * g + 4 + j] = __builtin_shufflevector(y[4 * g + j], y[4 * g + 4 + j], HIGH_4);
    }
  UNROLL for (int j = 0; j < 4; j++)
    UNROLL for (int low = 0; low < 2; low++) {
      x[4 * low + j] = __builtin_shufflevector(z[4 * low + j], z[4 * (2 + low) + j], LOW_8);
      x[4 * (2 + low) + j] = __builtin_shufflevector(z[4 * low + j], z[4 * (2 + low) + j], HIGH_8);
    }
#endif
}
#define transpose KERNEL(transpose)

// The register tile: MR broadcast rows by NV vectors, all accumulators in registers beside NV operands and a splat.
#if ISA_REGISTERS >= 32
#define NV_MAX 4
#define MR1 8
#define MR2 12
#define MR3 8
#define MR4 6
#else
#define NV_MAX 2
#define MR1 8
#define MR2 6
#define MR3 6
#define MR4 6
#endif
#define MR_MAX 16
#define STRIP (NV_MAX * VL)
