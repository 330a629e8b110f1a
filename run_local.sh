#!/usr/bin/env bash
# Embeds examples/ into out/ with the default model. Arguments go to `embed`, and are relative to where you are:
#   ./run_local.sh --input=my-export.json --output=vectors
#   ./run_local.sh inspect MODEL_OR_OUTPUT        (or any other command of corpusvec)
set -euo pipefail
from=$PWD
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here"
source scripts/environment.sh ""
cd "$from"
prefix=$([ "$from" = "$here" ] || echo "$here/")
corpusvec=${prefix}.venv/bin/corpusvec

case "${1:-}" in
embed | plan | inspect | export-model | publish) exec "$corpusvec" "$@" ;;
esac
arguments=("$@")
has() { [[ " ${arguments[*]-} " =~ " --$1"[\ =] ]]; }
if ! has help && ! [[ " $* " == *" -h "* ]]; then
    if ! has input; then
        examples=${prefix}examples
        arguments+=("--input=$examples/notes.json,$examples/lines.txt,$examples/records.jsonl")
        has layers || arguments+=(--layers=-1)
    fi
    has output || arguments+=("--output=${prefix}out")
    if ! has model; then
        "$python" -m pipeline.fetch_model "$here/models/all-MiniLM-L6-v2"
        arguments+=("--model=${prefix}models/all-MiniLM-L6-v2")
    fi
fi
exec "$corpusvec" embed "${arguments[@]}"
