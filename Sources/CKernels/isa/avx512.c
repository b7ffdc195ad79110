#if defined(__x86_64__)
#include "../common.h"
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi,bmi2"))), apply_to = function)
#define ISA avx512
#define VL 16
#define ISA_REGISTERS 32
#define ISA_FMA 1
#define ISA_BF16 0
#include "../template/all.h"
#pragma clang attribute pop
#endif
