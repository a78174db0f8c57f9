#!/usr/bin/env bash
# package.sh OUT_DIR: puts the package as users get it into OUT_DIR/Donp: with the library and the generated
# code, so that it needs neither Rust nor this repository. Run build.sh first.
set -euo pipefail
out=$(realpath -m "${1:?a folder for the package}")/Donp
cd "$(dirname "$0")"
for made in lib/libdonp_ffi.a Sources/DonpFFI/DonpFFI.swift Sources/CDonpFFI/include/CDonpFFI.h; do
  [ -e "$made" ] || { echo "package.sh: no $made: run build.sh first" >&2; exit 1; }
done
rm -rf "$out"
mkdir -p "$out"
cp -R Package.swift README.md Sources Examples Bench Tests lib "$out"
