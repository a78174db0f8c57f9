#!/usr/bin/env bash
# Puts into the package what is not written by hand: the library, its C header, the generated Swift.
# After that `swift build` works in this folder.
set -euo pipefail
cd "$(dirname "$0")"
top=$(cd ../.. && pwd)
target=$(cd "$top" && realpath -m "${CARGO_TARGET_DIR:-target}")

rm -rf .generated
../build.sh swift .generated

# Alone in its folder, or the linker takes the .so; without what only a debugger or another run of the compiler reads, which is most of it.
# Files that are the same stay untouched, so that nothing is compiled again for them.
rm -rf lib.new
mkdir -p lib lib.new Sources/DonpFFI
cp "$target/dist/libdonp_ffi.a" lib.new/
strip --strip-unneeded --remove-section .llvmbc --remove-section .llvmcmd lib.new/libdonp_ffi.a
put() { cmp -s "$1" "$2" || cp "$1" "$2"; }
put lib.new/libdonp_ffi.a lib/libdonp_ffi.a
put .generated/DonpFFI.swift Sources/DonpFFI/DonpFFI.swift
put .generated/CDonpFFI.h Sources/CDonpFFI/include/CDonpFFI.h
rm -rf lib.new .generated
