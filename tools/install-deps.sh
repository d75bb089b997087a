#!/bin/sh
# Installs the Debian packages that building and testing need, when they are missing. README and .ci/run call it.
#   tools/install-deps.sh [build|check|bench|emulate|ci]
#     build    what it takes to build and run the tests (default)
#     check    also clang, clang-format and the sanitizer runtimes that continuous integration uses
#     bench    also what the comparisons with other engines use
#     emulate  also what tools/emulate-avx512.sh needs
#     ci       what .ci/run needs: check and emulate
set -eu

build="build-essential cmake ninja-build pkg-config git libdnnl-dev libjansson-dev libutf8proc-dev libcmocka-dev
    libopenmpi-dev openmpi-bin python3 python3-numpy xz-utils"
check="clang-14 clang-format-14 libclang-rt-14-dev"
bench="nodejs npm python3-onnx python3-torch libopenblas0-pthread"
emulate="bochs bochs-term busybox-static cpio isolinux syslinux-common xorriso"

case "${1:-build}" in
build) packages=$build ;;
check) packages="$build $check" ;;
bench) packages="$build $bench" ;;
emulate) packages="$build $emulate" ;;
ci) packages="$build $check $emulate" ;;
*)
    echo "usage: tools/install-deps.sh [build|check|bench|emulate|ci]" >&2
    exit 2
    ;;
esac

missing=
for package in $packages; do
    # a program that is there in another way (a newer cmake, a node of one's own) is as good as its package
    case $package in
    cmake | git | npm) command -v "$package" >/dev/null && continue ;;
    nodejs) command -v node >/dev/null && continue ;;
    ninja-build) command -v ninja >/dev/null && continue ;;
    esac
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done
[ -z "$missing" ] && exit 0

sudo=
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || {
        echo "missing packages:$missing; run as root: apt-get install$missing" >&2
        exit 1
    }
    sudo=sudo
fi
echo "installing:$missing" >&2
export DEBIAN_FRONTEND=noninteractive
$sudo apt-get update -qq
$sudo apt-get install -y -qq --no-install-recommends $missing >&2
