#!/usr/bin/env bash
# Embeds examples/ into out/ with the default model. Arguments go to `embed`, and are relative to where you are:
#   ./run_local.sh --input=my-export.json --output=vectors
#   ./run_local.sh related --input=my-export.json    (embeds, and writes out/related.html to look at)
#   ./run_local.sh snapshots list vectors            (or any other command of corpusvec)
set -euo pipefail
from=$PWD
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here"
source scripts/environment.sh search
cd "$from"
prefix=$([ "$from" = "$here" ] || echo "$here/")
corpusvec=${prefix}.venv/bin/corpusvec
# What messages tell the user to type.
case $0 in
*/*) export CORPUSVEC_TYPED=$0 ;;
*) export CORPUSVEC_TYPED=./$0 ;;
esac

report=()
if [ "${1:-}" = related ] && [[ " $* " =~ " --input"[\ =] ]]; then
    shift
    report=(report)
fi
case "${1:--}" in
-*) ;;
*) exec "$corpusvec" "$@" ;;
esac
arguments=()
for argument in "$@"; do
    case ${#report[@]}$argument in
    [1-9]--lang=* | [1-9]--file=*) report+=("$argument") ;;
    *) arguments+=("$argument") ;;
    esac
done
has() { [[ " ${arguments[*]-} " =~ " --$1"[\ =] ]]; }
if ! has help && ! [[ " $* " == *" -h "* ]]; then
    if ! has input; then
        examples=${prefix}examples
        arguments+=("--input=$examples/notes.json,$examples/lines.txt,$examples/records.jsonl")
        has layers || arguments+=(--layers=-1)
    fi
    has output || arguments+=("--output=${prefix}out")
    if ! has model; then
        "$python" -m corpusvec.pipeline.commands.fetch_model "$here/models/all-MiniLM-L6-v2"
        arguments+=("--model=${prefix}models/all-MiniLM-L6-v2")
    fi
fi
if [ ${#report[@]} -eq 0 ]; then exec "$corpusvec" embed "${arguments[@]}"; fi

"$corpusvec" embed "${arguments[@]}"
for at in "${!arguments[@]}"; do
    case ${arguments[at]} in
    --output=*) output=${arguments[at]#*=} ;;
    --output) output=${arguments[at + 1]} ;;
    esac
done
[[ " ${report[*]} " == *" --file="* ]] || report+=("--file=$output/related.html")
exec "$corpusvec" "${report[0]}" "$output" "${report[@]:1}"
