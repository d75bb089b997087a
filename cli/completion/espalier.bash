# SPDX-License-Identifier: Apache-2.0
# bash completion for espalier: commands, then the options that `espalier COMMAND --help` lists.
_espalier()
{
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} words
    if [ "$COMP_CWORD" = 1 ]; then
        words=$("${COMP_WORDS[0]}" --help 2>/dev/null | sed -n 's/^  \([a-z][a-z]*\)  .*/\1/p')
        COMPREPLY=($(compgen -W "$words --help --version" -- "$current"))
        return
    fi
    case $previous in
    -t) case ${COMP_WORDS[1]} in # of bench: threads
        tokenize) previous=--truncation ;;
        run | eval | compile) previous=--task ;;
        esac ;;
    -H) previous=--head ;;
    esac
    case $previous in
    --task) COMPREPLY=($(compgen -W "qa classify tag embed mlm" -- "$current")) ; return ;;
    --head) COMPREPLY=($(compgen -W "none qa sequence token mlm" -- "$current")) ; return ;;
    --truncation) COMPREPLY=($(compgen -W "longest_first only_first only_second" -- "$current")) ; return ;;
    --aggregation) COMPREPLY=($(compgen -W "none simple first average max" -- "$current")) ; return ;;
    --function) COMPREPLY=($(compgen -W "softmax sigmoid none" -- "$current")) ; return ;;
    --precision) COMPREPLY=($(compgen -W "int8 bf16 fp32" -- "$current")) ; return ;;
    --method) COMPREPLY=($(compgen -W "minmax percentile entropy mse" -- "$current")) ; return ;;
    --activations) COMPREPLY=($(compgen -W "static per-token" -- "$current")) ; return ;;
    --sparse) COMPREPLY=($(compgen -W "auto always never" -- "$current")) ; return ;;
    --fallback) COMPREPLY=($(compgen -W "fp32 bf16" -- "$current")) ; return ;;
    --pattern) COMPREPLY=($(compgen -W "4x1 1x4 2:4 unstructured" -- "$current")) ; return ;;
    --score) COMPREPLY=($(compgen -W "magnitude snip-momentum movement obert" -- "$current")) ; return ;;
    --scope | --prune-scope) COMPREPLY=($(compgen -W "global uniform" -- "$current")) ; return ;;
    --schedule) COMPREPLY=($(compgen -W "constant linear cosine cyclic" -- "$current")) ; return ;;
    --compute) COMPREPLY=($(compgen -W "auto fp32 bf16" -- "$current")) ; return ;;
    --qat-activations) COMPREPLY=($(compgen -W "static per-token" -- "$current")) ; return ;;
    --problem) COMPREPLY=($(compgen -W "single-label multi-label regression" -- "$current")) ; return ;;
    --hidden-loss) COMPREPLY=($(compgen -W "mse cosine" -- "$current")) ; return ;;
    --pack) COMPREPLY=($(compgen -W "document file line" -- "$current")) ; return ;;
    --pack) COMPREPLY=($(compgen -W "document file line" -- "$current")) ; return ;;
    --format) COMPREPLY=($(compgen -W "auto tsv csv jsonl" -- "$current")) ; return ;;
    esac
    case $current in
    -*)
        words=$("${COMP_WORDS[0]}" "${COMP_WORDS[1]}" --help 2>/dev/null | grep -oE -- '--[a-z][a-z-]*')
        COMPREPLY=($(compgen -W "$words" -- "$current"))
        ;;
    *) COMPREPLY=($(compgen -f -- "$current")) ;;
    esac
}
complete -o filenames -F _espalier espalier
