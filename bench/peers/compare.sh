#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A model in Espalier and in ONNX Runtime, one core, in turns A B A B: tables of medians and of ratios.
#
#   compare.sh CHECKPOINT ESPALIER PEERS [BATCHxLENGTH...]
#
# CHECKPOINT  a dense DistilBERT or BERT directory with a question-answering head, fp32, vocab.txt; for example of
#             espalier init distilbert-base --random-vocab --head qa -o DIR
# ESPALIER    the program
# PEERS       the folder with onnxruntime/bench.mjs and onnxruntime/make_graph.py
# Shapes: 1x32 1x128 8x128 1x384 where none are given.
# Of the checkpoint are made: ONNX graphs in fp32, dynamic int8 and static int8; compiled files in fp32, int8 dense, and
# int8 of the checkpoint pruned to 80 % and 90 % 4x1. Needs node, npm (onnxruntime-node is installed into a scratch
# folder) and python3 with onnx and numpy: tools/install-deps.sh bench.
# CORE=n picks the core (0), ROUNDS the turns (3), SECONDS_EACH the time of a measurement (1), PYTHON the interpreter,
# DATA a SQuAD file to calibrate on (random words of the vocabulary), SCRATCH a folder to keep and reuse.
set -eu

[ $# -ge 3 ] || { sed -n '3,17s/^# \{0,1\}//p' "$0" >&2; exit 2; }
here=$(dirname "$(realpath "$0")")
checkpoint=$(realpath "$1") espalier=$(realpath "$2") peers=$(realpath "$3")
shift 3
shapes=${*:-1x32 1x128 8x128 1x384}
core=${CORE:-0} rounds=${ROUNDS:-3} seconds=${SECONDS_EACH:-1} python=${PYTHON:-/usr/bin/python3}
data=${DATA:+$(realpath "$DATA")}

if [ -n "${SCRATCH:-}" ]; then
    scratch=$SCRATCH
    mkdir -p "$scratch"
else
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    trap 'exit 1' INT TERM
fi
cd "$scratch"

# once FILE COMMAND...: makes it unless a former run has left it
once() {
    file=$1
    shift
    [ -e "$file" ] || { echo "making $file" >&2; "$@" >/dev/null; }
}

cp "$peers/onnxruntime/bench.mjs" "$peers/onnxruntime/make_graph.py" .
once node_modules/onnxruntime-node npm install --ignore-scripts --silent onnxruntime-node
once fp32.onnx "$python" make_graph.py "$checkpoint" fp32.onnx --mode fp32
once dynamic.onnx "$python" make_graph.py "$checkpoint" dynamic.onnx --mode dynamic
once taps.onnx "$python" make_graph.py "$checkpoint" taps.onnx --mode fp32 --taps
once ranges.json node bench.mjs calibrate taps.onnx ranges.json
once static.onnx "$python" make_graph.py "$checkpoint" static.onnx --mode static --ranges ranges.json

[ -n "$data" ] || { data=questions.json; once questions.json "$python" "$here/random_squad.py" "$checkpoint" questions.json; }
once fp32.esp "$espalier" compile "$checkpoint" -o fp32.esp --precision fp32
once dense.esp "$espalier" compile "$checkpoint" -o dense.esp --calibrate "$data" --samples 32
for percent in 80 90; do
    once "pruned$percent" "$espalier" prune "$checkpoint" --sparsity "0.$percent" --pattern 4x1 --scope uniform \
        -o "pruned$percent" --quiet
    once "sparse$percent.esp" "$espalier" compile "pruned$percent" -o "sparse$percent.esp" --calibrate "$data" \
        --samples 32 --sparse always
done

# A raised priority where it is allowed; a sibling job costs up to half of the speed.
nice -n -10 true 2>/dev/null && run="nice -n -10 taskset -c $core" || run="taskset -c $core"
median() { sed -n 's/.*"median_ms": *\([0-9.]*\).*/\1/p'; }
middle() { sort -n | awk '{v[NR] = $1} END {print (NR % 2) ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2}'; }

# time_one FILE: the median of a process, in milliseconds
time_one() {
    case $1 in
    *.onnx) $run node bench.mjs time "$1" "$batch" "$length" 1 "$seconds" ;;
    *) $run "$espalier" bench "$1" --batch "$batch" --length "$length" --threads 1 --seconds "$seconds" --json ;;
    esac | median
}

"$espalier" --version
echo "ONNX Runtime $(sed -n 's/.*"version": *"\(.*\)".*/\1/p' node_modules/onnxruntime-node/package.json), node $(node --version)"
sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1
"$espalier" bench dense.esp --length 1 --threads 1 --seconds 0 --json | sed -n 's/.*"isa":"\([^"]*\)".*/instruction set: \1/p'

rm -f ratios.txt
engines="fp32.onnx dynamic.onnx static.onnx checkpoint fp32.esp dense.esp sparse80.esp sparse90.esp"
[ -e checkpoint ] || ln -s "$checkpoint" checkpoint
printf '\nms: ONNX Runtime fp32, int8 dynamic, int8 static; Espalier checkpoint (fp32), compiled fp32, int8 dense, 80 %%, 90 %%\n'
for shape in $shapes; do
    batch=${shape%x*} length=${shape#*x}
    for engine in $engines; do : >"$engine.ms"; done
    for round in $(seq "$rounds"); do
        for engine in $engines; do time_one "$engine" >>"$engine.ms"; done
    done
    line="$shape"
    for engine in $engines; do line="$line $(middle <"$engine.ms")"; done
    echo "$line" | awk '{printf "%-8s", $1; for (i = 2; i <= NF; i++) printf " %10.3f", $i; print ""}'
    echo "$line" >>ratios.txt
done
printf '\ntimes as fast as ONNX Runtime: fp32 of both; of its best int8: dense, 80 %%, 90 %%; of its fp32: 80 %%, 90 %%\n'
awk '{best = $3 < $4 ? $3 : $4; ours = $5 < $6 ? $5 : $6
      printf "%-8s %10.2f %10.2f %10.2f %10.2f %10.2f %10.2f\n", $1, $2 / ours, best / $7, best / $8, best / $9, $2 / $8, $2 / $9}' ratios.txt
