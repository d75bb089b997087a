#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The fp32 encoder against ONNX Runtime, one core, in turns A B A B; a table of medians and ratios.
#
#   onnxruntime.sh CHECKPOINT BENCH PEERS [ROUNDS]
#
# CHECKPOINT  a DistilBERT or BERT directory (question answering or bare), model.safetensors in fp32
# BENCH       the program bench_encoder
# PEERS       the folder with onnxruntime/bench.mjs and onnxruntime/make_graph.py
# Needs node, npm (onnxruntime-node is installed into a scratch folder) and python3 with onnx and numpy.
# CORE=n picks the core (0), PYTHON the interpreter, SCRATCH a folder to keep and reuse instead of a temporary one.
set -eu

[ $# -ge 3 ] || { sed -n '3,11s/^# \{0,1\}//p' "$0" >&2; exit 2; }
checkpoint=$(realpath "$1") bench=$(realpath "$2") peers=$(realpath "$3") rounds=${4:-3}
core=${CORE:-0} python=${PYTHON:-/usr/bin/python3}

if [ -n "${SCRATCH:-}" ]; then
    scratch=$SCRATCH
    mkdir -p "$scratch"
else
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    trap 'exit 1' INT TERM
fi
cd "$scratch"
cp "$peers/onnxruntime/bench.mjs" "$peers/onnxruntime/make_graph.py" .
[ -d node_modules/onnxruntime-node ] || npm install --ignore-scripts --silent onnxruntime-node >&2
"$python" make_graph.py "$checkpoint" fp32.onnx --mode fp32

# A raised priority where it is allowed; a sibling job costs up to half of the speed.
nice -n -10 true 2>/dev/null && run="nice -n -10 taskset -c $core" || run="taskset -c $core"
median() { sed -n 's/.*"median_ms": *\([0-9.]*\).*/\1/p'; }
middle() { sort -n | awk '{v[NR] = $1} END {print (NR % 2) ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2}'; }

printf '%-10s %16s %16s %8s\n' 'batch x L' 'espalier ms' 'onnxruntime ms' 'ratio'
for shape in '1 32' '1 128' '1 384' '8 128' '16 384'; do
    set -- $shape
    : >ours.txt
    : >theirs.txt
    for round in $(seq "$rounds"); do
        $run "$bench" --checkpoint "$checkpoint" --batch "$1" --length "$2" --threads 1 --matmul 0 2>/dev/null |
            median >>ours.txt
        $run node bench.mjs time fp32.onnx "$1" "$2" 1 | median >>theirs.txt
    done
    ours=$(middle <ours.txt) theirs=$(middle <theirs.txt)
    printf '%-10s %16s %16s %8s\n' "$1 x $2" "$ours" "$theirs" "$(awk "BEGIN {printf \"%.2f\", $theirs / $ours}")"
done
