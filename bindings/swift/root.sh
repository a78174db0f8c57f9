#!/usr/bin/env bash
# Makes a Debian trixie root that has Swift (about 3 GB), for machines without `swift` on the path.
# Does nothing where a complete one stands. in-root.sh calls this and runs commands in it.
#
# DONP_SWIFT_ROOT: an absolute path, where it is to stand instead of target/swift-root in the repository.
set -euo pipefail

top=$(cd "$(dirname "$0")/../.." && pwd)
root=$(realpath -m "${DONP_SWIFT_ROOT:-$top/target/swift-root}")
# Swift compiles against the C library's headers and links with the start files of both; its package
# asks for neither.
suite=trixie packages=swiftlang,libc6-dev,libstdc++-14-dev
# Says what was asked for: a change of it here gives a new root, not the old one.
stamp=etc/donp-swift-root want="$suite $packages"

die() {
  echo "root.sh: $*" >&2
  exit 1
}

[[ ${DONP_SWIFT_ROOT:-/} = /* ]] || die "DONP_SWIFT_ROOT must be an absolute path"
mkdir -p "$(dirname "$root")"
exec 9<"$(dirname "$root")"
flock 9 # two at once: the second waits, and then finds the root made
[ "$(cat "$root/$stamp" 2>/dev/null)" != "$want" ] || exit 0

[ -e "$root/$stamp" ] || [ -z "$(ls -A "$root" 2>/dev/null)" ] ||
  die "$root is in the way: not empty, and not a root made here"
[ "$(id -u)" = 0 ] || die "making a root takes root rights"
command -v debootstrap >/dev/null || die "debootstrap is missing (a Debian package)"

# The mirror that apt uses on this machine can be reached from it; else debootstrap's own default.
# shellcheck disable=SC2016 # apt expands it
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Label: Debian' \
  2>/dev/null | sed -n 1p) || mirror=

# Made beside its place and moved there when it is whole, so that no run meets a half-made one. What
# debootstrap mounts lives in a namespace of its own, and goes when it is killed.
part=$root.part
echo "root.sh: $want into $root"
made=no
for wait in 10 60 0; do # a mirror that fails once may answer a moment later; Swift alone has 200 MB
  rm -rf --one-file-system "$part"
  unshare -m debootstrap --force-check-gpg --variant=minbase --include="$packages" "$suite" "$part" \
    ${mirror:+"$mirror"} && made=yes && break
  sleep "$wait"
done
[ $made = yes ] || die "debootstrap failed three times; its log is in $part/debootstrap"
rm -f "$part"/var/cache/apt/archives/*.deb
echo "$want" >"$part/$stamp"
rm -rf --one-file-system "$root"
mv -T "$part" "$root"
