#!/usr/bin/env bash
# Builds CDonpFFI.xcframework and the generated Swift, for macOS and iOS. After that `swift test` works in this
# folder, and Xcode takes it as a local package.
#
# Needs a Mac with Xcode, and Rust with the targets named below. Not run in this project's tests, which run on
# Linux: checked by reading and by shellcheck only.
set -euo pipefail
cd "$(dirname "$0")"
top=$(cd ../.. && pwd)
export MACOSX_DEPLOYMENT_TARGET=13.0 IPHONEOS_DEPLOYMENT_TARGET=16.0

macos=(aarch64-apple-darwin x86_64-apple-darwin)
simulator=(aarch64-apple-ios-sim x86_64-apple-ios)
device=(aarch64-apple-ios)

[ "$(uname)" = Darwin ] || { echo "build-xcframework.sh: needs a Mac" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cd "$top"
target=${CARGO_TARGET_DIR:-target}
for triple in "${macos[@]}" "${simulator[@]}" "${device[@]}"; do
  cargo rustc --profile dist --package donp-ffi --lib --crate-type staticlib --target "$triple"
done
cargo build --package donp-ffi --features cli --bin uniffi-bindgen
# The generator reads the symbol table, so it comes before the stripping.
"$target/debug/uniffi-bindgen" generate "$target/${macos[0]}/dist/libdonp_ffi.a" --language swift --no-format \
  --out-dir "$work/generated"

fat() { # FOLDER TRIPLE…: one archive for all of them, without debug sections
  local folder=$1 archives=() triple
  shift
  mkdir -p "$work/$folder"
  for triple in "$@"; do archives+=("$target/$triple/dist/libdonp_ffi.a"); done
  lipo -create "${archives[@]}" -output "$work/$folder/libdonp_ffi.a"
  strip -S "$work/$folder/libdonp_ffi.a"
}
fat macos "${macos[@]}"
fat simulator "${simulator[@]}"
fat device "${device[@]}"

cd "$top/bindings/swift"
mkdir -p "$work/headers"
cp "$work/generated/CDonpFFI.h" Sources/CDonpFFI/include/module.modulemap "$work/headers/"
cp "$work/generated/DonpFFI.swift" Sources/DonpFFI/
# By Apple's own tool: frameworks laid out by hand were refused by some versions of Xcode.
rm -rf CDonpFFI.xcframework
arguments=()
for folder in macos simulator device; do
  arguments+=(-library "$work/$folder/libdonp_ffi.a" -headers "$work/headers")
done
xcodebuild -create-xcframework "${arguments[@]}" -output CDonpFFI.xcframework
