#!/usr/bin/env bash
# Builds the package and prints the rows of its benchmark, one JSON line each.
set -euo pipefail
cd "$(dirname "$0")"
mvn -B -ntp -q package >&2
exec ./run.sh Bench
