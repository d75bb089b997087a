# SPDX-License-Identifier: Apache-2.0
# What .ci/run and tools/nightly.sh share: counted steps, and builds with their tests. Sourced by bash in the top directory.

passed=0 failed=0

# step NAME COMMAND...: runs it and counts; what it took stands in $report, a line of Markdown a step
report=
step() {
    local name=$1 start=$SECONDS result=passed
    shift
    echo "== $name"
    if "$@"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        result=FAILED
    fi
    echo "== $name: $result, $((SECONDS - start)) s"
    report+="| $name | $result | $((SECONDS - start)) s |"$'\n'
}

# preset NAME [LABELS]: builds with a preset and runs the tests with these labels; a label none of whose tests ran fails
preset() {
    cmake --preset "$1" >/dev/null && cmake --build --preset "$1" -- -k 0 >build/"$1".log 2>&1 || {
        grep -E 'error|warning' -A3 build/"$1".log | head -40
        return 1
    }
    [ -z "${2:-}" ] || ctest --preset "$1" -L "$2"
}
