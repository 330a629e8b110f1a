#!/usr/bin/env bash
# Lint, types, tests. With --all also the slow proofs; other arguments go to pytest.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
source scripts/environment.sh dev
make_runtime_environment
CHROMIUM=${CHROMIUM:-$(timeout 600 scripts/chromium.sh || true)}
export CHROMIUM

chosen=(-m "not slow")
if [ "${1:-}" = --all ]; then
    chosen=()
    shift
fi
"$python" -m corpusvec.pipeline.commands.fetch_model models/all-MiniLM-L6-v2
"$python" -m ruff check .
"$python" -m ruff format --check .
"$python" -m mypy
exec "$python" -m pytest --numprocesses="$(nproc)" --maxprocesses=4 "${chosen[@]}" "$@"
