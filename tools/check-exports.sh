#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The shared library exports esp_ names only; the static one, whose inner names are seen by a program's, esp_ and espi_, beside
# names with a dot, which are the compiler's and none of C's (clang's resolvers of cloned functions).
#   tools/check-exports.sh LIBRARY…
set -eu
for library; do
    case $library in
    *.a) table=-g prefix='\(espi\?_\|.*\.\)' ;;
    *) table=-D prefix=esp_ ;;
    esac
    names=$(nm $table --defined-only "$library" | awk 'NF == 3 {print $3}')
    [ -n "$names" ] || { echo "$library: exports nothing" >&2; exit 1; }
    foreign=$(echo "$names" | grep -v "^$prefix" || true)
    [ -z "$foreign" ] || { echo "$library: exported without the prefix:" $foreign >&2; exit 1; }
done
