"""Nothing is believed that was not read back: documents out of a database, compared with where they came from."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import zip_longest
from pathlib import Path

from migrator.database.documents import read_source
from migrator.document import SequenceDigest, canonical
from migrator.errors import MigrationFailed, sqlite_errors
from migrator.migration.load import LoadedSource, valid_documents


def orphans(connection: sqlite3.Connection, path: Path) -> list[str]:
    """Children without parents, as SQLite finds them."""
    with sqlite_errors("check the foreign keys", path):
        rows = connection.execute("PRAGMA foreign_key_check").fetchall()
    return [f"{table} row {rowid} refers to a missing row of {parent}" for table, rowid, parent, _ in rows]


def source_digest(connection: sqlite3.Connection, source_id: int, seen: Callable[[int], None] | None = None) -> str:
    """The digest of a source's documents as the database holds them now.

    :param seen: called with the size of each document's canonical form, in bytes
    """
    digest = SequenceDigest()
    for stored in read_source(connection, source_id):
        spelled = canonical(stored.document)
        digest.add(spelled)
        if seen:
            seen(len(spelled))
    return digest.hexdigest()


def require_same(
    connection: sqlite3.Connection,
    path: Path,
    loaded: Sequence[LoadedSource],
    copies: Callable[[LoadedSource], Path],
    seen: Callable[[LoadedSource, int], None],
) -> None:
    """Read back every document of the loaded sources and compare it with its file.

    :raises MigrationFailed: one differs; says which
    """
    for source in loaded:
        with sqlite_errors("read sessions back", path):
            found = source_digest(connection, source.source_id, partial(seen, source))
            if found == source.digest:
                continue
            difference = first_difference(connection, source.source_id, copies(source))
        raise MigrationFailed(
            f"What {path.name} holds of {source.source.name} does not read back as what the file holds: {difference}.",
            hint="Nothing was changed. Please report this as a bug, with the output of 'migrator doctor'.",
        )


def first_difference(connection: sqlite3.Connection, source_id: int, copy: Path) -> str:
    """Where the database and a file first disagree, for a message."""
    stored: Iterator[bytes] = (canonical(found.document) for found in read_source(connection, source_id))
    for number, (expected, found) in enumerate(zip_longest(valid_documents(copy), stored)):
        if expected is None:
            return f"a session too many, number {number}"
        if found is None:
            return f"the session at index {expected[0]} is missing"
        if expected[2] != found:
            return f"the session at index {expected[0]} differs"
    return "it changed between two readings"
