#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# espalier.h and espalier_create.h alone, as C from C99 on and as C++ from C++11 on, without a warning; an includer's macros stay its own. Its structs
# have no padding, where a member of a later version would find whatever an earlier program has left there.
#   tests/install/header.sh INCLUDE_DIR C_COMPILER [C++_COMPILER]
set -eu
include=$1 cc=$2 cxx=${3:-}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

for header in espalier.h espalier_create.h; do
sed "s/HEADER/$header/" >"$work/header.c" <<'END'
#define X 42
#define OK "curses has it"
#define ERR_IO ERR_MEMORY
#include <HEADER>
#include <HEADER>
#if X != 42
#error "X is another one"
#endif
extern const int statuses[3];
const int statuses[3] = {ESP_OK, ESP_ERR_IO, ESP_ERR_MEMORY};
extern const char *const own;
const char *const own = OK;
typedef char right[ESP_ERR_IO == -3 && ESP_ERR_MEMORY == -2 ? 1 : -1];
#ifdef ESP_STATUS_CODE_
#error "a macro of the header's own is left"
#endif
END
cp "$work/header.c" "$work/header.cc"

strict="-Wall -Wextra -Wshadow -Wundef -Wpadded -pedantic -pedantic-errors -Werror -fsyntax-only -I$include"
for standard in c99 gnu99 c11 gnu11 c17 gnu17 c2x; do
    # shellcheck disable=SC2086
    "$cc" -std=$standard $strict -Wstrict-prototypes "$work/header.c"
done
[ -n "$cxx" ] || { echo "no C++ compiler: only C was tried"; continue; }
for standard in c++11 c++14 c++17 c++20; do
    # shellcheck disable=SC2086
    "$cxx" -std=$standard $strict -Wold-style-cast "$work/header.cc"
done
done
