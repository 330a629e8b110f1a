#!/usr/bin/env bash
# A Flink cluster on this machine, for --runner=flink: up [--task_managers=2] [--slots=1], down, status.
# It lives in deploy/flink/run, or in the folder that CORPUSVEC_FLINK names.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
python=${PYTHON:-$root/.venv/bin/python}
command -v "$python" >/dev/null || python=python3
PYTHONPATH=$root exec "$python" "$root/deploy/flink/clusters.py" "$@"
