#!/bin/sh
# In the list mode of sqlite-utils' insert_all a row that is too long loses its last values, and one that is too short
# gets NULLs; neither is an error.
#
# Seen with sqlite-utils 4.2.1: the first item names two columns, then come rows of three values and of one. The same
# rows given to sqlite3's executemany raise ProgrammingError. Two columns with one name are one column, with the first
# value.
#
# Output: [('m1', 'hello'), ('m2', None)] and {'id': 'first'}
#
# Why it matters: list mode is the fast way to load messages. One comma too many when the rows are built, and every
# row has lost a value, with no message and the right number of rows. Check the length of each row before, or read it
# back.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -qq 'sqlite-utils==4.2.1'
"$folder/venv/bin/python" - <<'PY'
import sqlite3

import sqlite_utils

ROWS = [["m1", "hello", "2025-01-13"], ["m2"]]
database = sqlite_utils.Database(memory=True)
database["messages"].insert_all([["id", "content"], *ROWS])
stored = [tuple(row.values()) for row in database["messages"].rows]
database["repeated"].insert_all([["id", "id"], ["first", "second"]])
repeated = next(iter(database["repeated"].rows))
print(f"{stored} and {repeated}")
try:
    database.conn.executemany("INSERT INTO messages VALUES (?, ?)", ROWS)
except sqlite3.ProgrammingError:
    pass
else:
    raise AssertionError("executemany takes such rows now")
assert stored == [("m1", "hello"), ("m2", None)], "list mode does something else with such rows now"
assert repeated == {"id": "first"}, "list mode does something else with a repeated column now"
PY
