"""Sessions that make no valid document any more, because somebody's SQL has written what no session may hold."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from migrator.database import queries
from migrator.database.columns import CHILD_TABLES, READ_INSTANCE_COLUMNS, READ_MESSAGE_COLUMNS, SESSION_COLUMNS
from migrator.database.documents import StoredDocument, read_document
from migrator.documents.validation import is_valid, problems
from migrator.errors import Problem, UnreadableSession

# What reading or spelling raises: of rescued data that is not of our making, and of text that is no UTF-8.
UNREADABLE = (UnreadableSession, ValueError, TypeError, sqlite3.OperationalError)


class InvalidStoredSession(NamedTuple):
    """A session that is there, and is no valid one.

    :ivar raw: the document in its canonical form; or, where none can be made, its rows as a JSON object
    :ivar problems: what is wrong with it
    """

    key: str
    position: int | None
    source_id: int | None
    raw: bytes
    problems: list[Problem]

    def __str__(self) -> str:
        return f"the session {self.key!r}: {'; '.join(map(str, self.problems))}"


def read_carefully(connection: sqlite3.Connection, key: str) -> StoredDocument | InvalidStoredSession | None:
    """What the rows of this primary key make, valid or not; None where there are none."""
    try:
        stored = read_document(connection, key)
        if stored is None or is_valid(stored.document):
            return stored
        text, found = stored.canonical_bytes(), problems(stored.document)
    except UNREADABLE as error:
        reraise_unless_data_error(error)
        reason = error.reason if isinstance(error, UnreadableSession) else str(error)
        text, found = _rows(connection, key), [Problem("", f"rows that can't be read ({reason})", "a session")]
    position, source_id = connection.execute(queries.PLACE_OF_SESSION, (key,)).fetchone()
    return InvalidStoredSession(key, position, source_id, text, found)


def read_each_carefully(
    connection: sqlite3.Connection, statement: str, number: int
) -> Iterator[StoredDocument | InvalidStoredSession]:
    """What each session makes whose key the statement finds for a number: slower than reading them all at once."""
    for (key,) in connection.execute(statement, (number,)).fetchall():
        found = read_carefully(connection, key)
        if found is not None:
            yield found


def orphaned_rows(connection: sqlite3.Connection) -> dict[str, list[dict[str, Any]]]:
    """What belongs to sessions that are not there, by table: foreign keys forbid it, where they are on."""
    found = {}
    for table, columns in CHILD_TABLES.items():
        with _any_text(connection):
            rows = _named(columns, connection.execute(queries.ORPHANED[table]))
        if rows:
            found[table] = rows
    return found


def reraise_unless_data_error(error: Exception) -> None:
    """Let pass what a database itself is at fault for: a text that is no UTF-8 has no code of its own."""
    if isinstance(error, sqlite3.OperationalError) and "Could not decode to UTF-8" not in str(error):
        raise error


def text_of(found: StoredDocument | InvalidStoredSession) -> bytes:
    """What there is of a session, to be kept or compared."""
    return found.canonical_bytes() if isinstance(found, StoredDocument) else found.raw


def _rows(connection: sqlite3.Connection, key: str) -> bytes:
    """Every row of a session as JSON, in ASCII; bytes that are no UTF-8 as lone surrogates (PEP 383)."""
    with _any_text(connection):
        [session] = _named(SESSION_COLUMNS, connection.execute(queries.SESSION_BY_KEY, (key,)))
        rows = {
            "session": session,
            "runtimes": [name for (name,) in connection.execute(queries.RUNTIMES_OF_SESSION, (key,))],
            "instances": _named(READ_INSTANCE_COLUMNS, connection.execute(queries.INSTANCES_OF_SESSION, (key,))),
            "messages": _named(READ_MESSAGE_COLUMNS, connection.execute(queries.MESSAGES_OF_SESSION, (key,))),
        }
    return json.dumps(rows, indent=2).encode()


def _named(columns: tuple[str, ...], rows: sqlite3.Cursor) -> list[dict[str, Any]]:
    return [dict(zip(columns, row, strict=True)) for row in rows]


@contextmanager
def _any_text(connection: sqlite3.Connection) -> Iterator[None]:
    before = connection.text_factory
    connection.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
    try:
        yield
    finally:
        connection.text_factory = before
