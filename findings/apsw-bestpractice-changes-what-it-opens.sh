#!/bin/sh
# After apsw.bestpractice.apply(), a database that is only opened and read is a different file: its header says WAL,
# and it has tables with samples of the indexed values.
#
# Seen with APSW 3.54.1.0: the file has rollback journals and no statistics. One SELECT, with the recommended
# practices applied, and bytes 18 and 19 of the header are 2 instead of 1, and the tables sqlite_stat1 and
# sqlite_stat4 are there, the second with values from the table's rows. Without apply() the same SELECT leaves every
# byte as it was. It holds for every connection that any module of the process opens from then on, unless it is opened
# read-only.
#
# Output: without: same bytes; with: (2, 2), ['sqlite_stat1', 'sqlite_stat4'], and the value in a sample
#
# Why it matters: a viewer that should only look changes the history that it is pointed at. A copy of the file alone
# may then lack what is in its log, a tool that cannot read WAL refuses it, hashes and backups differ, and values that
# the app deletes may stay in the samples. Open other programs' files with SQLITE_OPEN_READONLY.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -qq 'apsw==3.54.1.0'
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import logging
import pathlib

import apsw
import apsw.bestpractice

logging.disable()
file = pathlib.Path("history.db")
made = apsw.Connection(str(file))
made.execute("CREATE TABLE messages (id INTEGER PRIMARY KEY, author TEXT, at INTEGER)")
made.execute("CREATE INDEX by_author ON messages(author, at)")
with made:
    made.executemany("INSERT INTO messages(author, at) VALUES (?, ?)", [(f"author {i % 9}", i) for i in range(3000)])
made.close()
before = file.read_bytes()


def read():
    connection = apsw.Connection(str(file))
    assert connection.execute("SELECT count(*) FROM messages").get == 3000
    connection.close()
    return file.read_bytes()


plain = read() == before
apsw.bestpractice.apply(apsw.bestpractice.recommended)
after = read()
journal = tuple(after[18:20])
looking = apsw.Connection(str(file), flags=apsw.SQLITE_OPEN_READONLY)
added = [name for (name,) in looking.execute("SELECT name FROM sqlite_schema WHERE name LIKE 'sqlite_stat_'")]
samples = b"".join(sample for (sample,) in looking.execute("SELECT sample FROM sqlite_stat4 WHERE tbl = 'messages'"))
print(f"without: same bytes {plain}; with: {journal}, {added}, a value in a sample {b'author 4' in samples}")
assert plain, "reading alone changes the file now"
assert tuple(before[18:20]) == (1, 1), "a new file has another journal now"
assert journal == (2, 2), "the practices no longer switch to WAL"
assert added == ["sqlite_stat1", "sqlite_stat4"], "the practices write other tables now"
assert b"author 4" in samples, "the samples have no values now"
PY
