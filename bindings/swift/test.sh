#!/usr/bin/env bash
# Builds and tests the Swift package from a clean checkout. Arguments go to `swift test`, such as
# `--filter echo`; the last line tells the counts.
#
# Where `swift` is not on the path, the tests run in the root that root.sh makes. Needed: Rust, jq, shellcheck.
# shellcheck disable=SC2016 # backquotes in single quotes are meant as they stand
set -euo pipefail
cd "$(dirname "$0")"
top=$(cd ../.. && pwd)
for tool in cargo jq shellcheck strip; do
  command -v "$tool" >/dev/null || { echo "test.sh: $tool is missing" >&2; exit 1; }
done
command -v swift >/dev/null || ./root.sh

passed=0 failed=0
check() { # NAME COMMAND…
  local name=$1
  shift
  if "$@"; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    echo "FAILED: $name" >&2
  fi
}

# Programs of the host that the tests run lie where the root sees them.
DONP_SHARED=$(mktemp -d)
trap 'rm -rf "$DONP_SHARED"' EXIT
export DONP_SHARED DONP_BIN=$DONP_SHARED/donp DONP_STRICT=1
echo "=== the library, the generated code, and donp"
./build.sh
cp "$("$top/bindings/donp.sh")" "$DONP_BIN"

echo "=== what is checked without running it"
sources=(Sources/Donp Examples Bench Tests Package.swift)
no_line() { ! grep -n "$@"; } # fails, and shows them, if there are such lines
library_alone() { [ "$(ls lib)" = libdonp_ffi.a ]; }
stripped() { ! readelf --wide --section-headers lib/libdonp_ffi.a | grep -m 1 '\.debug_info'; }
small() { [ "$(stat -c %s lib/libdonp_ffi.a)" -lt $((12 << 20)) ]; }
check "the scripts pass shellcheck" shellcheck ./*.sh
check "the Swift is formatted" ./in-root.sh swift format lint --strict --recursive "${sources[@]}"
check "the module map works outside Apple systems" no_line '^ *use ' Sources/CDonpFFI/include/module.modulemap
check "the generated layer is imported for inside only" \
  no_line -rE '^(@_exported |@testable |public |package )*import (C?DonpFFI)' Sources/Donp Examples Bench Tests
check "nothing but the archive lies where the linker looks" library_alone
check "the archive has no debug sections" stripped
check "the archive is below 12 MB" small

echo "=== swift test"
./in-root.sh swift build --quiet --build-tests -j 2
no_library_needed() { ! readelf --dynamic .build/debug/Echo | grep libdonp_ffi; }
check "programs hold the library, they do not look for it" no_library_needed
log=$DONP_SHARED/log
# One test at a time: some look at the memory of the process. A hang is a failure.
timeout 900 ./in-root.sh swift test --skip-build --disable-xctest --no-parallel "$@" 2>&1 | tee "$log" || {
  [ "$(grep -c '^✘ Test "' "$log")" != 0 ] || failed=$((failed + 1)) # a crash or a hang names no test
}
passed=$((passed + $(grep -c '^✔ Test "' "$log" || true)))
failed=$((failed + $(grep -c '^✘ Test ".*" failed' "$log" || true)))
if [ $# = 0 ]; then
  # The names that every language's tests have, as the contract lists them.
  missing() {
    sed -n 's/^[0-9]*\. `\([a-z_]*\)`.*/\1/p' ../README.md | while read -r name; do
      grep -q "^✔ Test \"$name\" passed" "$log" || echo "$name"
    done
  }
  all_there() { [ -z "$(missing)" ] || { missing >&2; return 1; }; }
  check "every scenario of the contract passed" all_there
fi

echo "=== the programs as they are used, optimised"
./in-root.sh swift build --quiet -c release -j 2
rows() {
  ./run.sh DonpBench | tee "$DONP_SHARED/rows"
  [ "$(jq -r '.language + " " + .row' "$DONP_SHARED/rows" | tr '\n' ' ')" = \
    "swift noop swift turn_empty swift turn_64_in swift turn_64_out " ]
}
check "the benchmark prints its rows" rows

echo "=== the reference"
check "the reference names all that is public" ./docs.sh

echo "=== the package as users get it, and the README's program in a package of its own"
block() { sed -n "/^\`\`\`$1\$/,/^\`\`\`\$/p" README.md | sed '1d;$d'; }
hello() {
  rm -rf .package
  ./package.sh .package
  mkdir -p .package/Hello/Sources/Hello
  block 'swift main.swift' >.package/Hello/Sources/Hello/main.swift
  block 'swift Package.swift' >.package/Hello/Package.swift
  env -u DONP_STRICT ./in-root.sh swift run --quiet -j 2 --package-path .package/Hello Hello >.package/printed
  diff <(block 'text Hello') .package/printed
}
check "the README's program prints what the README says" hello

echo "swift: $passed passed, $failed failed"
[ "$failed" = 0 ]
