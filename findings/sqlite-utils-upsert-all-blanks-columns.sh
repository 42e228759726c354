#!/bin/sh
# sqlite-utils' upsert_all sets columns to NULL in rows that do not mention them, if another row of the batch does.
#
# Seen with sqlite-utils 4.2.1: upsert() of {"id": 1, "title": "new"} leaves the column "note" of row 1 as it was. The
# same record in upsert_all(), together with one that mentions "note", sets the note of row 1 to NULL: all records of
# a batch get the columns of all of them. With two records that have the same members nothing is lost.
#
# Output: one by one [('new', 'my note'), ('b', 'new')], together [('new', None), (None, 'new')]
#
# Why it matters: a sync that sends only the members that changed, as chat clients do, deletes the others; which ones
# depends on what happens to be in the same batch of 100. Use upsert() for partial records, or complete them first.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -qq 'sqlite-utils==4.2.1'
"$folder/venv/bin/python" - <<'PY'
import sqlite_utils

CHANGES = [{"id": 1, "title": "new"}, {"id": 2, "note": "new"}]


def table():
    sessions = sqlite_utils.Database(memory=True)["sessions"]
    sessions.insert_all(
        [{"id": 1, "title": "a", "note": "my note"}, {"id": 2, "title": "b", "note": "other"}], pk="id"
    )
    return sessions


def stored(sessions):
    return [(row["title"], row["note"]) for row in sessions.rows]


one_by_one = table()
for change in CHANGES:
    one_by_one.upsert(change, pk="id")
together = table().upsert_all(CHANGES, pk="id")
print(f"one by one {stored(one_by_one)}, together {stored(together)}")
assert stored(one_by_one) == [("new", "my note"), ("b", "new")], "upsert does something else now"
assert stored(together) == [("new", None), (None, "new")], "upsert_all keeps the columns now"
PY
