#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Everything that is tested, at length: hours of two cores. .ci/run is the short form. It writes a table of the run to
# docs/nightly.md.
#   tools/nightly.sh [SECONDS]    SECONDS each fuzzer runs (default 120)
set -u
cd "$(dirname "$0")/.."
. .ci/steps.sh
seconds=${1:-120}
export CI=true # what would be skipped for want of data fails

kernels() { build/release/tests/check/check --cases 5000 && build/clang/tests/check/check --cases 5000; }

step "packages" tools/install-deps.sh ci
step "all tests, gcc" preset release .
step "all tests, clang" preset clang .
step "all tests, address and undefined-behaviour sanitizers" preset asan .
step "all tests but the kernel check, thread sanitizer" preset tsan "unit|golden|cli|fuzz"
step "5,000 cases of every kernel version, gcc and clang" kernels
step "every fuzzer, $seconds seconds" tools/fuzz.sh "$seconds"
step "every AVX-512 version on an emulated CPU" tools/emulate-avx512.sh build/release
step "400 cases of every NEON version, and the runtime, under qemu-user" tools/check-aarch64.sh 400

cat >docs/nightly.md <<END
# The last long run

\`tools/nightly.sh $seconds\` at $(git log -1 --format=%h), $(date +%F), $(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -1), $(nproc) cores.

| step | result | time |
|---|---|---|
$report
$passed passed, $failed failed.
END
summary
