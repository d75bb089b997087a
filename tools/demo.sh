#!/bin/sh
# The run journey on data made on the spot: vocabulary, checkpoint, tokenizer, answers, metric. Needs nothing but the
# program.   tools/demo.sh PROGRAM
#
# The checkpoint has random weights, so its answers are guesses; what is shown is the way from text to answer.
set -eu
espalier=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
show() {
    printf '$ espalier %s\n' "$*" | sed "s|$work/||g"
    "$espalier" "$@"
}

# 300 little articles about who made what, where and when, each with two questions: SQuAD format and plain text.
awk -v text="$work/text.txt" -v squad="$work/dev.json" 'BEGIN {
    srand(7)
    people = split("Ada Lovelace,Charles Babbage,Grace Hopper,Alan Turing,Emmy Noether,Kurt Goedel,Mary Somerville", who, ",")
    things = split("the engine,a clock,the first compiler,a telescope,the long bridge,a theorem,the lighthouse", what, ",")
    places = split("London,Paris,Vienna,Bath,Philadelphia,Goettingen,Florence", where, ",")
    printf "{\"version\": \"1.1\", \"data\": [{\"title\": \"demo\", \"paragraphs\": [" > squad
    for (i = 0; i < 300; i++) {
        p = who[1 + int(rand() * people)]; t = what[1 + int(rand() * things)]; w = where[1 + int(rand() * places)]
        y = 1700 + int(rand() * 250)
        before = sprintf("In %d, after years of work in %s, ", y, w)
        context = before p " finished " t ". It was shown to the public and can still be seen today."
        print context " Who finished " t "? When was it finished?" > text
        printf "%s{\"context\": \"%s\", \"qas\": [{\"id\": \"who%d\", \"question\": \"Who finished %s?\", \"answers\": [{\"text\": \"%s\", \"answer_start\": %d}]}, {\"id\": \"when%d\", \"question\": \"When was %s finished?\", \"answers\": [{\"text\": \"%d\", \"answer_start\": 3}]}]}", (i ? ", " : ""), context, i, t, p, length(before), i, t, y > squad
    }
    printf "]}]}\n" > squad
}'

say "1. A WordPiece vocabulary from text"
show vocab "$work/text.txt" --size 400 -o "$work/vocabulary"

say "2. A checkpoint with random weights (Hugging Face layout)"
show init bert-mini --head qa --vocab "$work/vocabulary" --seed 1 -o "$work/model"
ls "$work/model"
show info "$work/model" | head -8

say "3. Text to tokens"
echo '{"text": "Who finished the clock?"}' | show tokenize "$work/model"

say "4. A question, answered (by a model that knows nothing yet)"
echo '{"id": 1, "question": "Who finished the clock?", "context": "In 1843, Ada Lovelace finished the clock."}' |
    show run "$work/model"

say "5. The official SQuAD metric on 600 questions"
show eval "$work/model" --task qa --data "$work/dev.json"
