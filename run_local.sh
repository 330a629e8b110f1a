#!/usr/bin/env bash
# Embeds examples/ into out/ with the default model; arguments, where given, go to `embed` instead:
#   ./run_local.sh --input=my-export.json --output=vectors
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
source scripts/environment.sh ""
has() { local argument; for argument in "${arguments[@]}"; do [[ $argument == "$1" || $argument == "$1="* ]] && return; done; return 1; }

arguments=("$@")
if [ $# -eq 0 ]; then
    arguments=(--input=examples/notes.json,examples/lines.txt,examples/records.jsonl --layers=-1)
fi
if ! has --help && ! has -h; then
    has --output || arguments+=(--output=out)
    if ! has --model; then
        "$python" -m pipeline.fetch_model models/all-MiniLM-L6-v2
        arguments+=(--model=models/all-MiniLM-L6-v2)
    fi
fi
exec "$python" -m pipeline embed "${arguments[@]}"
