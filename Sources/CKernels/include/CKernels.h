#ifndef ATTNLAB_KERNELS_H
#define ATTNLAB_KERNELS_H
#include <stddef.h>
#include <stdint.h>
#endif
