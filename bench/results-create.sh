#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The tables of docs/results-create.md: small encoders trained from scratch on SST-2 and SQuAD, pruned with and without
# distillation, by every score, trained for int8, compiled in every way; what each scores.
#
#   results-create.sh DATA OUT [PART...]
#
# DATA   a directory with glue/SST-2, squad and mlm, as ../shared/data
# OUT    where models and results go; what is there already is kept, and a run that was stopped goes on
# PART   of: data sst2 squad compile-sst2 compile-squad table; default: all of them, in this order
# ESPALIER=FILE is the program (build/release/espalier), SEEDS="1" the seeds of the pruned models of SST-2,
# ESPALIER_THREADS=N the threads.
set -eu

[ $# -ge 2 ] || { sed -n '3,13s/^# \{0,1\}//p' "$0" >&2; exit 2; }
here=$(dirname "$(realpath "$0")")
espalier=$(realpath "${ESPALIER:-$here/../build/release/espalier}")
data=$(realpath "$1")
mkdir -p "$2"
out=$(realpath "$2")
shift 2
[ $# -gt 0 ] || set -- data sst2 squad compile-sst2 compile-squad table
cd "$out"
mkdir -p text models scores
seeds=${SEEDS:-1}

# ---- tools -----------------------------------------------------------------------------------------------------------

# train NAME OPTION...: models/NAME; nothing to do when it is there.
train()
{
    name=$1
    shift
    [ -d "models/$name" ] && return 0
    resume=
    [ -d "models/$name.partial" ] && resume=--resume
    echo "== train $name: $*" >&2
    "$espalier" train "$@" $resume --keep-last --log-every 50 -o "models/$name" >"scores/$name.train" 2>&1 ||
        { cat "scores/$name.train" >&2; exit 1; }
}

# score NAME MODEL OPTION...: the report of eval as scores/NAME.json
score()
{
    name=$1
    shift
    [ -s "scores/$name.json" ] && return 0
    "$espalier" eval "$@" --json --quiet >"scores/$name.tmp"
    mv "scores/$name.tmp" "scores/$name.json"
}

# ---- texts -----------------------------------------------------------------------------------------------------------

# The last 5,000 rows of SST-2's training set are held out: 872 dev rows alone tell no less than 1.4 % apart.
prepare()
{
    [ -s config.json ] && return 0
    head -n -5000 "$data/glue/SST-2/train.tsv" >text/sst2-train.tsv
    { head -n 1 "$data/glue/SST-2/train.tsv"; tail -n 5000 "$data/glue/SST-2/train.tsv"; } >text/sst2-held.tsv
    tail -n +2 text/sst2-train.tsv | cut -f 1 >text/sst2.txt
    xz -dc "$data/mlm/squad_train_contexts.txt.xz" >text/squad.txt
    "$espalier" vocab text/squad.txt text/sst2.txt --size 8000 -o vocab --quiet
    cat >config.tmp <<'JSON'
{"model_type": "bert", "architectures": ["BertModel"], "vocab_size": 8000, "hidden_size": 128, "num_hidden_layers": 2,
 "num_attention_heads": 4, "intermediate_size": 512, "max_position_embeddings": 512, "type_vocab_size": 2,
 "hidden_act": "gelu", "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1, "layer_norm_eps": 1e-12,
 "initializer_range": 0.02, "pad_token_id": 0}
JSON
    mv config.tmp config.json
}

# ---- SST-2 -----------------------------------------------------------------------------------------------------------

sst2_scores() # NAME MODEL OPTION...
{
    score_name=$1 score_model=$2
    shift 2
    score "$score_name.dev" "$score_model" --task classify --data "$data/glue/SST-2/dev.tsv" "$@"
    score "$score_name.held" "$score_model" --task classify --data text/sst2-held.tsv "$@"
}

sst2_train() # NAME MODEL OPTION...
{
    model_name=$1 from=$2
    shift 2
    train "$model_name" "$from" --task classify --train text/sst2-train.tsv --dev "$data/glue/SST-2/dev.tsv" \
        --max-length 128 --batch-size 32 "$@"
    sst2_scores "$model_name" "models/$model_name"
}

# sst2_scored SPARSITY SEED OPTION...: by every score, and by the first with distillation
sst2_scored()
{
    scored_sparsity=$1 scored_seed=$2
    shift 2
    for score in snip-momentum magnitude movement obert; do
        sst2_train "sst2-$scored_sparsity-$score-$scored_seed" $teacher "$@" --sparsity 0.$scored_sparsity --score $score
    done
    sst2_train "sst2-$scored_sparsity-distilled-$scored_seed" $teacher "$@" --sparsity 0.$scored_sparsity $distil
}

sst2()
{
    teacher=models/sst2-dense
    distil="--teacher $teacher --teacher-cache text/sst2-teacher --hard-weight 0.5 --soft-weight 1 --temperature 2"
    prune="--learning-rate 5e-4 --warmup 0.05 --epochs 0.5 --pattern 4x1 --prune-begin 0.02 --prune-end 0.6
        --prune-every 10"
    qat="--learning-rate 1e-4 --epochs 0.2 --qat"
    sst2_train sst2-dense --init=config.json --tokenizer vocab --learning-rate 1e-3 --warmup 0.1 --epochs 3
    for seed in $seeds; do
        sst2_train "sst2-80-snip-momentum-$seed" $teacher $prune --seed $seed --sparsity 0.8
        sst2_train "sst2-80-distilled-$seed" $teacher $prune --seed $seed --sparsity 0.8 $distil
        sst2_scored 90 $seed $prune --seed $seed
    done
    sst2_train sst2-dense-qat $teacher $qat
    for sparsity in 80 90; do
        sst2_train "sst2-$sparsity-qat" "models/sst2-$sparsity-distilled-1" $qat $distil --keep-mask
    done
    for seed in $seeds; do
        sst2_scored 97 $seed $prune --seed $seed
    done
}

# ---- SQuAD -----------------------------------------------------------------------------------------------------------

squad_train() # NAME MODEL OPTION...
{
    model_name=$1 from=$2
    shift 2
    train "$model_name" "$from" --task qa --train "$data/squad/train-v1.1.json" --max-length 192 --stride 64 \
        --batch-size 32 --dropout 0 "$@"
    score "$model_name.dev" "models/$model_name" --task qa --data "$data/squad/dev-v1.1.json" \
        --max-length 192 --stride 64
}

# A model that has learned to look for the words of a question: questions made from the training passages themselves.
squad_reader()
{
    [ -s text/cloze.json ] || {
        python3 "$here/cloze_questions.py" "$data/squad/train-v1.1.json" 2 2 >text/cloze.tmp
        mv text/cloze.tmp text/cloze.json
    }
    [ -d models/squad-initial ] || {
        sed 's/"num_hidden_layers": 2/"num_hidden_layers": 3/' config.json >config3.json
        "$espalier" init config3.json --mimetic --vocab vocab --seed 1 -o models/squad-initial
    }
    train squad-reader models/squad-initial --task qa --train text/cloze.json --max-length 128 --stride 64 \
        --batch-size 32 --dropout 0 --learning-rate 1e-3 --warmup 0.05 --epochs 0.6 --seed 1
}

squad()
{
    teacher=models/squad-dense
    distil="--teacher $teacher --hard-weight 0.5 --soft-weight 1 --temperature 2"
    prune="--learning-rate 5e-4 --warmup 0.05 --epochs 0.33 --pattern 4x1 --prune-begin 0.02 --prune-end 0.6
        --prune-every 10"
    qat="--learning-rate 5e-5 --epochs 0.05 --qat"
    squad_reader
    squad_train squad-dense models/squad-reader --learning-rate 7e-4 --warmup 0.05 --epochs 1
    for sparsity in 80 90; do
        squad_train "squad-$sparsity" $teacher $prune --sparsity 0.$sparsity
        squad_train "squad-$sparsity-distilled" $teacher $prune --sparsity 0.$sparsity $distil
    done
    squad_train squad-90-magnitude $teacher $prune --sparsity 0.90 --score magnitude
    squad_train squad-dense-qat $teacher $qat
    squad_train squad-80-qat models/squad-80-distilled $qat $distil --keep-mask
}

# ---- compiled --------------------------------------------------------------------------------------------------------

# compiled NAME OPTION...: every way to compile models/NAME as scores/compile-NAME.md
compiled()
{
    name=$1
    shift
    [ -s "scores/compile-$name.md" ] && return 0
    echo "== compile $name" >&2
    ESPALIER=$espalier python3 "$here/compile_accuracy.py" "models/$name" "$@" >"scores/compile-$name.tmp"
    mv "scores/compile-$name.tmp" "scores/compile-$name.md"
}

compile_sst2()
{
    for name in dense 80-distilled-1 90-distilled-1 dense-qat 80-qat 90-qat; do
        compiled sst2-$name --task classify --calibrate text/sst2-train.tsv \
            --data "$data/glue/SST-2/dev.tsv" text/sst2-held.tsv
    done
}

compile_squad()
{
    for name in dense 80-distilled dense-qat 80-qat; do
        compiled squad-$name --task qa --calibrate "$data/squad/train-v1.1.json" --data "$data/squad/dev-v1.1.json" \
            --limit 2000 --max-length 192 --stride 64
    done
}

# ---- tables ----------------------------------------------------------------------------------------------------------

# SST-2's models but for the dense one
list_models()
{
    for model in models/sst2-*; do
        case $model in
        *.partial | */sst2-dense) ;;
        *) echo "$model" ;;
        esac
    done
}

# figure FILE MEMBER: a number of a report
figure()
{
    sed -n "s/.*\"$2\":\([0-9.]*\).*/\1/p" "$1"
}

table()
{
    echo "| SST-2 | dev | held out | log loss | as the dense model |"
    echo "|---|---|---|---|---|"
    ESPALIER=$espalier python3 "$here/classify_loss.py" text/sst2-held.tsv models/sst2-dense $(list_models) |
        while read -r name loss same; do
            [ -s "scores/$name.held.json" ] || continue
            echo "| $name | $(figure "scores/$name.dev.json" accuracy) | $(figure "scores/$name.held.json" accuracy) |" \
                "$loss | $same |"
        done
    echo
    echo "| SQuAD | exact match | F1 |"
    echo "|---|---|---|"
    for file in scores/squad-*.dev.json; do
        echo "| $(basename "$file" .dev.json) | $(figure "$file" exact_match) | $(figure "$file" f1) |"
    done
    for file in scores/compile-*.md; do
        echo
        echo "$(basename "$file" .md)"
        echo
        cat "$file"
    done
}

for part in "$@"; do
    case $part in
    data) prepare ;;
    sst2) sst2 ;;
    squad) squad ;;
    compile-sst2) compile_sst2 ;;
    compile-squad) compile_squad ;;
    table) table ;;
    *) echo "results-create.sh: unknown part '$part'" >&2; exit 2 ;;
    esac
done
