#!/bin/sh
# sqlite-chronicle does not record that a row was deleted if an upsert, or an INSERT OR IGNORE, met the row before. A
# copy that follows its changes keeps the row for ever.
#
# Seen with sqlite-chronicle 0.6.1, and sqlite-utils 4.2.1, whose upsert() it is used with: insert, upsert, delete, and
# the message is not in the table, its entry says deleted 0, and updates_since() reports nothing new. Asked for all
# changes, it reports the row as there, with None in every column but the key. Without the upsert, and with INSERT OR
# REPLACE in its place, the deletion is recorded. A trigger takes a note of the old row before each INSERT, one after
# the INSERT removes the note, and the one for DELETE does nothing while there is a note. An upsert ends as an UPDATE,
# or as nothing, and the note stays.
#
# Output: {'none': [True], 'replace': [True], 'upsert': [], 'ignore': []} and {'id': 1, 'title': None}
#
# Why it matters: upserts are how histories are imported again and again, so that nearly every row has met one. Who
# deletes a message then finds it in each copy that is kept up to date by updates_since(), or finds it emptied there.
# Compare the keys of both tables from time to time, or empty _chroniclesnapshots after each batch of upserts.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -qq 'sqlite-chronicle==0.6.1' 'sqlite-utils==4.2.1'
"$folder/venv/bin/python" - <<'PY'
import sqlite3

import sqlite_utils
from sqlite_chronicle import enable_chronicle, updates_since

OLD, NEW = {"id": 1, "title": "Plan"}, {"id": 1, "title": "Plan B"}
AGAIN = {
    "none": lambda table: None,
    "replace": lambda table: table.insert(NEW, replace=True),
    "upsert": lambda table: table.upsert(NEW, pk="id"),
    "ignore": lambda table: table.insert(NEW, ignore=True),
}


def changes(again, clean=False):
    connection = sqlite3.connect(":memory:")
    table = sqlite_utils.Database(connection)["messages"]
    table.insert(OLD, pk="id")
    enable_chronicle(connection, "messages")
    again(table)
    if clean:
        connection.execute("DELETE FROM _chroniclesnapshots")
    (before,) = connection.execute("SELECT max(__version) FROM _chronicle_messages").fetchone()
    table.delete(1)
    assert table.count == 0
    return list(updates_since(connection, "messages", before)), list(updates_since(connection, "messages", 0))


found = {name: [change.deleted for change in changes(again)[0]] for name, again in AGAIN.items()}
(whole,) = changes(AGAIN["upsert"])[1]
print(f"{found} and {whole.row}")
assert found["none"] == found["replace"] == [True], "other deletions are not recorded now"
assert found["upsert"] == found["ignore"] == [], "deletions after an upsert are recorded now"
assert not whole.deleted and whole.row == {"id": 1, "title": None}, "the deleted row is reported differently now"
assert [change.deleted for change in changes(AGAIN["upsert"], clean=True)[0]] == [True], "that does not help now"
PY
