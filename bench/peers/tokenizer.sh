#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Times bench_tokenizer and the Hugging Face Rust tokenizer on the same texts, in turns on one core, and prints the
# ratio of the medians.
#   tokenizer.sh BENCH_TOKENIZER TOKENIZER.json TEXTS [rounds]
# Run it in a folder with the Node binding (npm install tokenizers@0.23.2); PACKAGE names another one, CORE the core.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
bench=$1 tokenizer=$2 texts=$3 rounds=${4:-3}
export RAYON_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false UV_THREADPOOL_SIZE=1
one_core=(taskset -c "${CORE:-0}")
for ((i = 0; i < rounds; i++)); do
    "${one_core[@]}" "$bench" "$tokenizer" "$texts" --seconds 2
    "${one_core[@]}" node "$here/tokenizer.mjs" "${PACKAGE:-tokenizers}" "$tokenizer" "$texts" 6
done | tee /dev/stderr | node -e '
const runs = require("fs").readFileSync(0, "utf8").trim().split("\n").map((line) => JSON.parse(line));
const median = (list) => list.sort((a, b) => a - b)[list.length >> 1];
const ours = runs.filter((run) => !run.package), peer = runs.filter((run) => run.package);
if (ours[0].tokens !== peer[0].tokens) throw new Error(`tokens differ: ${ours[0].tokens}, ${peer[0].tokens}`);
const [a, b] = [median(ours.map((run) => run.mb_per_s)), median(peer.map((run) => run.mb_per_s_without_strings))];
console.log(`espalier ${a.toFixed(1)} MB/s, peer ${b.toFixed(1)} MB/s, ratio ${(a / b).toFixed(2)}`);'
