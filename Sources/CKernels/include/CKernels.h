#ifndef ATTNLAB_KERNELS_H
#define ATTNLAB_KERNELS_H
#include <stddef.h>
#include <stdint.h>
#include "attention.h"
#include "bfloat16.h"
#include "elementwise.h"
#include "gemm.h"
#include "convolve.h"
#include "dense.h"
#include "denormal.h"
#include "depthwise.h"
#include "edges.h"
#include "pool.h"
#include "reference.h"
#include "scan.h"
#include "select.h"
#include "squares.h"

#pragma clang assume_nonnull begin

/// Whether this processor can run an instruction set: 0 portable, 1 avx2, 2 avx512.
int32_t attn_isa_supported(int32_t isa);

/// The processors in this process's affinity mask, at least 1.
int32_t attn_processor_count(void);

/// The 64-bit FNV-1a hash of bytes, one step for eight of them (little-endian, zeros behind the last).
uint64_t attn_hash_words(const void *data, size_t count);

/// Runs `rounds` × 12 (24 with 32 registers) independent fused multiply-adds on vectors; returns the flops done.
double attn_fma_loop(int32_t isa, int64_t rounds);

/// Reads `count` floats and returns their sum: what a bandwidth-bound kernel can reach.
float attn_read_loop(int32_t isa, const float *data, int64_t count);

/// Reads and writes `count` floats in place; measures memory bandwidth as a state that moves on needs it.
void attn_rewrite_loop(int32_t isa, float *data, int64_t count);

#pragma clang assume_nonnull end
#endif
