#include "CKernels.h"
#include <string.h>

uint64_t attn_hash_words(const void *data, size_t count) {
  const unsigned char *bytes = data;
  uint64_t hash = 0xcbf29ce484222325u;
  for (size_t i = 0; i < count; i += 8) {
    uint64_t word = 0;
    memcpy(&word, bytes + i, count - i < 8 ? count - i : 8);
    hash = (hash ^ word) * 0x100000001b3u;
  }
  return hash;
}
