#!/usr/bin/env bash
# Makes the reference in .docs/html out of the debug build, and checks that everything public has a text and a
# page, and that nothing generated shows through.
set -euo pipefail
cd "$(dirname "$0")"
command -v jq >/dev/null || { echo "docs.sh: jq is missing (a Debian package)" >&2; exit 1; }

rm -rf .docs
mkdir -p .docs/graphs
# shellcheck disable=SC2016 # expands inside
./in-root.sh bash -euc '
  tools=$(dirname "$(readlink -f "$(command -v swift)")")
  target=$(swift -print-target-info | sed -n "s/^ *\"triple\": \"\(.*\)\",\$/\1/p" | head -n 1)
  "$tools/swift-symbolgraph-extract" -module-name Donp -target "$target" -I .build/debug/Modules \
    -I Sources/CDonpFFI/include -output-dir .docs/graphs -minimum-access-level public -skip-synthesized-members
  "$tools/docc" convert Sources/Donp/Donp.docc --additional-symbol-graph-dir .docs/graphs \
    --fallback-display-name Donp --fallback-bundle-identifier org.donp.Donp --warnings-as-errors \
    --transform-for-static-hosting --output-dir .docs/html'

graph=.docs/graphs/Donp.symbols.json
check() { # MESSAGE: fails if there are lines on standard input
  if sed 's/^/  /' | grep .; then
    echo "docs.sh: $1" >&2
    exit 1
  fi
}
jq -r '.symbols[] | select(.docComment == null) | .pathComponents | join(".")' "$graph" |
  check "public and without a text"
jq -r '.symbols[].identifier.precise' "$graph" | sort >.docs/public
find .docs/html/data -name '*.json' -exec jq -r '.metadata.externalID // empty' {} + | sort >.docs/named
comm -23 .docs/public .docs/named | check "public and without a page"
jq -r '.symbols[] | select([.declarationFragments[]?.preciseIdentifier // ""] | any(test("DonpFFI"))) |
  .pathComponents | join(".")' "$graph" | check "public and of the generated layer"
count=$(wc -l <.docs/public)
[ "$count" -gt 200 ] || { echo "docs.sh: only $count public symbols: the graph is not whole" >&2; exit 1; }
echo "docs: $count public symbols, each with a text and a page"
