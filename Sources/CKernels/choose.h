// Kernels that are compiled once for each instruction set: their declarations, and the run-time choice among them by the number of
// InstructionSet.code.
#ifndef ATTNLAB_CHOOSE_H
#define ATTNLAB_CHOOSE_H
#include "common.h"

#define DECLARE(result, name, parameters) \
  result name##_portable parameters;      \
  result name##_avx2 parameters;          \
  result name##_avx512 parameters;

#if defined(__x86_64__)
#define CHOOSE(isa, name, ...)                \
  ((isa) == 2   ? name##_avx512(__VA_ARGS__)  \
   : (isa) == 1 ? name##_avx2(__VA_ARGS__)    \
                : name##_portable(__VA_ARGS__))
#else
#define CHOOSE(isa, name, ...) ((void)(isa), name##_portable(__VA_ARGS__))
#endif
#endif
