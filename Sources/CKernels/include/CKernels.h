#ifndef ATTNLAB_KERNELS_H
#define ATTNLAB_KERNELS_H
#include <stddef.h>
#include <stdint.h>

/// Whether this processor can run an instruction set: 0 portable, 1 avx2, 2 avx512.
int32_t attn_isa_supported(int32_t isa);

/// The processors in this process's affinity mask, at least 1.
int32_t attn_processor_count(void);
#endif
