// System headers and plain C that templates use; included before a target is switched on.
#ifndef ATTNLAB_COMMON_H
#define ATTNLAB_COMMON_H
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "include/CKernels.h"
#include "include/squares.h"
#include "tile.h"
#endif
