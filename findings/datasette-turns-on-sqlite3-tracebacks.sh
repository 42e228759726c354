#!/usr/bin/env bash
# Importing datasette changes the sqlite3 module of the whole process: from then on each SQL function that raises prints
# a traceback to standard error, on connections that are not datasette's as well.
#
# Seen with datasette 0.65.5 and Python 3.11.7: before the import nothing is printed and the statement raises
# OperationalError; after it the statement raises the same, and standard error has the traceback. There is no way to ask
# sqlite3 what was set before, so nobody can put it back as it was.
#
# For us: a test that made stored text unreadable failed as soon as another test of the same process had loaded our
# pages, for Python tells of such a traceback as an exception that nobody could raise. Our pages turn it off again.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -qq 'datasette==0.65.5'
"$folder/venv/bin/python" - <<'PY'
import contextlib
import io
import sqlite3
import sys

printed = []
sys.unraisablehook = lambda told: printed.append(type(told.exc_value).__name__)  # what would go to standard error


def refuse(text):
    raise ValueError(text)


def ask():
    connection = sqlite3.connect(":memory:")
    connection.create_function("refuse", 1, refuse)
    printed.clear()
    with contextlib.suppress(sqlite3.OperationalError), contextlib.redirect_stderr(io.StringIO()):
        connection.execute("SELECT refuse('x')").fetchone()
    return list(printed)


before = ask()
import datasette.app  # noqa: E402, F401

after = ask()
print(f"before the import: {before}; after it: {after}")
assert (before, after) == ([], ["ValueError"]), "datasette's import does something else now"
PY
