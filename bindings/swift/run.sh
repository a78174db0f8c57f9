#!/usr/bin/env bash
# run.sh NAME ARGS…: runs a built program of this package (Echo, Talk, DonpBench), where needed inside the
# root of root.sh. Prefers the release build; builds nothing.
set -euo pipefail
cd "$(dirname "$0")"
name=${1:?a program: Echo, Talk or DonpBench}
shift
for kind in release debug; do
  if [ -x ".build/$kind/$name" ]; then
    exec ./in-root.sh "./.build/$kind/$name" "$@"
  fi
done
echo "run.sh: $name is not built: run ./build.sh, then ./in-root.sh swift build" >&2
exit 1
