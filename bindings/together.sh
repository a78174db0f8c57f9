#!/usr/bin/env bash
# A Python, a Kotlin and a Swift node and a `donp` process in one network: each says three things to all,
# and each must end with the same messages in the same order. Needs the three packages built by their
# test.sh, and jq.
set -euo pipefail
cd "$(dirname "$0")/.."
cd bindings
donp=$(./donp.sh)
say=3
total=$((4 * say))
tmp=$(mktemp -d)
export DONP_STATE_DIR=$tmp/state
fifos=(python kotlin swift)
# Processes that still run when this ends.
trap 'kill $(jobs -p) 2>/dev/null; wait 2>/dev/null; rm -rf "$tmp"' EXIT

"$donp" -p hub init --name hub >"$tmp/init.log"
"$donp" -p hub run --listen 127.0.0.1:0 --lan off >"$tmp/hub.log" 2>&1 &
# until_true TRIES COMMAND…: tenths of a second until the command succeeds.
until_true() {
  local tries=$1
  shift
  while ! "$@"; do
    tries=$((tries - 1))
    [ $tries -gt 0 ] || return 1
    sleep 0.1
  done
}
# Not by asking it: a command that finds no node running opens the profile itself, and is in its way.
until_true 300 grep -q 'is node' "$tmp/hub.log" || { cat "$tmp/hub.log" && exit 1; }
"$donp" -p hub status --json >"$tmp/status.json"
place=$(jq -r '.listen[0]' "$tmp/status.json")

python_talk() { python/run.sh talk "$@"; }
kotlin_talk() { kotlin/run.sh Talk "$@"; }
swift_talk() { swift/run.sh Talk "$@"; }
for language in "${fifos[@]}"; do
  mkfifo "$tmp/$language.in"
  "${language}_talk" --name "$language" --join "$place" --say $say --expect $total \
    <"$tmp/$language.in" >"$tmp/$language.out" 2>"$tmp/$language.err" &
done
# Held open: a node stays until its standard input closes, since the others may still need it.
exec 3>"$tmp/python.in" 4>"$tmp/kotlin.in" 5>"$tmp/swift.in"
for n in $(seq $say); do "$donp" -p hub send all "hub $n" --wait sent >/dev/null; done

for language in "${fifos[@]}"; do
  until_true 1200 grep -qx end "$tmp/$language.out" || {
    echo "$language did not get all $total messages; what each of the three printed:"
    tail -n 50 "$tmp"/{python,kotlin,swift}.{out,err}
    exit 1
  }
done
"$donp" -p hub --json history all --limit 100 |
  jq -r 'select(.type == "message") | .id + " " + .text' >"$tmp/donp.out"
exec 3>&- 4>&- 5>&-

[ "$(wc -l <"$tmp/donp.out")" -eq $total ] || { echo "donp has $(wc -l <"$tmp/donp.out") of $total messages"; exit 1; }
for language in "${fifos[@]}"; do
  diff "$tmp/donp.out" <(grep -vx end "$tmp/$language.out") ||
    { echo "donp (left) and $language (right) differ"; exit 1; }
done
cut -d' ' -f2- "$tmp/donp.out"
echo "together: python, kotlin, swift and donp show the same $total messages in the same order"
