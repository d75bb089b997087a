#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Fine-tuning steps of espalier and of PyTorch on the same shape, by turns in one run: milliseconds a step, ratio, memory.
#
#   bench/peers/pytorch_train.sh BENCH [CONFIG [BATCH [LENGTH [THREADS [ROUNDS [STEPS]]]]]]
#
# BENCH is the built bench_train (build/release/bench/bench_train); then distilbert-base 16 128 2 3 3. PyTorch and an
# OpenBLAS come from tools/install-deps.sh bench. First each way of running PyTorch is timed once (one thread or all,
# linear layers by BLAS or oneDNN, AdamW by loop or foreach) and the fastest is taken; CHOICE="--threads 2 --linear onednn
# --adamw foreach" names one instead. PYTHON picks the interpreter.
set -eu

[ $# -ge 1 ] || { sed -n '3,11s/^# \{0,1\}//p' "$0" >&2; exit 2; }
bench=$1 config=${2:-distilbert-base} batch=${3:-16} length=${4:-128} threads=${5:-2} rounds=${6:-3} steps=${7:-3}
python=${PYTHON:-/usr/bin/python3} peer=$(dirname "$0")/pytorch_train.py
for variable in $(env | sed -n 's/^\(\(OPENBLAS\|GOTO\|OMP\)_[A-Z_]*\)=.*/\1/p'); do unset "$variable"; done

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
trap 'exit 1' INT TERM
shape="--config $config --batch $batch --length $length"
field() { sed -n 's/.*"'"$1"'": *\([0-9.]*\).*/\1/p'; }
middle() { sort -n | awk '{v[NR] = $1} END {print (NR % 2) ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2}'; }
most() { sort -n | tail -1; }

choice=${CHOICE:-}
if [ -z "$choice" ]; then
    for team in $(echo "1 $threads" | tr ' ' '\n' | sort -u); do
        for linear in blas onednn; do
            for adamw in loop foreach; do
                way="--threads $team --linear $linear --adamw $adamw"
                ms=$("$python" "$peer" $shape $way --steps "$steps" | field min_ms)
                echo "$ms $way" | tee -a "$scratch/ways" >&2
            done
        done
    done
    choice=$(sort -n "$scratch/ways" | head -1 | cut -d' ' -f2-)
fi

for round in $(seq "$rounds"); do
    "$bench" $shape --threads "$threads" --steps "$steps" --matmul 0 | tee -a "$scratch/ours" >&2
    "$python" "$peer" $shape $choice --steps "$steps" | tee -a "$scratch/theirs" >&2
done
for engine in ours theirs; do
    for name in median_ms peak_mb; do field $name <"$scratch/$engine" >"$scratch/$engine.$name"; done
done
ours=$(middle <"$scratch/ours.median_ms") theirs=$(middle <"$scratch/theirs.median_ms")
echo "PyTorch: $choice"
printf '%-18s %9s %9s %12s %12s %7s %12s %12s\n' config 'batch x L' threads 'espalier ms' 'pytorch ms' ratio \
    'espalier MB' 'pytorch MB'
printf '%-18s %9s %9s %12s %12s %7s %12s %12s\n' "$config" "$batch x $length" "$threads" "$ours" "$theirs" \
    "$(awk "BEGIN {printf \"%.2f\", $theirs / $ours}")" "$(most <"$scratch/ours.peak_mb")" \
    "$(most <"$scratch/theirs.peak_mb")"
