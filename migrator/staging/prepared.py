"""What a merge prepares before it takes the database's write lock, so that other programs wait only for the changes.

Before: the sessions that SQLite has of a file are read, and the texts of conflicts are written to a table of the
staging database. Under the lock a session is read again only if its rows have changed, and SQLite itself copies rows.
"""

from __future__ import annotations

import hashlib
import marshal
import sqlite3
from collections.abc import Container, Iterator
from typing import NamedTuple

from migrator.database import queries
from migrator.database.documents import delete_document, read_document, read_source
from migrator.staging import queries as staging_queries


class Present(NamedTuple):
    """A session that SQLite has of a source."""

    key: str
    position: int | None
    session_id: str
    digest: bytes


class _Seen(NamedTuple):
    stamp: bytes
    session_id: str
    digest: bytes
    rescued_data: str | None


class Preparation:
    """What is known of one source; useful without any preparation, too.

    :param main: the database, with the staging database attached as ``staging``
    :param staged: the staging database, on a connection of its own
    """

    def __init__(self, main: sqlite3.Connection, staged: sqlite3.Connection) -> None:
        self._main = main
        self._staged = staged
        self._seen: dict[str, _Seen] = {}
        self._version: int | None = None
        self._kept: set[str] = set()
        self._stamps: dict[str, bytes] = {}

    def look(self, source_id: int) -> list[Present]:
        """Read what SQLite has of the source; the caller has begun a transaction."""
        self._version = self._data_version()
        rescued = {key: text for key, _, text in self._main.execute(staging_queries.PLACES_OF_SOURCE, (source_id,))}
        found = []
        for stored in read_source(self._main, source_id):
            one = Present(stored.key, stored.position, stored.document["id"], stored.digest())
            self._seen[one.key] = _Seen(stamp(self._main, one.key), one.session_id, one.digest, rescued[one.key])
            found.append(one)
        return found

    def present(self, source_id: int, touched: Container[str]) -> Iterator[Present]:
        """Yield what SQLite has of the source now; what has changed since it was looked at is read again.

        :param touched: the ids whose contents matter; of the others an older digest will do
        """
        if self._version is None:
            for stored in read_source(self._main, source_id):
                yield Present(stored.key, stored.position, stored.document["id"], stored.digest())
            return
        unchanged = self._version == self._data_version()
        places = self._main.execute(staging_queries.PLACES_OF_SOURCE, (source_id,)).fetchall()
        for key, position, rescued_data in places:
            seen = self._seen.get(key)
            if seen and (
                unchanged
                or (seen.session_id not in touched and seen.rescued_data == rescued_data)
                or seen.stamp == stamp(self._main, key)
            ):
                yield Present(key, position, seen.session_id, seen.digest)
            elif (stored_now := read_document(self._main, key)) is not None:
                yield Present(key, position, stored_now.document["id"], stored_now.digest())

    def id_of(self, key: str) -> str | None:
        """Return the id that the session with this key had when it was looked at."""
        seen = self._seen.get(key)
        return seen.session_id if seen else None

    def _data_version(self) -> int:
        """Return a number that differs once another connection has changed the database."""
        return int(self._main.execute(staging_queries.DATA_VERSION).fetchone()[0])

    def keep_conflict(self, key: str, base: bytes | None) -> None:
        """Keep the text of a staged session, and of what it was once, to be quarantined later."""
        stored = read_document(self._staged, key)
        if stored is not None:
            self._main.execute(staging_queries.KEEP_CONFLICT, (key, stored.canonical_bytes(), base))
            self._kept.add(key)

    def conflict(self, key: str) -> tuple[bytes, bytes | None] | None:
        """Return the two texts, if they were kept."""
        if key not in self._kept:
            return None
        raw, base = self._main.execute(staging_queries.KEPT_CONFLICT, (key,)).fetchone()
        return raw, base

    def expect(self, key: str) -> None:
        """Note the rows of a staged session, to be compared with what is written later."""
        self._stamps[key] = stamp(self._staged, key)

    def replace(self, key: str, workspace_id: int, position: int | None, source_id: int) -> bool:
        """Replace a session by the staged one with the same key; rows that are equal stay.

        :returns: whether it is as it was staged; if not, it has to be inserted anew
        """
        for statement in staging_queries.DELETE_DIFFERING:
            self._main.execute(statement, (key,))
        self._main.execute(staging_queries.REPLACE_BY_STAGED, (key, workspace_id, position, source_id))
        return self._copy_children(key)

    def insert(self, key: str, workspace_id: int, position: int | None, source_id: int) -> bool:
        """Copy a staged session into the database and compare what was written.

        :returns: False if nothing was copied, because a key is taken
        """
        if self._main.execute(queries.SESSION_KEY_TAKEN, (key,)).fetchone():
            return False
        self._main.execute(staging_queries.COPY_STAGED_SESSION, (key, workspace_id, position, source_id))
        if self._copy_children(key):
            return True
        delete_document(self._main, key)
        return False

    def _copy_children(self, key: str) -> bool:
        """Copy the other rows of a session; return whether all are as they were staged: some keys may be taken."""
        for statement in staging_queries.COPY_STAGED_CHILDREN:
            self._main.execute(statement, (key,))
        return stamp(self._main, key) == (self._stamps.get(key) or stamp(self._staged, key))


def create_table(main: sqlite3.Connection) -> None:
    """Create the table for the texts of conflicts in the attached staging database, which needs no syncs any more."""
    for statement in (*staging_queries.UNSYNCED, staging_queries.CREATE_KEPT_CONFLICTS):
        main.execute(statement)


def stamp(connection: sqlite3.Connection, key: str) -> bytes:
    """Return a hash of the rows of a session, without its place: much faster than its digest, which is of the JSON."""
    session = connection.execute(staging_queries.CONTENTS_OF_SESSION, (key,)).fetchall()
    runtimes = connection.execute(queries.RUNTIMES_OF_SESSION, (key,)).fetchall()
    instances = connection.execute(queries.INSTANCES_OF_SESSION, (key,)).fetchall()
    messages = connection.execute(queries.MESSAGES_OF_SESSION, (key,)).fetchall()
    # Version 2 writes equal values in the same way, however they are shared.
    return hashlib.sha256(marshal.dumps((session, runtimes, instances, messages), 2)).digest()
