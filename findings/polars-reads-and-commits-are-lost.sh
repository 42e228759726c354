#!/bin/sh
# polars.read_database_uri, called in a process that has the SQLite database open, makes that process lose what it
# commits afterwards. Both engines bring an SQLite of their own, which takes itself for the last one that has the file
# open, and deletes the log that the other one goes on writing to.
#
# Seen with polars 2.1.0, connectorx 0.4.6 (the default engine), adbc-driver-sqlite 1.13.0 and Python 3.11's sqlite3 on
# Linux: a process opens a database in WAL mode, commits a message, reads the table with polars, commits two more, and
# is ended without closing it, as by a crash. Every statement succeeds; the file has the first message only, and
# integrity_check says ok. With polars.read_database and a second connection of sqlite3, all three are there.
#
# Output: {'connectorx': ['first'], 'adbc': ['first'], 'sqlite3': ['first', 'second', 'third']}
#
# Why it matters: nobody expects of a SELECT that it loses anything. SQLite warns of two of its libraries in one
# process, but who installs a driver does not know that there are two. Read an app's history in a process of its own, or
# through the app's own connections.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -qq 'polars==2.1.0' 'pyarrow==26.0.1' 'connectorx==0.4.6' \
    'adbc-driver-sqlite==1.13.0' 'adbc-driver-manager==1.13.0'
cd "$folder"
cat > app.py <<'PY'
import os
import sqlite3
import sys

import polars

how = sys.argv[1]
file = f"{how}.db"
app = sqlite3.connect(file, isolation_level=None)
app.execute("PRAGMA journal_mode = WAL")
app.execute("CREATE TABLE messages (content TEXT)")
app.execute("INSERT INTO messages VALUES ('first')")
ask = "SELECT content FROM messages"
if how == "sqlite3":
    second = sqlite3.connect(file)
    read = polars.read_database(ask, second)
    second.close()
else:
    read = polars.read_database_uri(ask, f"sqlite://{file}", engine=how)
assert read["content"].to_list() == ["first"]
app.execute("INSERT INTO messages VALUES ('second')")
app.execute("INSERT INTO messages VALUES ('third')")
assert app.execute("SELECT count(*) FROM messages").fetchone() == (3,)
os._exit(0)
PY
for how in connectorx adbc sqlite3; do
    "$folder/venv/bin/python" -W ignore app.py "$how"
done
"$folder/venv/bin/python" - <<'PY'
import sqlite3


def left(name):
    database = sqlite3.connect(f"{name}.db")
    assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    return [content for (content,) in database.execute("SELECT content FROM messages")]


found = {name: left(name) for name in ("connectorx", "adbc", "sqlite3")}
print(found)
assert found.pop("sqlite3") == ["first", "second", "third"], "a second connection loses commits now"
assert set(map(tuple, found.values())) == {("first",)}, "the engines leave the log alone now"
PY
