#!/bin/sh
# Builds the consumer against an installed tree with find_package and with pkg-config, and runs both.
#   tests/install/run.sh PREFIX
set -eu
prefix=$(cd "$1" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
printf '[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nhello\nworld\n##s\n' >"$work/vocab.txt"
expected="[CLS] hello world ##s [SEP] "

check() {
    found=$("$@" "$work/vocab.txt" "Hello worlds")
    [ "$found" = "$expected" ] || { echo "expected \"$expected\", found \"$found\"" >&2; exit 1; }
}

cmake -S "$here" -B "$work/build" -G Ninja -DCMAKE_PREFIX_PATH="$prefix" >/dev/null
cmake --build "$work/build" >/dev/null
check "$work/build/consumer"
"$work/build/header"

libdir=$(dirname "$(find "$prefix" -name espalier.pc | head -n 1)")
flags=$(PKG_CONFIG_PATH="$libdir" pkg-config --cflags --libs --define-variable=prefix="$prefix" espalier)
# shellcheck disable=SC2086
cc -Wall -Wextra -Werror -o "$work/consumer" "$here/consumer.c" $flags
LD_LIBRARY_PATH=$(dirname "$libdir") check "$work/consumer"

test -f "$prefix/share/man/man1/espalier.1"
test -f "$prefix/share/espalier/recipes/distilbert-squad-80.json"
test -x "$prefix/bin/espalier"
"$prefix/bin/espalier" --version
