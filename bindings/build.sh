#!/usr/bin/env bash
# Builds the library and its generator, and generates the code of one language:
#
#   bindings/build.sh python|kotlin|swift OUT_DIR
#
# The library lies then in target/dist as libdonp_ffi.so, for Swift as libdonp_ffi.a too. It is not stripped: the
# generator reads its symbol table. Strip the copy that is packaged.
#
# Each kind of library is built alone: built together with the one for Rust, none is optimized as a whole.
set -euo pipefail
language=${1:?python, kotlin or swift}
mkdir -p "${2:?a folder for the generated code}"
out=$(cd "$2" && pwd)
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
cargo rustc --quiet --profile dist --package donp-ffi --lib --crate-type cdylib
if [ "$language" = swift ]; then
  cargo rustc --quiet --profile dist --package donp-ffi --lib --crate-type staticlib
fi
cargo build --quiet --package donp-ffi --features cli --bin uniffi-bindgen
"$target/debug/uniffi-bindgen" generate "$target/dist/libdonp_ffi.so" --language "$language" --no-format --out-dir "$out"
