#!/bin/sh
# Importing sqlite-utils imports pandas and NumPy where they are installed, although neither is one of its dependencies.
#
# Seen with sqlite-utils 4.2.1, pandas 2.3.3 and NumPy 2.3.4: the two are only asked for types of columns. Without them
# in the environment, the same import loads less than half as many modules.
#
# Output: without: 195 False False; with: 621 True True (how many modules are loaded then, pandas and NumPy among them)
#
# Why it matters: a command line tool that is installed next to pandas starts slower by what pandas takes, and a program
# that is short of memory holds all of it, though no table comes from a DataFrame. Import sqlite-utils only where it is
# used, or keep the tool in an environment of its own.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
count() {
    "$folder/venv/bin/python" -c '
import sys
import sqlite_utils
print(len(sys.modules), "pandas" in sys.modules, "numpy" in sys.modules)'
}
"$folder/venv/bin/python" -m pip install -qq 'sqlite-utils==4.2.1'
without=$(count)
"$folder/venv/bin/python" -m pip install -qq 'pandas==2.3.3' 'numpy==2.3.4'
with=$(count)
echo "without: $without; with: $with"
case $without in *"False False") ;; *) echo "they are there without being installed" >&2; exit 1 ;; esac
case $with in *"True True") ;; *) echo "sqlite-utils does not import them any more" >&2; exit 1 ;; esac
[ "${with%% *}" -gt $((2 * ${without%% *})) ] || { echo "the import loads few modules more now" >&2; exit 1; }
