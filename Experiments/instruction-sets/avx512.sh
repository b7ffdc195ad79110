#!/usr/bin/env bash
# Runs the AVX-512 kernels on a processor that has none: in Bochs, which emulates a whole machine, a small Linux runs
# check.c against a naive loop, then, given an `attnlab` binary, its conformance check. Says nothing of their speed.
#
#   avx512.sh                                                    check.c alone
#   avx512.sh .build/release/attnlab full --quick                and then `attnlab check --isa avx512 full --quick`
#
# Needs clang (the Swift toolchain's will do) and of Debian g++, make, cpio, xorriso, busybox-static, isolinux,
# syslinux-common, bochsbios and vgabios. Bochs itself is built (some minutes) from Debian 13's source of 3.0, mended
# below; BOCHS keeps the binary: where it is to be found or, if it is not there, put. KERNEL names a vmlinuz; without
# it, the newest in /boot or else Debian's is taken.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
kernels=$here/../../Sources/CKernels
out=$(mktemp -d)
emulator=
trap '[[ -z $emulator ]] || kill "$emulator" 2>/dev/null || true; rm -rf "$out"' EXIT
bochs=${BOCHS:-$out/bochs}

# Bochs 3.0 refuses gathers with an index in registers 16 to 31, reads past the register in VCVTNE2PS2BF16, and its one
# processor with AVX512-BF16 does not get through Linux's start: an older one announces it instead.
build_bochs() {
  mkdir -p "$out"/apt/{lists,cache}/partial "$out/source"
  # Where this system's own packages come from; the security archive has no Bochs.
  local site
  site=$(apt-get indextargets --format '$(SITE)' | grep -v security | sort -u | head -1)
  echo "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $site trixie main" >"$out/apt/sources.list"
  local apt=(apt-get -qq -o "Dir::Etc::sourcelist=$out/apt/sources.list" -o Dir::Etc::sourceparts=/dev/null
    -o "Dir::State::lists=$out/apt/lists" -o "Dir::Cache=$out/apt/cache" -o APT::Sandbox::User=)
  (
    cd "$out/source"
    "${apt[@]}" update
    "${apt[@]}" source --download-only bochs || true  # what counts is the archive, which apt has verified
    tar xf bochs_3.0+dfsg.orig.tar.xz --strip-components=1
    sed -i 's/^ *i->setSibIndex(i->sibIndex() | (vvv & 0x10));/& vvv \&= 0xf;/' cpu/decoder/fetchdecode32.cc
    sed -i 's/bfloat16(op1.vmm32u(n));/bfloat16(op1.vmm32u(n - DWORD_ELEMENTS(len)));/' cpu/avx/avx512_bf16.cc
    local leaf='/::get_std_cpuid_leaf_7(/,/^}/'
    sed -i -e "$leaf"'s/leaf->eax = 0; .*/leaf->eax = is_cpu_extension_supported(BX_ISA_AVX512_BF16);/' \
      -e "$leaf"'s/leaf->eax = 0;$/leaf->eax = subfunction == 1 ? get_std_cpuid_leaf_7_subleaf_1_eax() : 0;/' \
      cpu/cpudb/intel/corei7_skylake-x.cc
    ./configure CXXFLAGS="-O3 -w" CFLAGS="-O3 -w" --with-nogui --disable-plugins --disable-docbook \
      --enable-cpu-level=6 --enable-x86-64 --enable-fpu --enable-avx --enable-evex --enable-all-optimizations \
      --enable-pci --enable-long-phy-address
    make -j"${JOBS:-1}" bochs
    cp bochs "$bochs"
  ) >"$out/build" 2>&1 || { tail -20 "$out/build" >&2; exit 1; }
}
[[ -x $bochs ]] || build_bochs

# The guest's files: check, attnlab with its shared libraries where the loader looks for them, a shell.
root=$out/root
mkdir -p "$root"/{bin,dev,proc,sys,tmp} "$out/image"
cp "$(command -v busybox)" "$root/bin/busybox"
clang -O2 -std=gnu11 -Wall -Werror -static -DFIRST_ISA=2 -DLAST_ISA=2 -I"$kernels/include" \
  "$kernels"/*.c "$kernels"/isa/*.c "$here/check.c" -lm -o "$root/check"
if (($#)); then
  cp "$1" "$root/attnlab"
  ldd "$1" | grep -o '/[^ ]*' | xargs -I{} cp -L --parents {} "$root"
  shift
  printf '%q ' /attnlab check --isa avx512 "$@" >"$root/more"
fi
cat >"$root/init" <<'INIT'
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
export HOME=/tmp
echo guest: $(grep -m1 flags /proc/cpuinfo | tr ' ' '\n' | grep avx512)
/check && { [ ! -e /more ] || sh /more; }
status=$?
dmesg | grep traps:
echo "guest: status $status"
sleep 2
poweroff -f
INIT
chmod +x "$root/init"
(cd "$root" && find . | cpio -o -H newc -R 0:0 --quiet) >"$out/image/initrd"

kernel=${KERNEL:-$(find /boot -name 'vmlinuz-*' 2>/dev/null | sort -V | tail -1)}
if [[ -z $kernel ]]; then
  package=$(apt-cache depends linux-image-amd64 | awk '/Depends:/ { print $2; exit }')
  (cd "$out" && apt-get download -qq -o APT::Sandbox::User= "$package")
  dpkg-deb --fsys-tarfile "$out/$package"*.deb | tar x -C "$out" --wildcards './boot/vmlinuz-*'
  kernel=$(echo "$out"/boot/vmlinuz-*)
fi
cp "$kernel" "$out/image/vmlinuz"
cp /usr/lib/ISOLINUX/isolinux.bin /usr/lib/syslinux/modules/bios/ldlinux.c32 "$out/image"
cat >"$out/image/isolinux.cfg" <<'MENU'
default linux
label linux
  kernel vmlinuz
  append initrd=initrd console=ttyS0 quiet loglevel=1 mitigations=off nokaslr
MENU
xorriso -as mkisofs -quiet -b isolinux.bin -c boot.cat -no-emul-boot -boot-load-size 4 -boot-info-table \
  -o "$out/image.iso" "$out/image" 2>/dev/null

cat >"$out/machine" <<MACHINE
cpu: model=corei7_skylake_x, add_features="avx512bf16", ips=200000000, reset_on_triple_fault=0
memory: guest=1024, host=1024
romimage: file=/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=/usr/share/bochs/VGABIOS-lgpl-latest
ata0-master: type=cdrom, path="$out/image.iso", status=inserted
boot: cdrom
com1: enabled=1, mode=file, dev="$out/serial"
log: $out/log
panic: action=fatal
error: action=ignore
info: action=ignore
display_library: nogui
MACHINE
touch "$out/serial"
"$bochs" -q -f "$out/machine" </dev/null >"$out/screen" 2>&1 &
emulator=$!
tail -f -n +1 --pid=$emulator "$out/serial" | sed -u 's/\r$//' &
start=$SECONDS  # ten minutes to get to the first line, any time thereafter
while kill -0 $emulator 2>/dev/null && ! grep -qae '^guest: status' -e 'Kernel panic' "$out/serial"; do
  if ((SECONDS - start > 600)) && ! grep -qa '^guest:' "$out/serial"; then break; fi
  sleep 1
done
sleep 3
kill $emulator 2>/dev/null || true
wait || true
if ! grep -qa '^guest: status 0' "$out/serial"; then
  grep -qa '^guest: status' "$out/serial" || { echo "the guest did not get to the end" >&2; tail -5 "$out/log" >&2; }
  exit 1
fi
