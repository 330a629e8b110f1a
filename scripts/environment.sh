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

# FOLDER [EXTRA] -> the file that says that all of it is there
mark_of() {
    local state
    state=$(cat setup.py constraints.txt | "$python" -c 'import hashlib, sys; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest()[:16])')
    echo "$1/.installed-$state${2:+-$2}"
}

# FOLDER [EXTRA]
make_environment() {
    local folder=$1 extra=${2:+"[$2]"} mark base
    python=$PWD/$folder/bin/python
    if ! "$python" -c '' 2>/dev/null; then
        base=$(find_python) || return 1
        echo "making $folder with $base" >&2
        rm -rf "$folder"
        "$base" -m venv "$folder" || {
            echo "$base cannot make virtual environments (on Debian: apt-get install python3-venv)" >&2
            return 1
        }
    fi
    mark=$(mark_of "$folder" "${2:-}")
    if [ ! -e "$mark" ]; then
        echo "installing corpusvec and its dependencies into $folder (a few minutes, once)" >&2
        "$python" -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".$extra" || return 1
        touch "$mark"
    fi
}

# .venv-runtime, which has what corpusvec needs to run and nothing else: made from scratch, so that nothing stays that is no
# longer asked for. Tests put the wheel into it.
make_runtime_environment() {
    [ -e "$(mark_of .venv-runtime)" ] || rm -rf .venv-runtime
    (make_environment .venv-runtime)
}

make_environment .venv "${1:-}"
