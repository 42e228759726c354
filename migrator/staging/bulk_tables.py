"""Tables without unique indexes, into which the many rows of a staging database are loaded.

Updating an index with each row costs more than building it from sorted keys once all rows are there, and without one
SQLite appends the rows of a shard as they are, instead of taking each apart (its transfer optimization). At the end
``sqlite_schema`` is changed so that the real table and its index have the pages of the loaded ones
(https://www.sqlite.org/pragma.html#pragma_writable_schema). The database is discarded if anything fails until then, and
every session is read back from it afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from migrator.database.columns import MessageRow
from migrator.database.connection import AnyConnection
from migrator.database.documents import insert_message
from migrator.database.rows import derived_key, free_key, rekey
from migrator.staging import queries


def statements(model: AnyConnection) -> list[str]:
    """Return the statements that create the tables, with the columns that the real ones have in ``model``."""
    columns = {table: model.execute(queries.COLUMNS_OF_TABLE, (table,)).fetchall() for table in queries.BULK_TABLES}
    return [queries.create_bulk_table(table, found) for table, found in columns.items()]


def become_real(connection: AnyConnection) -> None:
    """Make the contents of the tables those of the real ones, which are empty, and drop the tables.

    The second of two messages with the same key gets another one, as if they had been inserted in order.
    """
    for table in queries.BULK_TABLES:
        connection.execute(queries.create_bulk_key(table))
    _rekey_repeated(connection)
    connection.execute("PRAGMA writable_schema = ON")
    for table, (bulk, _) in queries.BULK_TABLES.items():
        for pair in ((table, bulk), queries.unique_indexes(table)):
            _exchange(connection, *pair)
    connection.execute("PRAGMA writable_schema = RESET")
    connection.execute(queries.INSTANCES_NUMBERED)
    _drop(connection)


def add_to_real(connection: AnyConnection) -> None:
    """Insert the contents of the tables into the real ones, which have rows already, and drop the tables."""
    connection.execute(queries.ADD_BULK_INSTANCES)
    for row in connection.execute(queries.BULK_MESSAGES).fetchall():
        insert_message(connection, MessageRow._make(row))
    _drop(connection)


def _drop(connection: AnyConnection) -> None:
    for bulk, _ in queries.BULK_TABLES.values():
        connection.execute(f"DROP TABLE {bulk}")


def _exchange(connection: AnyConnection, one: str, other: str) -> None:
    """Exchange the root pages of two tables or two indexes."""
    [(first,)] = connection.execute(queries.ROOT_PAGE, (one,)).fetchall()
    [(second,)] = connection.execute(queries.ROOT_PAGE, (other,)).fetchall()
    connection.execute(queries.SET_ROOT_PAGE, (second, one))
    connection.execute(queries.SET_ROOT_PAGE, (first, other))


def _rekey_repeated(connection: AnyConnection) -> None:
    """Give messages another key if an earlier one has theirs."""
    last = ""
    while repeated := connection.execute(queries.REPEATED_MESSAGES, (last,)).fetchall():
        for (last,) in repeated:
            _, *others = connection.execute(queries.MESSAGES_OF_KEY, (last,)).fetchall()
            for rowid, *values in others:
                row = MessageRow(*values)
                spare = derived_key(row.id, row.session_id, row.position or 0)
                changed = rekey(row, free_key(row.id, spare, _is_taken(connection)))
                connection.execute(queries.REKEY_BULK_MESSAGE, (changed.id, changed.rescued_data, rowid))


def _is_taken(connection: AnyConnection) -> Callable[[str], Any]:
    return lambda key: connection.execute(queries.BULK_MESSAGE_TAKEN, (key,)).fetchone()
