#!/usr/bin/env bash
# in-root.sh CMD…: runs CMD in this folder, with Swift. Where `swift` is on the path that is all; else
# CMD runs inside the root that root.sh makes, where this folder is /src.
#
# Inside are the host's network, the variables that start with DONP_, and the folder $DONP_SHARED (if
# set) at its own path, writable, for exchanging files. /tmp and /root are empty and vanish at the end.
set -euo pipefail
cd "$(dirname "$0")"

[ $# -gt 0 ] || { echo "usage: in-root.sh CMD…" >&2; exit 2; }
[[ ${DONP_SHARED:-/} = /* ]] || { echo "in-root.sh: DONP_SHARED must be an absolute path" >&2; exit 2; }
command -v swift >/dev/null && exec "$@"

./root.sh >&2
root=$(realpath "${DONP_SWIFT_ROOT:-../../target/swift-root}")

# A user that is not root becomes it in a namespace of its own.
namespace=(--mount)
[ "$(id -u)" = 0 ] || namespace+=(--map-root-user)

# The command sees a fresh tree in memory into which the root's folders are bound read-only: nothing it
# does changes the root, and the mounts, private to it, go when it ends. The package is always at /src,
# as Swift's module cache holds absolute paths.
# shellcheck disable=SC2016 # expands inside
exec unshare "${namespace[@]}" bash -euc '
  root=$1 src=$2 top=$1/mnt; shift 2
  mount -t tmpfs -o mode=755 tmpfs "$top"
  cp -P "$root"/{bin,sbin,lib*} "$top"
  mkdir "$top"/{usr,etc,var,proc,dev,src,root} && mkdir -m 1777 "$top/tmp"
  for part in usr etc var; do
    mount --bind "$root/$part" "$top/$part"
    mount -o remount,bind,ro "$top/$part"
  done
  mount --rbind /proc "$top/proc" # Swift finds its own libraries through it
  mount --rbind /dev "$top/dev"
  mount --bind "$src" "$top/src"
  if [ -n "${DONP_SHARED:-}" ]; then
    mkdir -p "$top$DONP_SHARED"
    mount --bind "$DONP_SHARED" "$top$DONP_SHARED"
  fi
  kept=()
  for name in "${!DONP_@}"; do kept+=("$name=${!name}"); done
  exec chroot "$top" env -i HOME=/root PATH=/usr/bin:/bin LANG=C.UTF-8 "${kept[@]}" \
    sh -c "cd /src && exec \"\$@\"" sh "$@"
' in-root "$root" "$PWD" "$@"
