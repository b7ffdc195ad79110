// AVX-512 with bfloat16 dot products: the bfloat16 kernels alone. Their float32 parts (ends of tiles, tiles of a few
// rows) come from the same templates.
#if defined(__x86_64__)
#include "../common.h"
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma,bmi,bmi2"))), apply_to = function)
#define ISA avx512bf16
#define VL 16
#define ISA_REGISTERS 32
#define ISA_FMA 1
#define ISA_BF16 1
#include "../template/vector.h"

#include "../template/product.h"

#include "../template/softmax.h"

#include "../template/tanh.h"

#include "../template/energy.h"
#include "../template/bias.h"

#include "../template/forward.h"

#include "../template/bfloat16.h"
#pragma clang attribute pop
#endif
