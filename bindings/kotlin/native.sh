#!/usr/bin/env bash
# Builds the library and generates the code below it, for this machine:
#
#   target/generated                  Kotlin code of the package org.donp.ffi
#   target/native/<platform>/         the stripped library, under the name that JNA looks for in a jar
#
# Maven runs it. Libraries for other platforms that lie in native/<platform>/ go into the jar too.
set -euo pipefail
cd "$(dirname "$0")"
[ "$(uname -s)" = Linux ] || { echo "native.sh: only Linux is supported as a build machine" >&2; exit 1; }
case $(uname -m) in
  x86_64) platform=linux-x86-64 ;;
  aarch64) platform=linux-aarch64 ;;
  *) echo "native.sh: no name of JNA's is known here for $(uname -m)" >&2; exit 1 ;;
esac
lib=${CARGO_TARGET_DIR:-../../target}/dist/libdonp_ffi.so
mkdir -p "target/native/$platform"
# Generated aside and moved when complete: Maven compiles whatever lies in the folder.
rm -rf target/generated.new
../build.sh kotlin target/generated.new
if ! diff -rq target/generated.new target/generated > /dev/null 2>&1; then
  rm -rf target/generated
  mv target/generated.new target/generated
fi
rm -rf target/generated.new
strip --strip-unneeded -o "target/native/$platform/libdonp_ffi.so" "$lib"
