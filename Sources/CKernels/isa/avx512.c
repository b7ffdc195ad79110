#if defined(__x86_64__)
#include "../common.h"
// Experiments/instruction-sets checks the logic of sixteen lanes and 32 registers where there is no AVX-512.
#ifdef ATTNLAB_SIXTEEN_LANES_ON_AVX2
#pragma clang attribute push(__attribute__((target("avx2,fma,bmi,bmi2"))), apply_to = function)
#else
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi,bmi2"))), apply_to = function)
#endif
#define ISA avx512
#define VL 16
#define ISA_REGISTERS 32
#define ISA_FMA 1
#define ISA_BF16 0
#include "../template/all.h"
#pragma clang attribute pop
#endif
