#!/usr/bin/env bash
# run.sh NAME ARGS…: runs a built program of this package (Echo, Talk, DonpBench), where needed inside the
# root of root.sh: of the debug and the release build the newer one, the benchmark always of the release build.
# Builds nothing.
set -euo pipefail
cd "$(dirname "$0")"
name=${1:?a program: Echo, Talk or DonpBench}
shift
built=.build/release/$name
[ "$name" = DonpBench ] || [ "$built" -nt ".build/debug/$name" ] || built=.build/debug/$name
[ ! -x "$built" ] || exec ./in-root.sh "./$built" "$@"
echo "run.sh: $name is not built: run ./build.sh, then ./in-root.sh swift build -c release" >&2
exit 1
