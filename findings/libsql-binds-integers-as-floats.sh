#!/bin/sh
# The libsql package for Python, whose interface is that of sqlite3, passes integers of more than 32 bits on as
# floating-point numbers, and ends the texts that it reads at their first NUL. Nothing is raised.
#
# Seen with libsql 0.1.11: 9007199254740993 (2^53 + 1), inserted into a column declared INTEGER, is 9007199254740992
# there, and of the type "integer", so that nothing tells; 1736762400000, a time in milliseconds, is
# '1736762400000.0' in a TEXT column, and an id that is looked up in one is not found. "a\0b" is stored whole, and
# read as "a". APSW stores and reads all three as they are, and in libsql the integers are exact if they stand in the
# statement.
#
# Output: libsql (9007199254740992, '1736762400000.0', 'a'), APSW (9007199254740993, '1736762400000', 'a\x00b'), in the
# statement (9007199254740993, '1736762400000', 'a')
#
# Why it matters: the package is what one imports in place of sqlite3 to have a history replicated. Times in
# nanoseconds, hashes and ids of 64 bits are then other numbers, and a lookup by such an id finds another row or none.
# Store such numbers as texts, or write them into the statement.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -qq 'libsql==0.1.11' 'apsw==3.54.1.0'
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import importlib.metadata

import apsw
import libsql

assert importlib.metadata.version("libsql") == "0.1.11"
VALUES = (9007199254740993, 1736762400000, "a\0b")


def stored(database, values, *parameters):
    database.execute("CREATE TABLE messages (id INTEGER, at TEXT, content TEXT)")
    database.execute(f"INSERT INTO messages VALUES ({values})", *parameters)
    ask = "SELECT id, at, content, length(CAST(content AS BLOB)), typeof(id) FROM messages"
    *found, length, kind = database.execute(ask).fetchone()
    assert (length, kind) == (3, "integer"), "the columns hold something else now"
    return tuple(found)


def matches(database):
    database.execute("CREATE TABLE sessions (id TEXT)")
    database.execute("INSERT INTO sessions VALUES ('1736762400000')")
    return database.execute("SELECT count(*) FROM sessions WHERE id = ?", VALUES[1:2]).fetchone()[0]


bound = stored(libsql.connect(":memory:"), "?, ?, ?", VALUES)
control = stored(apsw.Connection(":memory:"), "?, ?, ?", VALUES)
written = stored(libsql.connect(":memory:"), "9007199254740993, '1736762400000', ?", VALUES[2:])
print(f"libsql {bound}, APSW {control}, in the statement {written}")
assert control == (9007199254740993, "1736762400000", "a\0b"), "APSW does something else now"
assert bound == (9007199254740992, "1736762400000.0", "a"), "libsql binds them differently now"
assert written == (9007199254740993, "1736762400000", "a"), "integers in the statement are inexact now"
looked_up = matches(libsql.connect(":memory:")), matches(apsw.Connection(":memory:"))
assert looked_up == (0, 1), "an id in a TEXT column is looked up differently now"
PY
