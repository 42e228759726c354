#!/bin/sh
# APSW stops in the middle of a text of several statements as soon as one has a row: the rest runs only if somebody
# fetches, and if nobody does, it never runs, and nothing reports it.
#
# Seen with APSW 3.54.1.0: connection.execute("PRAGMA journal_mode = WAL; CREATE TABLE messages (id)") returns, and
# there is no table, not even after the cursor is gone: the PRAGMA has a row, its new mode. The same text with a
# PRAGMA without a row (user_version = 1) creates the table. With .get, or with a loop to the end, it is created; a
# loop that ends early creates nothing. Python's sqlite3 refuses such a text with an exception (execute), or runs it
# all (executescript).
#
# Output: unread False, left early False, without a row True, fetched True
#
# Why it matters: set-up scripts begin with PRAGMA journal_mode or busy_timeout, and both return rows. Fetch what
# execute returns, even if nobody wants it.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -qq 'apsw==3.54.1.0'
cd "$folder"
"$folder/venv/bin/python" -W error - <<'PY'
import gc

import apsw


def made(statements, use):
    connection = apsw.Connection(f"{use.__name__}.db")
    use(connection.execute(statements))
    gc.collect()
    return connection.table_exists(None, "messages")


def unread(cursor):
    pass


def left_early(cursor):
    for _ in cursor:
        break


def without_a_row(cursor):
    pass


def fetched(cursor):
    cursor.fetchall()


WITH_ROW = "PRAGMA journal_mode = WAL; CREATE TABLE messages (id)"
found = {
    "unread": made(WITH_ROW, unread),
    "left early": made(WITH_ROW, left_early),
    "without a row": made("PRAGMA user_version = 1; CREATE TABLE messages (id)", without_a_row),
    "fetched": made(WITH_ROW, fetched),
}
print(found)
assert found == {"unread": False, "left early": False, "without a row": True, "fetched": True}, "it runs other ones now"
PY
