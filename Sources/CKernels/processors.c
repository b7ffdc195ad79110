#define _GNU_SOURCE
#include "CKernels.h"
#include <unistd.h>
#if defined(__linux__)
#include <sched.h>
#endif

int32_t attn_processor_count(void) {
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) {
    int count = CPU_COUNT(&set);
    if (count > 0) return count;
  }
#endif
  long count = sysconf(_SC_NPROCESSORS_ONLN);
  return count > 0 ? (int32_t)count : 1;
}
