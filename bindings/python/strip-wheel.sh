#!/usr/bin/env bash
# Strips the library inside wheels that maturin made, and prints their sizes:
#
#   strip-wheel.sh PYTHON WHEEL…
#
# PYTHON has the package `wheel`. Stripping comes last: the generator of the bindings reads the symbol table.
set -euo pipefail
python=${1:?a Python that has the package wheel}
shift
for wheel in "$@"; do
  tmp=$(mktemp -d)
  trap 'rm -rf "$tmp"' EXIT
  before=$(stat -c %s "$wheel")
  "$python" -m wheel unpack -d "$tmp" "$wheel" >/dev/null
  find "$tmp" -name '*.so' -exec strip --strip-unneeded {} +
  "$python" -m wheel pack -d "$(dirname "$wheel")" "$tmp"/*/ >/dev/null
  echo "$(basename "$wheel"): $((before / 1024)) KiB, stripped $(($(stat -c %s "$wheel") / 1024)) KiB"
  rm -rf "$tmp"
done
