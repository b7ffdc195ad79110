// Numbers below the least normal one, taken as 0 for a while.
#include "denormal.h"

#if defined(__x86_64__)
#include <xmmintrin.h>

// Results are flushed to zero (bit 15), operands are zero (bit 6).
enum { FLUSHES = 0x8040 };

uint32_t attn_flush_denormals(void) {
  const uint32_t before = _mm_getcsr();
  _mm_setcsr(before | FLUSHES);
  return before;
}
void attn_restore_denormals(uint32_t before) {
  // What has been raised meanwhile stays raised.
  _mm_setcsr((_mm_getcsr() & ~(uint32_t)FLUSHES) | (before & FLUSHES));
}
#else
uint32_t attn_flush_denormals(void) { return 0; }
void attn_restore_denormals(uint32_t before) { (void)before; }
#endif
