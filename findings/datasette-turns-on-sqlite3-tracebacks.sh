#!/bin/sh
# Importing datasette changes the sqlite3 module of the whole process: from then on each SQL function that raises
# prints a traceback to standard error, on connections that are not datasette's as well.
#
# Seen with datasette 0.65.5 and Python 3.11.7: before the import nothing is printed and the statement raises
# OperationalError; after it the statement raises the same, and standard error has the traceback. sqlite3 does not
# reveal the previous setting, so it cannot be restored.
#
# Effect here: a test with unreadable stored text failed after another test of the same process had loaded browse's
# pages, because Python reports such a traceback as an unraisable exception. migrator's pages turn the setting off
# again.
set -eu
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
sys.unraisablehook = lambda report: printed.append(type(report.exc_value).__name__)  # what would go to standard error


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
