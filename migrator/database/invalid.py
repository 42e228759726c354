"""Reads stored sessions that are no longer valid documents because other programs' SQL changed their rows."""

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

# The errors for rescued data that another program wrote, and for text that is not UTF-8.
UNREADABLE = (UnreadableSession, ValueError, TypeError, sqlite3.OperationalError)


class InvalidStoredSession(NamedTuple):
    """A session in the database that is not a valid document.

    :ivar raw: the document in its canonical form, or its rows as a JSON object if they make no document
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
    """Read the session with this primary key, valid or not; None if there is none."""
    try:
        stored = read_document(connection, key)
        if stored is None or is_valid(stored.document):
            return stored
        text, found = stored.canonical_bytes(), problems(stored.document)
    except UNREADABLE as error:
        reraise_unless_data_error(error)
        reason = error.reason if isinstance(error, UnreadableSession) else str(error)
        unreadable = Problem("", f"rows that cannot be read ({reason})", "a session", "session.unreadable")
        text, found = _rows(connection, key), [unreadable]
    position, source_id = connection.execute(queries.PLACE_OF_SESSION, (key,)).fetchone()
    return InvalidStoredSession(key, position, source_id, text, found)


def read_each_carefully(
    connection: sqlite3.Connection, statement: str, number: int
) -> Iterator[StoredDocument | InvalidStoredSession]:
    """Read each session that the statement finds, one by one: slower than all at once, but each may be invalid."""
    for (key,) in connection.execute(statement, (number,)).fetchall():
        found = read_carefully(connection, key)
        if found is not None:
            yield found


def orphaned_rows(connection: sqlite3.Connection) -> dict[str, list[dict[str, Any]]]:
    """Return rows that belong to missing sessions, by table; they occur where foreign keys were not enforced."""
    found = {}
    for table, columns in CHILD_TABLES.items():
        with _any_text(connection):
            rows = _named(columns, connection.execute(queries.ORPHANED[table]))
        if rows:
            found[table] = rows
    return found


def reraise_unless_data_error(error: Exception) -> None:
    """Raise a database's own error again, unless text that is not UTF-8 caused it (SQLite has no code for that)."""
    if isinstance(error, sqlite3.OperationalError) and "Could not decode to UTF-8" not in str(error):
        raise error


def text_of(found: StoredDocument | InvalidStoredSession) -> bytes:
    """Return a session as bytes, valid or not, to be kept or compared."""
    return found.canonical_bytes() if isinstance(found, StoredDocument) else found.raw


def _rows(connection: sqlite3.Connection, key: str) -> bytes:
    """Return all rows of a session as JSON in ASCII; bytes that are not UTF-8 become lone surrogates (PEP 383)."""
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
