#!/usr/bin/env bash
# Builds the package as users get it, installs it in a clean environment and tests that:
#
#   bindings/python/test.sh            lints, types, documentation, tests
#   bindings/python/test.sh --sdist    the same, and installs the source package too (some minutes more)
#
# Needs Rust, a C compiler and Python 3.10 or newer with venv. Nothing is skipped: what cannot be done
# fails. Everything made lies in .build here and in the target folder. Ends with `python: N passed, N failed`.
set -euo pipefail
cd "$(dirname "$0")"
sdist=false
for argument in "$@"; do
  case $argument in
    --sdist) sdist=true ;;
    *) echo "test.sh: what is '$argument'? see the top of it" >&2 && exit 2 ;;
  esac
done

# A backtrace of a panic that a test causes on purpose is pages long.
unset RUST_BACKTRACE
# `print` must find the pipe of a test at once, and a user's own settings nothing at all.
unset DONP_PASSPHRASE DONP_PROFILE DONP_STATE_DIR DONP_CONFIG PYTHONPATH
export CARGO_TERM_COLOR=never PIP_DISABLE_PIP_VERSION_CHECK=1
root=$(cd ../.. && pwd)
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$root/target}
python=${PYTHON:-python3}
build=$PWD/.build
failed=0

step() { echo "=== $*"; }

step "tools"
"$python" -m venv --clear "$build/tools"
"$build/tools/bin/pip" install --quiet --requirement tools/requirements.txt

step "the wheel"
rm -rf "$build/dist"
"$build/tools/bin/maturin" build --quiet --out "$build/dist"
./strip-wheel.sh "$build/tools/bin/python" "$build"/dist/*.whl

step "a clean environment with the wheel in it"
"$python" -m venv --clear "$build/venv"
"$build/venv/bin/pip" install --quiet "$build"/dist/*.whl --requirement tests/requirements.txt
bin=$build/venv/bin

step "lints"
"$build/tools/bin/ruff" format --check --quiet .
"$build/tools/bin/ruff" check --quiet .

step "types"
# From elsewhere, so that the installed package is what is checked.
(
  cd "$build"
  "$bin/mypy" --config-file ../pyproject.toml --package donp
  "$bin/python" -m mypy.stubtest donp._ffi.donp_ffi
  for script in ../examples/*.py ../bench/*.py ../tools/*.py; do "$bin/mypy" --config-file ../pyproject.toml "$script"; done
  MYPYPATH=../tests "$bin/mypy" --config-file ../pyproject.toml ../tests/*.py
)

step "documentation"
rm -rf "$build/docs"
(cd "$build" && "$bin/pdoc" donp --no-show-source --output-directory "$build/docs")

step "the donp program, for the echo bot"
DONP_BIN=$("$root/bindings/donp.sh")
export DONP_BIN DONP_DOCS=$build/docs

step "tests"
"$bin/python" -m pytest --quiet --junit-xml="$build/tests.xml" || failed=1
"$bin/python" - "$build/tests.xml" <<'END'
import sys
import xml.etree.ElementTree as xml

suite = xml.parse(sys.argv[1]).getroot().find("testsuite")
count = {name: int(suite.get(name)) for name in ("tests", "failures", "errors", "skipped")}
bad = count["failures"] + count["errors"] + count["skipped"]
print(f"python: {count['tests'] - bad} passed, {bad} failed")
sys.exit(bad > 0 or count["tests"] == 0)
END

step "the benchmark runs"
"$bin/python" bench/bench.py

if $sdist; then
  step "the source package"
  "$build/tools/bin/maturin" sdist --out "$build/dist"
  "$python" -m venv --clear "$build/from-source"
  # A target folder of its own: nothing that was built before helps.
  (
    export CARGO_TARGET_DIR=$build/from-source/target
    "$build/from-source/bin/pip" install --quiet "$build"/dist/*.tar.gz
    cd "$build/from-source"
    bin/python -c 'import donp; donp.Node(name="from source", listen="127.0.0.1:0").start().shutdown(); print("installed from source:", donp.version())'
    rm -rf "$CARGO_TARGET_DIR"
  )
fi
exit "$failed"
