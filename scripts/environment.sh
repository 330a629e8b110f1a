# Makes .venv with the package and its pinned dependencies, once for each state of setup.py and constraints.txt.
# To be sourced from the repository's root: `source scripts/environment.sh [EXTRA]`. Sets `python`.

find_python() {
    local candidate
    for candidate in ${PYTHON:-python3 python3.12 python3.11 python3.13}; do
        if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    echo "corpusvec needs Python 3.11, 3.12 or 3.13; install one, or name it with PYTHON=/path/to/python" >&2
    return 1
}

make_environment() {
    local extra=${1:+"[$1]"} state mark base
    python=$PWD/.venv/bin/python
    if ! "$python" -c '' 2>/dev/null; then
        base=$(find_python) || return 1
        echo "making .venv with $base" >&2
        rm -rf .venv
        "$base" -m venv .venv || {
            echo "$base cannot make virtual environments (on Debian: apt-get install python3-venv)" >&2
            return 1
        }
    fi
    state=$(cat setup.py constraints.txt | "$python" -c 'import hashlib, sys; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest()[:16])')
    mark=.venv/.installed-$state${1:+-$1}
    if [ ! -e "$mark" ]; then
        echo "installing corpusvec and its dependencies into .venv (a few minutes, once)" >&2
        "$python" -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".$extra" || return 1
        touch "$mark"
    fi
}

make_environment "${1:-}"
