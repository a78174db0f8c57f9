#!/usr/bin/env bash
# What the boundary costs in each language, beside the engine's own time (bindings/README.md, "The
# benchmark"). Prints a table in Markdown. Needs the three packages built by their test.sh, and jq.
set -euo pipefail
cd "$(dirname "$0")"
rows=$(mktemp)
trap 'rm -f "$rows"' EXIT
{
  (cd .. && cargo bench --quiet --package donp-ffi --bench boundary)
  python/run.sh bench
  kotlin/run.sh Bench
  swift/run.sh DonpBench
} | grep '^{' >"$rows"
jq -rs '
  def ns($l; $r): map(select(.language == $l and .row == $r).ns) | first // null;
  def shown: if . == null then "-" else (. * 10 | round / 10 | tostring) end;
  . as $all
  | ["row, ns", "Rust", "Python", "Kotlin", "Swift", "Python less Rust", "Kotlin less Rust", "Swift less Rust"],
    ["---", "---", "---", "---", "---", "---", "---", "---"],
    ("noop", "turn_empty", "turn_64_in", "turn_64_out" | . as $row
     | ($all | ns("rust"; $row)) as $own
     | [$row, ($own | shown)]
       + (["python", "kotlin", "swift"] | map(. as $l | $all | ns($l; $row) | shown))
       + (["python", "kotlin", "swift"] | map(. as $l | $all | ns($l; $row) | if . == null then "-" else (. - $own | shown) end)))
  | "| " + join(" | ") + " |"' "$rows"
