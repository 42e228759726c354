#!/bin/sh
# sqlite-utils' transform(), called to rename one column, drops the table's generated columns without a word, and
# changes how the other columns compare, and what they contain if nothing is given.
#
# Seen with sqlite-utils 4.2.1 and a table that has a stored generated column, COLLATE NOCASE, DEFAULT 0x10 and a
# DEFERRABLE foreign key: after transform(rename=...) the generated column is not there, the collation is gone (a
# search for 'anna' finds no 'Anna'), the default is the text '0x10', and the key is checked at once. Nothing is
# raised.
#
# Output: [True, 1, 16, True], then [False, 0, '0x10', False]
#
# Why it matters: the columns of such a table are often generated from the JSON of a document (its title, its date),
# and an app that reads them finds none. Compare the CREATE TABLE before and after, or write the steps of ALTER TABLE
# by hand.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -qq 'sqlite-utils==4.2.1'
"$folder/venv/bin/python" - <<'PY'
import sqlite_utils

database = sqlite_utils.Database(memory=True)
database.conn.executescript("""
    CREATE TABLE workspaces (id INTEGER PRIMARY KEY);
    CREATE TABLE sessions (
        id TEXT PRIMARY KEY,
        author TEXT COLLATE NOCASE,
        flags INTEGER DEFAULT 0x10,
        document TEXT,
        title TEXT GENERATED ALWAYS AS (json_extract(document, '$.title')) STORED,
        workspace INTEGER REFERENCES workspaces(id) DEFERRABLE INITIALLY DEFERRED
    );
    INSERT INTO sessions (id, author, document) VALUES ('s1', 'Anna', '{"title": "Plan"}');
""")


def seen():
    columns = [row[1] for row in database.conn.execute("PRAGMA table_xinfo(sessions)")]
    (matches,) = database.conn.execute("SELECT count(*) FROM sessions WHERE author = 'anna'").fetchone()
    database.conn.execute("INSERT INTO sessions (id) VALUES ('probe')")
    (flags,) = database.conn.execute("SELECT flags FROM sessions WHERE id = 'probe'").fetchone()
    database.conn.execute("DELETE FROM sessions WHERE id = 'probe'")
    declared = database["sessions"].schema.upper()
    return ["title" in columns, matches, flags, "DEFERRABLE" in declared]


before = seen()
database["sessions"].transform(rename={"document": "raw"})
after = seen()
print(f"[title is there, matches of 'anna', default of flags, deferrable]: {before}, then {after}")
assert before == [True, 1, 16, True], "SQLite does something else now"
assert after == [False, 0, "0x10", False], "transform keeps more of the table now"
PY
