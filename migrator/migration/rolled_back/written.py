"""What a rollback wrote to one of the JSON files, as the database records it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from migrator.database.documents import StoredDocument
from migrator.database.invalid import InvalidStoredSession, read_carefully
from migrator.migration.rolled_back import queries


def written_to(connection: sqlite3.Connection, source: str) -> Iterator[StoredDocument]:
    """Yield each session as the rollback wrote it to this file; one that was changed or deleted since is left out."""
    for key, digest in connection.execute(queries.WRITTEN_TO_FILE, (source,)).fetchall():
        session = read_carefully(connection, key)
        if session is not None and not isinstance(session, InvalidStoredSession) and session.digest() == digest:
            yield session
