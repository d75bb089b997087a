#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs the Debian packages that building and testing need, when they are missing. README and .ci/run call it.
#   tools/install-deps.sh [build|check|bench|emulate|aarch64|ci]
#     build    what it takes to build and run the tests (default)
#     check    also clang, clang-format, the sanitizer runtimes, libabigail, mandoc and shells that continuous integration uses
#     bench    also what the comparisons with other engines use
#     emulate  also what tools/emulate-avx512.sh needs
#     aarch64  also what the preset aarch64 needs: a cross compiler, libraries of that architecture, an emulator
#     ci       what .ci/run needs: check, emulate and aarch64
set -eu

build="build-essential cmake ninja-build pkg-config git libdnnl-dev libjansson-dev libutf8proc-dev libcmocka-dev
    libopenmpi-dev openmpi-bin python3 python3-numpy xz-utils"
check="clang-14 clang-format-14 libclang-rt-14-dev abigail-tools mandoc zsh fish"
bench="nodejs npm python3-onnx python3-torch libopenblas0-pthread"
emulate="bochs bochs-term busybox-static cpio isolinux syslinux-common xorriso"
# The headers of oneDNN's arm64 package, the same as x86's, cannot stand beside them; nor can Open MPI's.
aarch64="gcc-aarch64-linux-gnu qemu-user libjansson-dev:arm64 libutf8proc-dev:arm64 libcmocka-dev:arm64 libdnnl2:arm64"

case "${1:-build}" in
build) packages=$build ;;
check) packages="$build $check" ;;
bench) packages="$build $bench" ;;
emulate) packages="$build $emulate" ;;
aarch64) packages="$build $aarch64" ;;
ci) packages="$build $check $emulate $aarch64" ;;
*)
    echo "usage: tools/install-deps.sh [build|check|bench|emulate|aarch64|ci]" >&2
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
case $missing in
*:arm64*) $sudo dpkg --add-architecture arm64 ;;
esac
$sudo apt-get update -qq
$sudo apt-get install -y -qq --no-install-recommends $missing >&2
