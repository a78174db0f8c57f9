#!/usr/bin/env bash
# Builds the `donp` program, and prints the path of a copy: other steps of the checks may build it again meanwhile.
set -euo pipefail
cd "$(dirname "$0")/.."
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
cargo build --quiet --package donp
mkdir -p "$target/packages"
# In place of the one before at once: that may be running.
cp "$target/debug/donp" "$target/packages/donp.$$"
mv "$target/packages/donp.$$" "$target/packages/donp"
echo "$target/packages/donp"
