"""Sessions that a file lost: quarantined with the reason ``deleted``, or held until the user decides.

A held session stays among the others. It is no longer held once it has changed in SQLite, or is in the file again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from migrator.database import quarantine_queries, queries
from migrator.database.columns import QuarantineRow
from migrator.database.documents import StoredDocument, delete_document, next_position
from migrator.database.invalid import InvalidStoredSession, read_carefully
from migrator.database.quarantine import quarantine_row, texts_of
from migrator.documents.document import digest
from migrator.documents.parsing import Rejected
from migrator.errors import Problem

_DELETED = Problem("", "a session that its file no longer has", "", "session.deleted")
_FEWEST = 5  # sessions: more than half of them deleted at once are held


class Deletion(NamedTuple):
    """A session that a file lost.

    :ivar session_id: the id in the document
    :ivar source: the file, as in the ledger; None if a rollback has removed that link
    :ivar held: whether it is still in SQLite, until the user decides
    :ivar item: its number in quarantine; None while it is held
    """

    session_id: str
    workspace_hash: str | None
    source: str | None
    held: bool
    item: int | None


class Held(NamedTuple):
    """A deletion that is held: the session, and what the record has of it."""

    stored: StoredDocument
    source: str
    workspace_hash: str
    workspace_path: str
    found_at: str

    def as_deletion(self) -> Deletion:
        """Return it as a report names it."""
        return Deletion(self.stored.document["id"], self.workspace_hash, self.source, held=True, item=None)


def is_held(taken: int, of: int) -> bool:
    """Whether so many sessions are not deleted without a decision: all of two or more, or most of at least five.

    :param taken: how many sessions the merge would take out
    :param of: how many there were on both sides, without those that both sides deleted
    """
    return (taken == of and of > 1) or (taken >= _FEWEST and 2 * taken > of)


def hold(connection: sqlite3.Connection, source_id: int, sessions: Mapping[str, bytes]) -> None:
    """Record sessions whose deletion waits for a decision.

    :param sessions: the digest of each, by its key
    """
    now = datetime.now(UTC).isoformat(timespec="seconds")
    rows = [(key, source_id, known, now) for key, known in sessions.items()]
    connection.executemany(quarantine_queries.HOLD_DELETION, rows)


def release(connection: sqlite3.Connection, key: str) -> None:
    """Remove the record of a held deletion; the session stays."""
    connection.execute(quarantine_queries.RELEASE_DELETION, (key,))


def held_of_source(connection: sqlite3.Connection, source_id: int, present: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the digest of each session of a source whose deletion is held, by its key; release the others.

    :param present: the digest of each session that SQLite has of the source now
    """
    held: dict[str, bytes] = {}
    for key, known in connection.execute(quarantine_queries.HELD_OF_SOURCE, (source_id,)).fetchall():
        if present.get(key) == known:
            held[key] = known
        else:
            release(connection, key)
    return held


def held_deletions(connection: sqlite3.Connection) -> Iterator[Held]:
    """Yield each deletion that is held, without the sessions that have changed since."""
    rows = connection.execute(quarantine_queries.HELD_DELETIONS).fetchall()
    for key, known, found_at, source, file_hash, path in rows:
        stored = read_carefully(connection, key)
        if not isinstance(stored, InvalidStoredSession | None) and stored.digest() == known:
            yield Held(stored, source, file_hash, path, found_at)


def take_out(connection: sqlite3.Connection, stored: StoredDocument, workspace_hash: str) -> int:
    """Move a session into quarantine as deleted; return its number there."""
    row = deleted_row(stored, workspace_hash)
    if stored.position is None:
        row = row._replace(position=next_position(connection, stored.workspace_id, workspace_hash))
    item = connection.execute(queries.INSERT_QUARANTINE, row).lastrowid
    remove(connection, stored.key)
    return item or 0


def deleted_row(stored: StoredDocument, workspace_hash: str) -> QuarantineRow:
    """Make the item for a deleted session; without a place of its own, it is the first."""
    rejected = Rejected("deleted", stored.canonical_bytes(), [_DELETED])
    row = quarantine_row(stored.source_id, workspace_hash, stored.position or 0, rejected)
    return row._replace(session_id=stored.document["id"])


def remove(connection: sqlite3.Connection, key: str) -> None:
    """Delete a session that is in quarantine now."""
    delete_document(connection, key)
    release(connection, key)


def drop_returned(connection: sqlite3.Connection, workspace_hash: str, present: Mapping[str, set[bytes]]) -> None:
    """Remove from quarantine the deleted sessions of a workspace that came back unchanged.

    :param present: the digests of the sessions that came in, by their ids
    """
    for item, session_id in connection.execute(quarantine_queries.DELETED_OF_WORKSPACE, (workspace_hash,)).fetchall():
        if session_id in present and digest(texts_of(connection, item)[0]) in present[session_id]:
            connection.execute(queries.DELETE_QUARANTINE, (item,))


def all_deletions(connection: sqlite3.Connection) -> Iterator[Deletion]:
    """Yield each deleted session: first those that are held, then those in quarantine."""
    for held in held_deletions(connection):
        yield held.as_deletion()
    for item, session_id, workspace_hash, source, _ in connection.execute(quarantine_queries.DELETED_ITEMS):
        yield Deletion(session_id or "", workspace_hash, source, held=False, item=item)
