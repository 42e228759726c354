#!/bin/sh
# usage: make_venv.sh PYTHON DIRECTORY
# Creates a new virtual environment with pip.
set -eu
python=$1
venv=$2

command -v "$python" >/dev/null 2>&1 || {
    echo "migrator needs Python 3.11 or newer, and there is no $python here; try: make PYTHON=/path/to/python3" >&2
    exit 1
}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "migrator needs Python 3.11 or newer; $python is $("$python" -V 2>&1); try: make PYTHON=/path/to/python3" >&2
    exit 1
}

echo "setting up $venv with $("$python" -V) (once; takes a minute)"
log=$("$python" -m venv --clear "$venv" 2>&1) && exit 0

# Debian and Ubuntu ship Python without ensurepip, which venv needs; virtualenv brings its own pip.
tools=$venv.tools
rm -rf "$venv" "$tools"
trap 'rm -rf "$tools"' EXIT
"$python" -m pip install -qq --target "$tools" virtualenv || {
    echo "$log" >&2
    echo "neither venv nor pip works with $python: install python3-venv, or pip" >&2
    exit 1
}
PYTHONPATH=$tools "$python" -m virtualenv --quiet "$venv"
