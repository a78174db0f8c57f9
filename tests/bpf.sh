#!/usr/bin/env bash
# Type-checks the core for a bare-metal target, which has `core` and `alloc` and no `std` at all: a
# dependency that uses std cannot hide there. The target is bpfel-unknown-none, as Debian packages a
# compiler for it. Its packages are unpacked under target/, never installed: rustc stays the machine's.
set -euo pipefail
cd "$(dirname "$0")/.."

target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
debian=$target/bpf-rustc
packages=(rustc-web libstd-rust-web-dev-bpf)

die() {
  echo "bpf.sh: $*" >&2
  exit 1
}

# Prints what apt would install for those packages: them, and what they need that this machine lacks.
# A line "Inst NAME [VERSION] …" is an upgrade; those are none of our business.
needed() { apt-get install --simulate --no-install-recommends "${packages[@]}" | sed -n 's/^Inst \([^ ]*\) (.*/\1/p'; }

download() {
  local names
  names=$(needed) && [ -n "$names" ] && (cd "$debian.part/debs" && xargs apt-get download -q <<<"$names")
}

if [ ! -e "$debian" ]; then
  rm -rf "$debian.part"
  mkdir -p "$debian.part/debs"
  # On a bare machine apt has no lists yet, and old lists name versions that are gone.
  download || { apt-get update -q && download; } || die "cannot download ${packages[*]}"
  for deb in "$debian.part"/debs/*.deb; do dpkg -x "$deb" "$debian.part"; done
  rm -r "$debian.part/debs"
  mv -T "$debian.part" "$debian" # last, so that a half-made one is never taken for whole
fi

libraries=("$debian"/usr/lib/*-linux-gnu)
export RUSTC=$debian/usr/bin/rustc LD_LIBRARY_PATH=${libraries[0]}
"$RUSTC" --version

# Nothing is run here but proc macros and build scripts: optimising those would take most of the time.
check() { cargo check --config 'profile.dev.package."*".opt-level=0' --target bpfel-unknown-none --target-dir "$target/bpf" "$@"; }

check --locked --package donp-core

# The check must be able to fail, and for this reason: there is no std to be found.
std=$target/bpf-needs-std
mkdir -p "$std/src"
printf '[workspace]\n[package]\nname = "needs-std"\nedition = "2024"\n' >"$std/Cargo.toml"
printf 'pub fn greeting() -> std::string::String { "hi".into() }\n' >"$std/src/lib.rs"
if out=$(check --manifest-path "$std/Cargo.toml" 2>&1); then die "a crate that needs std passed: the check proves nothing"; fi
grep -qF "can't find crate for \`std\`" <<<"$out" || die "a crate that needs std failed for another reason: $out"
echo "bpf.sh: the core passes, a crate that needs std does not"
