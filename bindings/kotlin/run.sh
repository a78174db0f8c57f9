#!/usr/bin/env bash
# Runs one of the examples, or the benchmark, from what `mvn package` built:
#
#   bindings/kotlin/run.sh Echo [FOLDER [LISTEN [INVITATION]]]
#   bindings/kotlin/run.sh Talk --name NAME --join PLACE --say N --expect TOTAL
#   bindings/kotlin/run.sh Bench
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
case ${1:-} in
  Echo) main=org.donp.examples.echo.EchoKt ;;
  Talk) main=org.donp.examples.talk.TalkKt ;;
  Bench) main=org.donp.bench.BenchKt ;;
  *) sed -n '2,6s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
shift
jar=$here/target/donp-0.1.0.jar
[ -f "$jar" ] || { echo "run.sh: not built: run mvn -f $here package" >&2; exit 1; }
exec java -cp "$jar:$here/target/test-classes:$here/target/lib/*" "$main" "$@"
