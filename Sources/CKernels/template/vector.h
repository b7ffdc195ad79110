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
#if VL == 16 && defined(__x86_64__)
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

/// Whether any lane of a comparison's result is set.
INLINE int KERNEL(any)(vi m) { return __builtin_reduce_or(m) != 0; }
#define any KERNEL(any)

// Interleaved halves: low (a0 b0 a1 b1 …) and high. log2(VL) rounds of them transpose VL vectors.
#if VL == 16
#define LOW_HALF 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define HIGH_HALF 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#elif VL == 8
#define LOW_HALF 0, 8, 1, 9, 2, 10, 3, 11
#define HIGH_HALF 4, 12, 5, 13, 6, 14, 7, 15
#elif VL == 4
#define LOW_HALF 0, 4, 1, 5
#define HIGH_HALF 2, 6, 3, 7
#endif

INLINE void KERNEL(transpose)(vf *x) {
  UNROLL for (int round = 1; round < VL; round *= 2) {
    vf y[VL];
    UNROLL for (int i = 0; i < VL / 2; i++) {
      y[2 * i] = __builtin_shufflevector(x[i], x[i + VL / 2], LOW_HALF);
      y[2 * i + 1] = __builtin_shufflevector(x[i], x[i + VL / 2], HIGH_HALF);
    }
    UNROLL for (int i = 0; i < VL; i++) x[i] = y[i];
  }
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
