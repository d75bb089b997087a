#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A SQuAD model from nothing but text: vocabulary, masked-LM pre-training, then what docs/results.md will say. Hours to days
# of two cores; made to be stopped at any time and run again.
#
#   squad-from-nothing.sh DATA OUT [PART...]
#
# DATA   a directory with squad and mlm, as ../shared/data
# OUT    where texts, models and the program go: outside of the checkout, so that changes of the code do not disturb a run.
#        The program is copied there the first time and stays as it is
# PART   of: data trunk-1; default: all of them, in this order
# ESPALIER=FILE is the program to copy (build/release/espalier), ESPALIER_THREADS=N the threads.
#
# A run is continued on any CPU with bf16 products: --compute is stated. Pause it with kill -STOP, end it with SIGTERM (it
# writes a checkpoint), start it again with the same command.
set -eu

[ $# -ge 2 ] || { sed -n '3,17s/^# \{0,1\}//p' "$0" >&2; exit 2; }
here=$(dirname "$(realpath "$0")")
program=$(realpath "${ESPALIER:-$here/../build/release/espalier}")
data=$(realpath "$1")
mkdir -p "$2/bin" "$2/text" "$2/models"
cd "$2"
shift 2
[ $# -gt 0 ] || set -- data trunk-1
[ -x bin/espalier ] || cp "$program" bin/espalier
prose="britannica11 openstax_ccby squad_train_contexts cia_factbook us_presidential_speeches"

# train NAME OPTION...: models/NAME; nothing to do when it is there.
train()
{
    name=$1
    shift
    [ -d "models/$name" ] && return 0
    resume=
    [ -d "models/$name.partial" ] && resume=--resume
    nice -n 19 bin/espalier train "$@" $resume -o "models/$name"
}

# Texts, a vocabulary of 8,192 uncased tokens, and 6 layers of 384 channels with random weights.
prepare()
{
    for text in $prose wordnet_glosses wikitext2_valid; do
        [ -s "text/$text.txt" ] || xz -dc "$data/mlm/$text.txt.xz" >"text/$text.txt"
    done
    [ -d vocab ] || bin/espalier vocab $(printf 'text/%s.txt ' $prose) --size 8192 -o vocab
    [ -d models/initial ] && return 0
    cat >config.json <<'JSON'
{"model_type": "bert", "architectures": ["BertModel"], "vocab_size": 8192, "hidden_size": 384, "num_hidden_layers": 6,
 "num_attention_heads": 6, "intermediate_size": 1536, "max_position_embeddings": 512, "type_vocab_size": 2,
 "hidden_act": "gelu", "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1, "layer_norm_eps": 1e-12,
 "initializer_range": 0.02, "pad_token_id": 0}
JSON
    bin/espalier init config.json --mimetic --head mlm --vocab vocab --seed 1 -o models/initial
}

# Masked LM at length 128 and a constant rate: 30 % of the tokens masked.
trunk_1()
{
    train trunk-1 models/initial --task mlm \
        --train text/britannica11.txt --train text/openstax_ccby.txt \
        --train text/squad_train_contexts.txt --train text/squad_train_contexts.txt \
        --train text/cia_factbook.txt --train text/us_presidential_speeches.txt --train text/wordnet_glosses.txt \
        --dev text/wikitext2_valid.txt --dev-limit 60 --max-length 128 --mask-probability 0.3 \
        --batch-size 64 --batch-tokens 8192 --learning-rate 1e-3 --schedule constant --warmup 500 --beta2 0.98 \
        --weight-decay 0.01 --max-norm 0.5 --dropout 0 --max-steps 6000 --compute bf16 --threads 2 --seed 1 \
        --eval-every 500 --save-every 150 --log-every 20 --keep-last
}

for part in "$@"; do
    case $part in
    data) prepare ;;
    trunk-1) trunk_1 ;;
    *) echo "squad-from-nothing.sh: unknown part '$part'" >&2; exit 2 ;;
    esac
done
