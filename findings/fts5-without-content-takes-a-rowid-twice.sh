#!/bin/sh
# An FTS5 table without content takes a second row with a rowid that it already has; deleting the row then leaves the
# words of the first one, which are found for ever.
#
# Seen with APSW 3.54.1.0 (SQLite 3.54.1) and content = '', contentless_delete = 1: rowid 1 is inserted with "apple",
# and again with "plum", both without an error; count(*) is 1. A search finds rowid 1 for both words. After DELETE of
# rowid 1 there are no rows, "plum" is not found, and "apple" still is, after 'optimize', too; 'integrity-check'
# reports nothing. INSERT OR REPLACE in place of the second INSERT removes the first one's words. A table with content
# raises ConstraintError.
#
# Output: twice: both words, then ['apple'] without rows; replaced: ['plum'], then []
#
# Why it matters: an index that is filled again after a crash, without being emptied, finds messages that are not
# there, under rowids that new messages get. The ghost of a deleted text stays in the file. Use INSERT OR REPLACE, or
# empty the table with 'delete-all' first.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -qq 'apsw==3.54.1.0'
"$folder/venv/bin/python" - <<'PY'
import apsw


def index(options, second):
    database = apsw.Connection(":memory:")
    database.execute(f"CREATE VIRTUAL TABLE words USING fts5(text {options})")
    database.execute("INSERT INTO words(rowid, text) VALUES (1, 'apple')")
    database.execute(f"{second} INTO words(rowid, text) VALUES (1, 'plum')")
    return database


def found(database):
    ask = "SELECT rowid FROM words WHERE words MATCH ?"
    return [word for word in ("apple", "plum") if database.execute(ask, (word,)).fetchall() == [(1,)]]


def story(second):
    database = index(", content = '', contentless_delete = 1", second)
    before = found(database)
    database.execute("DELETE FROM words WHERE rowid = 1")
    database.execute("INSERT INTO words(words) VALUES ('optimize')")
    database.execute("INSERT INTO words(words, rank) VALUES ('integrity-check', 1)")
    return before, found(database), database.execute("SELECT count(*) FROM words").get


twice, replaced = story("INSERT"), story("INSERT OR REPLACE")
print(f"twice: {twice}; replaced: {replaced}")
assert twice == (["apple", "plum"], ["apple"], 0), "a second row with the same rowid does something else now"
assert replaced == (["plum"], [], 0), "INSERT OR REPLACE does something else now"
try:
    index("", "INSERT")
except apsw.ConstraintError:
    pass
else:
    raise AssertionError("a table with content takes a rowid twice now")
PY
