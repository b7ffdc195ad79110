#!/usr/bin/env bash
# Compiles the kernels for arm64 and runs them under emulation against a naive loop.
# Needs clang (the Swift toolchain's will do), an aarch64 cross C library and qemu-user.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
kernels=$here/../../Sources/CKernels
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
sources=("$kernels"/dispatch.c "$kernels"/processors.c "$kernels"/isa/portable.c)
for more in "$kernels"/*.c; do
  case $more in */dispatch.c | */processors.c) ;; *) sources+=("$more") ;; esac
done
clang --target=aarch64-linux-gnu -fuse-ld=lld -O2 -std=gnu11 -Wall -Werror -I"$kernels/include" \
  "${sources[@]}" "$here/check.c" -lm -o "$out/check"
qemu-aarch64 -L /usr/aarch64-linux-gnu "$out/check"
