#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs every fuzzer from its corpus for some seconds, under the address and undefined-behaviour sanitizers. What one finds
# stays in build/fuzz/found; what is new in coverage is not kept.
#   tools/fuzz.sh SECONDS [NAME]...    NAME: fuzz_esp ...; without any: all
set -eu
cd "$(dirname "$0")/.."
[ $# -ge 1 ] || { sed -n '3,5s/^# \{0,1\}//p' "$0" >&2; exit 2; }
seconds=$1
shift
[ $# -ge 1 ] || set -- $(cd tests/fuzz && ls fuzz_*.c | sed 's/\.c$//')
mkdir -p build
cmake --preset fuzz >/dev/null
cmake --build --preset fuzz --target "$@" >build/fuzz.log 2>&1 || {
    grep -E 'error|warning' -A3 build/fuzz.log | head -40
    exit 1
}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir -p build/fuzz/found
failed=
for name; do
    mkdir "$scratch/$name"
    if build/fuzz/tests/"$name" -max_total_time="$seconds" -timeout=30 -rss_limit_mb=4096 -artifact_prefix=build/fuzz/found/ \
        "$scratch/$name" tests/fuzz/corpus/"${name#fuzz_}" >"$scratch/log" 2>&1; then
        echo "$name: $(sed -n 's/^Done \([0-9]* runs in [0-9]* second\).*/\1/p' "$scratch/log")s, nothing found"
    else
        grep -vE '^#[0-9]+' "$scratch/log" | tail -40
        echo "$name: FAILED"
        failed="$failed $name"
    fi
done
[ -z "$failed" ] || { echo "failed:$failed"; exit 1; }
