#ifndef ATTNLAB_DENORMAL_H
#define ATTNLAB_DENORMAL_H
#include <stdint.h>

/// From here on this thread takes numbers below the least normal one as 0, read and written, where the processor can be told so
/// (x86-64, every instruction set). An Intel core takes a hundred cycles and more for a multiply-add with such a number.
/// Returns how it did before.
uint32_t attn_flush_denormals(void);
/// Takes them as before.
void attn_restore_denormals(uint32_t before);
#endif
