#!/bin/sh
# A migration with Alembic's batch mode that only makes a column NOT NULL takes ON DELETE CASCADE away from the table's
# foreign keys that are declared in their columns, and AUTOINCREMENT from its id. Nothing is raised.
#
# Seen with Alembic 1.20.1 and SQLAlchemy 2.1.9 on SQLite: before, deleting a session deletes its messages, and the id
# of a deleted message is never given again. After batch_alter_table, deleting the session is an IntegrityError, and the
# next message gets the id of the deleted one. The same key, written as FOREIGN KEY (session) REFERENCES ... after the
# columns, keeps its action: only there does SQLAlchemy's reflection look for it.
#
# Output: column (('CASCADE', 3), ('NO ACTION', 2), 'IntegrityError'), table (('CASCADE', 3), ('CASCADE', 2), 0)
#
# Why it matters: SQLAlchemy writes keys after the columns, people and most apps write them in the columns. After the
# migration, deleting a session fails in code that nobody touched, and links to a deleted message lead to a new one.
# Compare PRAGMA foreign_key_list and the CREATE TABLE before and after, or give batch_alter_table the whole table as
# copy_from.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -qq 'alembic==1.20.1' 'SQLAlchemy==2.1.9'
"$folder/venv/bin/python" -W error - <<'PY'
import sqlalchemy
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy.exc import IntegrityError

IN_COLUMN = "session TEXT REFERENCES sessions(id) ON DELETE CASCADE, text TEXT"
IN_TABLE = "session TEXT, text TEXT, FOREIGN KEY (session) REFERENCES sessions(id) ON DELETE CASCADE"


def seen(connection):
    """The key's action, and the id that follows a deleted 2."""
    (key,) = connection.exec_driver_sql("PRAGMA foreign_key_list(messages)").mappings()
    add = "INSERT INTO messages(session, text) VALUES ('s1', 'hello') RETURNING id"
    following = connection.exec_driver_sql(add).scalar()
    connection.exec_driver_sql("DELETE FROM messages WHERE id = ?", (following,))
    return key["on_delete"], following


def migrated(columns):
    engine = sqlalchemy.create_engine("sqlite://")
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA foreign_keys = ON")
        connection.commit()
        for statement in (
            "CREATE TABLE sessions (id TEXT PRIMARY KEY)",
            f"CREATE TABLE messages (id INTEGER PRIMARY KEY AUTOINCREMENT, {columns})",
            "INSERT INTO sessions VALUES ('s1')",
            "INSERT INTO messages(session, text) VALUES ('s1', 'first'), ('s1', 'second')",
            "DELETE FROM messages WHERE id = 2",
        ):
            connection.exec_driver_sql(statement)
        before = seen(connection)
        with Operations(MigrationContext.configure(connection)).batch_alter_table("messages") as table:
            table.alter_column("text", nullable=False)
        after = seen(connection)
        try:
            connection.exec_driver_sql("DELETE FROM sessions")
        except IntegrityError:
            return before, after, "IntegrityError"
        return before, after, connection.exec_driver_sql("SELECT count(*) FROM messages").scalar()


column, table = migrated(IN_COLUMN), migrated(IN_TABLE)
print(f"column {column}, table {table}")
assert column == (("CASCADE", 3), ("NO ACTION", 2), "IntegrityError"), "the key in the column keeps its action now"
assert table == (("CASCADE", 3), ("CASCADE", 2), 0), "the key after the columns changes now"
PY
