#!/usr/bin/env bash
# Packs target/donp.aar from the classes of the built jar and the libraries in jniLibs/<abi>/:
#
#   bindings/kotlin/make-aar.sh [JNILIBS]
#
# On a machine with the NDK the libraries come from
#
#   cargo ndk -t arm64-v8a -t armeabi-v7a -t x86_64 -o bindings/kotlin/jniLibs rustc --profile dist -p donp-ffi --lib --crate-type cdylib
#
# Refuses a library whose segments are not aligned to 16 KiB, which Google Play does too. The layout is
# tested; that the archive runs on a device is not.
set -euo pipefail
cd "$(dirname "$0")"
libs=${1:-jniLibs}
jar=target/donp-0.1.0.jar
[ -f "$jar" ] || { echo "make-aar.sh: not built: run mvn package" >&2; exit 1; }
out=target/aar
rm -rf "$out" target/aar-classes target/donp.aar
mkdir -p "$out/META-INF/com/android/build/gradle" target/aar-classes
# The library for this machine's JVM stays out of an Android archive.
unzip -q "$jar" -d target/aar-classes -x 'META-INF/MANIFEST.MF' 'META-INF/maven/*' 'META-INF/proguard/*' '*.so'
find target/aar-classes -type d -empty -delete
jar --create --file "$out/classes.jar" --date 2000-01-01T00:00:00Z -C target/aar-classes .
cat > "$out/AndroidManifest.xml" <<'XML'
<manifest xmlns:android="http://schemas.android.com/apk/res/android" package="org.donp">
    <uses-sdk android:minSdkVersion="26" />
    <uses-permission android:name="android.permission.INTERNET" />
</manifest>
XML
: > "$out/R.txt"
cp consumer-rules.pro "$out/proguard.txt"
printf 'aarFormatVersion=1.0\naarMetadataVersion=1.0\nminCompileSdk=34\n' \
  > "$out/META-INF/com/android/build/gradle/aar-metadata.properties"
count=0
if [ -d "$libs" ]; then
  for so in "$libs"/*/libdonp_ffi.so; do
    [ -e "$so" ] || continue
    readelf -lW "$so" | awk -v f="$so" '
      function hex(text,   n, i) { for (i = 3; i <= length(text); i++) n = n * 16 + index("0123456789abcdef", substr(text, i, 1)) - 1; return n }
      $1 == "LOAD" { seen = 1; if (hex($NF) < 16384) bad = 1 }
      END { if (!seen || bad) { print "make-aar.sh: " f ": segments are not aligned to 16 KiB" > "/dev/stderr"; exit 1 } }'
    abi=$(basename "$(dirname "$so")")
    mkdir -p "$out/jni/$abi"
    cp "$so" "$out/jni/$abi/"
    count=$((count + 1))
  done
fi
[ "$count" -gt 0 ] || echo "make-aar.sh: no libraries in $libs: this archive is for checking its layout only" >&2
(cd "$out" && zip -qrX ../donp.aar .)
echo "target/donp.aar: $count libraries"
