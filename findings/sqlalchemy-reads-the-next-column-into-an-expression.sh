#!/bin/sh
# SQLAlchemy takes the expression of a generated column to end at the last parenthesis of its line. If the table is
# declared on one line, it contains the columns that follow; the CREATE TABLE that it makes of them does not run.
#
# Seen with SQLAlchemy 2.1.9 on SQLite: of CREATE TABLE messages (raw TEXT, title TEXT GENERATED ALWAYS AS (raw ||
# '!') STORED, role TEXT CHECK (role <> '')) on one line, reflection reports the expression raw || '!') STORED, role
# TEXT CHECK (role <> '' and with each column on a line of its own raw || '!'. In the short form, title TEXT AS (raw
# || '!'), which SQLite takes as well, the expression is empty on one line and on several.
#
# Output: as above, and for both wrong ones create_all() raises OperationalError
#
# Why it matters: ALTER TABLE ADD COLUMN puts each new column on the line of the last one. A migration that Alembic
# generates from a reflected table, or a copy of the schema for tests, then differs from the database, or fails.
# Compare with PRAGMA table_xinfo, or write generated columns in the model by hand.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -qq 'SQLAlchemy==2.1.9'
"$folder/venv/bin/python" -W ignore - <<'PY'
import sqlalchemy
from sqlalchemy.exc import OperationalError

LONG = "title TEXT GENERATED ALWAYS AS (raw || '!') STORED"
SHORT = "title TEXT AS (raw || '!')"
ROLE = "role TEXT CHECK (role <> '')"


def reflected(*columns, separator=", "):
    engine = sqlalchemy.create_engine("sqlite://")
    tables = sqlalchemy.MetaData()
    with engine.begin() as connection:
        connection.exec_driver_sql(f"CREATE TABLE messages ({separator.join(('raw TEXT', *columns))})")
        table = sqlalchemy.Table("messages", tables, autoload_with=connection)
    try:
        tables.create_all(sqlalchemy.create_engine("sqlite://"))
    except OperationalError:
        return str(table.c.title.computed.sqltext), "OperationalError"
    return str(table.c.title.computed.sqltext), "created"


found = [reflected(*columns, separator=end) for columns in ((LONG, ROLE), (SHORT,)) for end in (", ", ",\n")]
print(*found, sep="\n")
assert found[1] == ("raw || '!'", "created"), "on several lines it is read differently now"
assert found[0] == ("raw || '!') STORED, role TEXT CHECK (role <> ''", "OperationalError"), "one line is read now"
assert found[2] == found[3] == ("", "OperationalError"), "the short form is read differently now"
PY
