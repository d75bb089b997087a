#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Fine-tuning steps of espalier (fp32 and, where the CPU has it, bf16) and of PyTorch (fp32) on the same shape, by turns in
# one run: milliseconds a step, ratio, memory.
#
#   bench/peers/pytorch_train.sh BENCH [CONFIG [BATCH [LENGTH [THREADS [ROUNDS [STEPS]]]]]]
#
# BENCH is the built bench_train (build/release/bench/bench_train); then distilbert-base 16 128 2 3 3. PyTorch and an
# OpenBLAS come from tools/install-deps.sh bench. First each way of running PyTorch is timed once (one thread or all,
# linear layers by BLAS or oneDNN, AdamW by loop or foreach) and the fastest is taken; CHOICE="--threads 2 --linear onednn
# --adamw foreach" names one instead. PYTHON picks the interpreter.
set -eu

[ $# -ge 1 ] || { sed -n '3,12s/^# \{0,1\}//p' "$0" >&2; exit 2; }
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

computes=fp32
if grep -qE 'avx512_bf16|amx_bf16' /proc/cpuinfo; then computes="fp32 bf16"; fi
for round in $(seq "$rounds"); do
    for compute in $computes; do
        "$bench" $shape --threads "$threads" --steps "$steps" --matmul 0 --compute "$compute" |
            tee -a "$scratch/$compute" >&2
    done
    "$python" "$peer" $shape $choice --steps "$steps" | tee -a "$scratch/pytorch" >&2
done
theirs=$(field median_ms <"$scratch/pytorch" | middle)
echo "PyTorch (fp32): $choice"
printf '%-18s %9s %9s %9s %12s %12s %7s %12s %12s\n' config 'batch x L' threads espalier 'espalier ms' 'pytorch ms' ratio \
    'espalier MB' 'pytorch MB'
for compute in $computes; do
    ours=$(field median_ms <"$scratch/$compute" | middle)
    printf '%-18s %9s %9s %9s %12s %12s %7s %12s %12s\n' "$config" "$batch x $length" "$threads" "$compute" "$ours" \
        "$theirs" "$(awk "BEGIN {printf \"%.2f\", $theirs / $ours}")" "$(field peak_mb <"$scratch/$compute" | most)" \
        "$(field peak_mb <"$scratch/pytorch" | most)"
done
