#!/usr/bin/env bash
# Runs an example, or the benchmark, with the package that test.sh built and installed:
#
#   bindings/python/run.sh talk|nodes|near|engines|poll|echo|bench ARGUMENTS…
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
python=$here/.build/venv/bin/python
[ -x "$python" ] || { echo "run.sh: run $here/test.sh first" >&2 && exit 1; }
name=${1:?what to run}
shift
script=$here/examples/$name.py
[ "$name" = bench ] && script=$here/bench/bench.py
exec "$python" "$script" "$@"
