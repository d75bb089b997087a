# SPDX-License-Identifier: Apache-2.0
# What .ci/run and tools/nightly.sh share: counted steps, and builds with their tests. Sourced by bash in the top directory.

passed=0 failed=0

# step NAME COMMAND...: runs it and counts; what it took stands in $report, a line of Markdown a step, and the end of what
# a failed one printed in $failures, to be said again at the end, where a log that was cut still has it
report= failures=
step() {
    local name=$1 start=$SECONDS result=passed
    shift
    mkdir -p build
    echo "== $name"
    "$@" 2>&1 | tee build/step.log
    if [ "${PIPESTATUS[0]}" = 0 ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        result=FAILED
        failures+="== $name: the end of its output"$'\n'"$(tail -60 build/step.log)"$'\n'
    fi
    echo "== $name: $result, $((SECONDS - start)) s"
    report+="| $name | $result | $((SECONDS - start)) s |"$'\n'
}

# the last words of a run; its exit code
summary() {
    printf '%s' "$failures"
    echo "$passed passed, $failed failed"
    [ "$failed" = 0 ]
}

# preset NAME [LABELS]: builds with a preset and runs the tests with these labels; a label none of whose tests ran fails
preset() {
    cmake --preset "$1" >/dev/null && cmake --build --preset "$1" -- -k 0 >build/"$1".log 2>&1 || {
        grep -E 'error|warning' -A3 build/"$1".log | head -40
        return 1
    }
    [ -z "${2:-}" ] || ctest --preset "$1" -L "$2"
}
