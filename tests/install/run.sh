#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds the consumer and the examples against an installed tree with find_package and with pkg-config, shared and static,
# as C and as C++, the consumer within its own tree (add_subdirectory), too, and runs them on small models made on the spot.
#   tests/install/run.sh PREFIX
set -eu
prefix=$(cd "$1" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
examples=$here/../../examples
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
libdir=$(dirname "$(dirname "$(find "$prefix" -name espalier.pc | head -n 1)")")
fail() { echo "$*" >&2; exit 1; }

# ---- models ----------------------------------------------------------------------------------------------------------

printf '%s\n' '[PAD]' '[UNK]' '[CLS]' '[SEP]' '[MASK]' hello world '##s' who wrote it ada lovelace in 1843 . '?' \
    >"$work/vocab.txt"
printf '%s' '{"model_type":"distilbert","vocab_size":17,"dim":32,"n_layers":2,"n_heads":2,"hidden_dim":64,' \
    '"max_position_embeddings":64,"initializer_range":0.3}' >"$work/config.json"
for head in qa sequence none; do
    "$prefix/bin/espalier" init "$work/config.json" --head $head --vocab "$work/vocab.txt" --seed 3 -o "$work/$head"
    "$prefix/bin/espalier" compile "$work/$head" -o "$work/$head.esp" >/dev/null
done 2>"$work/log" || { cat "$work/log" >&2; exit 1; }

# ---- programs --------------------------------------------------------------------------------------------------------

# check DIR: every program there does what it says
check() {
    answer=$("$1/answer" "$work/qa.esp" "Who wrote it?" "Ada Lovelace wrote it in 1843.")
    echo "$answer" | grep -q '(score 0\.[0-9]*, bytes [0-9]* to [0-9]* of the passage)$' || fail "answer: \"$answer\""
    "$1/answer" "$work/qa.esp" "Who wrote it?" "" 2>"$work/error" && fail "answer: an empty passage was taken"
    grep -q 'context: expected a text, found an empty one' "$work/error" || fail "answer: $(cat "$work/error")"
    "$1/answer" "$work/qa" "Who?" "It." 2>"$work/error" && fail "answer: a checkpoint was taken as a model"
    grep -q 'qa: expected a compiled file, found a directory' "$work/error" || fail "answer: $(cat "$work/error")"
    "$1/answer" "$work/vocab.txt" "Who?" "It." 2>"$work/error" && fail "answer: vocab.txt was taken as a model"
    grep -q 'vocab.txt: not a compiled model' "$work/error" || fail "answer: $(cat "$work/error")"

    values=$("$1/raw_logits" "$work/qa.esp" 2,8,9,3 2,5,3 | grep -cE '^-?[0-9.e-]+$')
    [ "$values" = 14 ] || fail "raw_logits: expected 14 logits (start and end of 7 tokens), found $values"
    values=$("$1/raw_logits" "$work/none.esp" 2,8,9,3 2,5,3 | wc -l)
    [ "$values" = 64 ] || fail "raw_logits: expected 64 values (2 embeddings), found $values"
    "$1/raw_logits" "$work/qa.esp" 2,17,3 2>"$work/error" && fail "raw_logits: the id 17 was taken"
    grep -q 'expected an id from 0 to 16, found 17' "$work/error" || fail "raw_logits: $(cat "$work/error")"

    first=$(printf 'who wrote it\nhello worlds\nada lovelace in 1843\n' | "$1/rerank" "$work/none.esp" "Hello worlds" | head -n 1)
    [ "$first" = "1.0000 hello worlds" ] || fail "rerank: expected the equal text first, found \"$first\""

    for i in 1 2 3 4 5 6 7 8 9 10; do printf 'who wrote it?\tada lovelace wrote it in 1843. %d\n' $i; done >"$work/texts"
    "$1/threads" "$work/qa.esp" 1 <"$work/texts" >"$work/one"
    "$1/threads" "$work/qa.esp" 4 <"$work/texts" >"$work/four"
    cmp "$work/one" "$work/four"
    [ "$(grep -c '^{"score":' "$work/four")" = 10 ] || fail "threads: $(cat "$work/four")"
    "$1/threads" "$work/sequence.esp" 2 <"$work/vocab.txt" >"$work/labels"
    [ "$(grep -c '^{"label":' "$work/labels")" = 17 ] || fail "threads: $(cat "$work/labels")"
}

# check_consumer PROGRAM shared|static
check_consumer() {
    expected="[CLS] hello world ##s [SEP] "
    found=$("$1" "$work/vocab.txt" "Hello worlds")
    [ "$found" = "$expected" ] || fail "$1: expected \"$expected\", found \"$found\""
    if readelf -d "$1" | grep -q 'libespalier\.so'; then found=shared; else found=static; fi
    [ "$found" = "$2" ] || fail "$1: expected the $2 library, found the $found one"
}

# build SOURCE NAME
build() {
    cmake -S "$1" -B "$work/$2" -G Ninja -DCMAKE_PREFIX_PATH="$prefix" >/dev/null && cmake --build "$work/$2" >/dev/null
}
build "$here" consumer
build "$here/subdirectory" within
for project in consumer within; do
    for program in consumer consumer_cxx; do
        check_consumer "$work/$project/$program" shared
        check_consumer "$work/$project/${program}_static" static
    done
done
grep -iE 'dnnl|mpi_|cmocka' "$work/within/CMakeCache.txt" && fail "the library alone looks for what only creating needs"
build "$examples" examples
check "$work/examples"

# create: from a text to a compiled student, on what the demo begins with
"$prefix/bin/espalier" demo --quick -o "$work/demo" >/dev/null 2>"$work/log" || { cat "$work/log" >&2; exit 1; }
"$work/examples/create" "$work/demo" 10 >"$work/made.txt"
grep -q '^student: 80 % of the weights are gone' "$work/made.txt" || fail "create: $(cat "$work/made.txt")"
grep -q 'student.esp: F1 ' "$work/made.txt" || fail "create: $(cat "$work/made.txt")"
"$work/examples/create" "$work/demo" none 2>"$work/error" && fail "create: a directory that is there was taken"
rm -r "$work/demo/create"
"$work/examples/create" "$work/demo" none 2>"$work/error" && fail "create: no number of steps was taken"
grep -q -- '--max-steps: expected a whole number' "$work/error" || fail "create: $(cat "$work/error")"

export PKG_CONFIG_PATH="$libdir/pkgconfig" LD_LIBRARY_PATH="$libdir"
case $(pkg-config --cflags --libs espalier) in # nothing of the libraries it uses: their headers may not be there
*jansson* | *utf8proc* | *UTF8PROC*) fail "pkg-config: $(pkg-config --cflags --libs espalier)" ;;
esac
mkdir "$work/made"
cp "$examples"/*.c "$examples/Makefile" "$here/consumer.c" "$work/made"
CFLAGS=-Werror make -s -C "$work/made" PROGRAMS="answer raw_logits rerank threads consumer"
check_consumer "$work/made/consumer" shared
check "$work/made"
cp -r "$work/made" "$work/made_static"
rm "$work/made_static/consumer"
make -s -C "$work/made_static" clean
CFLAGS=-Werror make -s -C "$work/made_static" PROGRAMS="answer raw_logits rerank threads consumer" \
    LDFLAGS=-static LDLIBS="$(pkg-config --static --libs espalier)"
check_consumer "$work/made_static/consumer" static
check "$work/made_static"

# ---- the rest of the package -----------------------------------------------------------------------------------------

for page in man/man1/espalier.1 man/man1/espalier-run.1 bash-completion/completions/espalier zsh/site-functions/_espalier \
    fish/vendor_completions.d/espalier.fish; do
    test -f "$prefix/share/$page"
done
test -f "$prefix/share/espalier/recipes/distilbert-squad-80.json"
test -x "$prefix/bin/espalier"
"$prefix/bin/espalier" --version
