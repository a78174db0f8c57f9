#!/usr/bin/env bash
# The library that goes into every app stays small: builds it as it is shipped, strips a copy, weighs it.
set -euo pipefail
cd "$(dirname "$0")/.."

limit=5000000
built=${CARGO_TARGET_DIR:-target}/dist

cargo rustc --profile dist --package donp-ffi --lib --crate-type cdylib
strip --strip-unneeded -o "$built/libdonp_ffi.stripped.so" "$built/libdonp_ffi.so"
size=$(stat -c %s "$built/libdonp_ffi.stripped.so")

printf 'size.sh: %d bytes, %d.%02d MB, of at most %d\n' \
  "$size" $((size / 1000000)) $((size % 1000000 / 10000)) "$limit"
[ "$size" -le "$limit" ] || { echo "size.sh: too large" >&2; exit 1; }
