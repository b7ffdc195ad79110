// 128-bit vectors with whatever the build targets: SSE2 on x86-64, NEON with fused multiply-add on arm64.
#include "../common.h"
#pragma clang fp contract(fast)
#define ISA portable
#define VL 4
#if defined(__aarch64__)
#define ISA_REGISTERS 32
#define ISA_FMA 1
#else
#define ISA_REGISTERS 16
#define ISA_FMA 0
#endif
#define ISA_BF16 0
#include "../template/all.h"
