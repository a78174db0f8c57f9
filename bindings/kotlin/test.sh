#!/usr/bin/env bash
# Builds the package as users get it, and tests that: the jar, a program that depends on the installed jar,
# the Android archive's layout, the documentation, the scripts. Fails when anything of it cannot be done.
#
# Needs cargo, a JDK from 17 on, Maven, shellcheck, zip, unzip, binutils.
set -euo pipefail
cd "$(dirname "$0")"
top=$(cd ../.. && pwd)

for tool in cargo java mvn jar shellcheck zip unzip strip readelf; do
  command -v "$tool" > /dev/null || { echo "kotlin: $tool is missing" >&2; exit 1; }
done
unset RUST_BACKTRACE
shellcheck ./*.sh

DONP_BIN=$("$top/bindings/donp.sh")
export DONP_BIN
mvn() { command mvn -B -ntp -q -Dstyle.color=never "$@"; }

rm -rf target consumer/target
# The lines about simulate_crash on standard error belong to the tests.
failed=0
mvn install || failed=1

# The counts, also of a run that failed.
if compgen -G 'target/surefire-reports/TEST-*.xml' > /dev/null; then
  sed -n '/^<testsuite /,/>/p' target/surefire-reports/TEST-*.xml | tr '\n' ' ' |
    grep -o '<testsuite [^>]*>' | awk -v failed="$failed" '
      function n(name,   m) { match($0, " " name "=\"[0-9]+\""); m = substr($0, RSTART, RLENGTH); gsub(/[^0-9]/, "", m); return m + 0 }
      { tests += n("tests"); bad += n("failures") + n("errors") + n("skipped") }
      # A run that broke off is a failure of its own.
      END { bad += (failed && !bad); printf "kotlin: %d passed, %d failed\n", (tests > bad ? tests - bad : 0), bad; exit (bad > 0 || tests == 0) }' || failed=1
else
  echo "kotlin: 0 passed, 0 failed"
  failed=1
fi
[ "$failed" = 0 ] || { echo "kotlin: FAILED" >&2; exit 1; }

echo "kotlin: the library has $(stat -c %s target/native/linux-*/libdonp_ffi.so) bytes, the jar $(stat -c %s target/donp-0.1.0.jar)"

# A consumer, from outside.
mvn -f consumer/pom.xml clean compile
printed=$(mvn -f consumer/pom.xml exec:exec)
[[ $printed == *"bob received: hello"* ]] || { echo "kotlin: the consumer said: $printed" >&2; exit 1; }
echo "kotlin: a program with the installed jar works"

# The Android archive.
libs=target/jnilibs-test
mkdir -p "$libs/x86_64" "$libs.bad/x86_64"
echo 'int donp(void) { return 1; }' > target/empty.c
cc -shared -o "$libs/x86_64/libdonp_ffi.so" -Wl,-z,max-page-size=16384 target/empty.c
cc -shared -o "$libs.bad/x86_64/libdonp_ffi.so" -Wl,-z,max-page-size=4096 target/empty.c
if ./make-aar.sh "$libs.bad" 2> /dev/null; then echo "kotlin: an archive with a library not aligned to 16 KiB was made" >&2; exit 1; fi
./make-aar.sh "$libs" > /dev/null
for entry in AndroidManifest.xml classes.jar R.txt proguard.txt jni/x86_64/libdonp_ffi.so \
  META-INF/com/android/build/gradle/aar-metadata.properties; do
  unzip -l target/donp.aar "$entry" > /dev/null || { echo "kotlin: the archive lacks $entry" >&2; exit 1; }
done
unzip -p target/donp.aar classes.jar > target/aar-classes.jar
jar tf target/aar-classes.jar | grep -x 'org/donp/Node.class' > /dev/null
if jar tf target/aar-classes.jar | grep '\.so$'; then echo "kotlin: the archive's classes carry a library" >&2; exit 1; fi
echo "kotlin: the Android archive has the right layout (not run on a device)"

# The documentation: every public item has words and a page. What the compiler adds to enums has none.
command mvn -B -ntp dokka:dokka > target/dokka.log 2>&1 || { cat target/dokka.log >&2; exit 1; }
if grep WARNING target/dokka.log | grep -v -e '/values/#/ ' -e '/valueOf/#kotlin.String/ ' -e '/entries/#/ '; then
  echo "kotlin: the documentation has gaps" >&2
  exit 1
fi
java -cp "target/donp-0.1.0.jar:target/test-classes:target/test-lib/*:target/lib/*" org.donp.DocsCheckKt target/dokka
