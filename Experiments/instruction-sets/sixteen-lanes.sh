#!/usr/bin/env bash
# Checks the sixteen lanes and 32 registers of the AVX-512 kernels on a machine that has only AVX2: the same templates,
# compiled for AVX2, against a naive loop, beside the portable and the AVX2 kernels. Says nothing of their speed.
# Needs clang (the Swift toolchain's will do).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
kernels=$here/../../Sources/CKernels
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
clang -O2 -std=gnu11 -Wall -Werror -Wno-psabi -DATTNLAB_SIXTEEN_LANES_ON_AVX2 -DFIRST_ISA=0 -DLAST_ISA=2 \
  -I"$kernels/include" "$kernels"/*.c "$kernels"/isa/portable.c "$kernels"/isa/avx2.c "$kernels"/isa/avx512.c \
  "$kernels"/isa/avx512bf16.c "$here/check.c" -lm -o "$out/check"
"$out/check"
