#if defined(__x86_64__)
#include "../common.h"
#pragma clang attribute push(__attribute__((target("avx2,fma,bmi,bmi2"))), apply_to = function)
#define ISA avx2
#define VL 8
#define ISA_REGISTERS 16
#define ISA_FMA 1
#define ISA_BF16 0
#include "../template/all.h"
#pragma clang attribute pop
#endif
