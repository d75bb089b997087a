#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Cross-builds for 64-bit ARM (the preset aarch64) and checks under qemu-user what runs compiled models there: the kernels on a
# CPU with i8mm and on one without, the suites of text, kernels, files and sessions, and that compiled reference models give
# the bytes they give here. Prints how many versions and tests there were; none fails.
#   tools/check-aarch64.sh [CASES]    random cases of each kernel version (default 40)
# Needs `tools/install-deps.sh aarch64` and this machine's program, build/release/espalier.
set -eu
cd "$(dirname "$0")/.."
cases=${1:-40}
models=../shared/reference/models least=7
[ -d $models ] || models=tests/data/reference/models least=1
build=build/aarch64
suites="test_unicode test_encode test_tokenizer_files test_tokenizer_settings test_tokenizer_tables test_tokenizer
    test_arm test_kernels test_panel_ops test_crc32c test_cpu_team test_file test_safetensors test_esp test_reference_models test_int8
    test_session test_api"

cmake --preset aarch64 >/dev/null
cmake --build --preset aarch64 -- -k 0 >$build.log 2>&1 || {
    grep -E 'error|warning' -A3 $build.log | head -40
    exit 1
}

log=$(mktemp)
trap 'rm -f "$log"' EXIT
failed=0
for cpu in max cortex-a76; do
    echo "-- kernels, $cpu"
    qemu-aarch64 -cpu $cpu $build/tests/check/check --cases "$cases" --seed 1 || failed=1
done

echo "-- broken kernels, which the check has to catch"
for mutant in $(sed -n 's/^CHECK_MUTANT([a-z0-9_]*, \([a-z0-9_]*\),.*/\1/p' tests/check/mutants/mutants.inc); do
    qemu-aarch64 -cpu max $build/tests/check/check --mutant "$mutant" --cases 100 --seed 1 >"$log" || failed=1
    tail -1 "$log"
done

export ESPALIER_TEST_EVERY=9 OMP_NUM_THREADS=1 # what is alike by the dozen; oneDNN's waiting threads would eat the emulator's time
for suite in $suites; do
    status=0
    qemu-aarch64 -cpu max $build/tests/"$suite" >"$log" 2>&1 || status=$?
    passed=$(sed -n 's/^\[  PASSED  \] \([0-9]*\) test(s).*/\1/p' "$log")
    echo "$suite: ${passed:-0} tests passed"
    if [ $status != 0 ] || [ "${passed:-0}" = 0 ]; then
        grep -E 'FAILED|ERROR|LINE|SKIPPED' "$log" || tail -5 "$log"
        failed=1
    fi
done

echo "-- the same bytes as here"
python3 -B tests/aarch64/same_bytes.py $least $models build/release/espalier "qemu-aarch64 -cpu max $build/espalier" \
    "qemu-aarch64 -cpu cortex-a76 $build/espalier" || failed=1
exit $failed
