#!/bin/sh
# A view of an SQLite database that is attached in DuckDB has other rows and other numbers than in SQLite: DuckDB runs
# its SQL by its own rules. If the view calls a function that DuckDB does not have, SQLite runs it, and the numbers are
# right.
#
# Seen with DuckDB 1.5.5 and its extension sqlite_scanner 1.5.5: 90 / 60 is 1 in SQLite and 1.5 in DuckDB; authors in a
# column with COLLATE NOCASE are one and two; CAST(2.7 AS INTEGER) is 2 and 3; content LIKE '%error%' finds "Error: disk
# full" in SQLite and not in DuckDB, which minds the case. With unixepoch(day) as one more column, the other columns are
# those of SQLite, but as texts.
#
# Output: SQLite (1, 1, 2) and 1, DuckDB (1.5, 2, 3) and 0, with unixepoch ('1', '1', '2')
#
# Why it matters: an app offers views, so that other tools need not know its rules, and a report made in DuckDB counts
# fewer errors and longer sessions than the app shows. A column that is added to a view changes the others. Query views
# with sqlite_query('name', 'SELECT ...'), which SQLite always runs.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -qq 'duckdb==1.5.5' 'duckdb-extension-sqlite-scanner==1.5.5'
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import pathlib
import sqlite3

import duckdb
import duckdb_extension_sqlite_scanner

assert duckdb.__version__ == "1.5.5"
NUMBERS = """
    max(seconds / 60) AS minutes,
    count(DISTINCT author) AS authors,
    max(CAST(score AS INTEGER)) AS best
"""
database = sqlite3.connect("history.db")
database.executescript(f"""
    CREATE TABLE messages (content TEXT, author TEXT COLLATE NOCASE, seconds INTEGER, score REAL, day TEXT);
    INSERT INTO messages VALUES
        ('Error: disk full', 'Anna', 90, 2.7, '2025-01-13'),
        ('done', 'anna', 20, 1, '2025-01-14');
    CREATE VIEW errors AS SELECT content FROM messages WHERE content LIKE '%error%';
    CREATE VIEW report AS SELECT {NUMBERS} FROM messages;
    CREATE VIEW dated_report AS SELECT {NUMBERS}, max(unixepoch(day)) AS latest FROM messages;
""")
(extension,) = pathlib.Path(duckdb_extension_sqlite_scanner.__file__).parent.rglob("*.duckdb_extension")
attached = duckdb.connect()
attached.execute(f"LOAD '{extension}'")
attached.execute("ATTACH 'history.db' AS history (TYPE sqlite, READ_ONLY)")


def ask(connection, name):
    numbers = connection.execute(f"SELECT minutes, authors, best FROM {name}report").fetchone()
    return numbers, connection.execute(f"SELECT count(*) FROM {name}errors").fetchone()[0]


sqlite, duck = ask(database, ""), ask(attached, "history.")
dated = attached.execute("SELECT minutes, authors, best FROM history.dated_report").fetchone()
passed_on = attached.execute("SELECT * FROM sqlite_query('history', 'SELECT * FROM report')").fetchone()
print(f"SQLite {sqlite}, DuckDB {duck}, with unixepoch {dated}, sqlite_query {passed_on}")
assert sqlite == ((1, 1, 2), 1), "SQLite does something else now"
assert duck == ((1.5, 2, 3), 0), "DuckDB runs views differently now"
assert dated == passed_on == ("1", "1", "2"), "SQLite does not run these now"
PY
