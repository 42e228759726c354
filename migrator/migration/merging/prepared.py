"""What a merge prepares before it takes the database's write lock, so that other programs wait only for the changes.

Before: the sessions that SQLite has of a file are read, and the rows of those that the file changed are copied to the
staging database and compared with the staged ones; items for the quarantine are completed there. Under the lock SQLite
itself compares the rows with their copies, and copies what is new: no text of a session that did not change
meanwhile goes through Python.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Container, Iterator, Sequence
from typing import NamedTuple

from migrator.database import queries
from migrator.database.columns import QuarantineRow
from migrator.database.documents import delete_document, read_document, read_source
from migrator.migration.merging import queries as merging_queries
from migrator.search.index import index_state


class Present(NamedTuple):
    """A session that SQLite has of a source."""

    key: str
    position: int | None
    session_id: str
    digest: bytes


class _Seen(NamedTuple):
    session_id: str
    digest: bytes
    rescued_data: str | None


class Preparation:
    """What is known of one source; useful without any preparation, too.

    :param main: the database, with the staging database attached as ``staging``
    :param staged_id: the number of the source there
    """

    def __init__(self, main: sqlite3.Connection, staged_id: int) -> None:
        self._main = main
        self._staged_id = staged_id
        self._seen: dict[str, _Seen] = {}
        self._copied: set[str] = set()
        self._same: set[str] = set()
        self._compared: set[str] = set()
        self._version: int | None = None
        self._indexed = False
        self._kept: dict[tuple[str, str], bytes] = {}

    def look(self, source_id: int, touched: Container[str]) -> list[Present]:
        """Read what SQLite has of the source; the caller has begun a transaction.

        :param touched: the ids whose contents matter
        """
        self._version = self._data_version()
        rescued = {key: text for key, _, text in self._main.execute(merging_queries.PLACES_OF_SOURCE, (source_id,))}
        found = []
        for stored in read_source(self._main, source_id):
            one = Present(stored.key, stored.position, stored.document["id"], stored.digest())
            self._seen[one.key] = _Seen(one.session_id, one.digest, rescued[one.key])
            found.append(one)
        self._copied = {one.key for one in found if one.session_id in touched}
        for statement in merging_queries.SEE:
            self._main.executemany(statement, [(self._staged_id, key) for key in self._copied])
        return found

    def present(self, source_id: int, touched: Container[str]) -> Iterator[Present]:
        """Yield what SQLite has of the source now; what has changed since it was looked at is read again.

        :param touched: the ids whose contents matter; of the others an older digest will do
        """
        if self._version is None:
            for stored in read_source(self._main, source_id):
                yield Present(stored.key, stored.position, stored.document["id"], stored.digest())
            return
        self._indexed = index_state(self._main) in ("building", "complete")
        unchanged = self._version == self._data_version()
        self._same = self._copied if unchanged else self._copied - self._changed_since_seen()
        places = self._main.execute(merging_queries.PLACES_OF_SOURCE, (source_id,)).fetchall()
        for key, position, rescued_data in places:
            seen = self._seen.get(key)
            if seen and (
                unchanged or key in self._same or (seen.session_id not in touched and seen.rescued_data == rescued_data)
            ):
                yield Present(key, position, seen.session_id, seen.digest)
            elif (stored_now := read_document(self._main, key)) is not None:
                yield Present(key, position, stored_now.document["id"], stored_now.digest())

    def _changed_since_seen(self) -> set[str]:
        changed = merging_queries.CHANGED_SINCE_SEEN if self._copied else ()
        return {key for statement in changed for (key,) in self._main.execute(statement, (self._staged_id,))}

    def id_of(self, key: str) -> str | None:
        """Return the id that the session with this key had when it was looked at."""
        seen = self._seen.get(key)
        return seen.session_id if seen else None

    def _data_version(self) -> int:
        """Return a number that differs once another connection has changed the database."""
        return int(self._main.execute(queries.DATA_VERSION).fetchone()[0])

    def keep(self, key: str, digest: bytes, item: QuarantineRow) -> None:
        """Keep an item for the quarantine: a version of a session.

        :param key: of the session, in the database that the version is from
        :param digest: of the version
        """
        self._main.execute(merging_queries.KEEP_ITEM, (key, *item))
        self._kept[key, item.reason] = digest

    def quarantine(self, key: str, digest: bytes, reason: str, source_id: int | None, position: int) -> int | None:
        """Quarantine an item that was kept; return its number, or None if this version was not kept."""
        if self._kept.get((key, reason)) != digest:
            return None
        return self._main.execute(merging_queries.QUARANTINE_KEPT, (source_id, position, key, reason)).lastrowid

    def compare(self, key: str) -> None:
        """Compare the rows of a session that was looked at with the staged ones, which are going to replace them."""
        if key in self._copied:
            for statement in merging_queries.COMPARE_WITH_STAGED:
                self._main.execute(statement, (self._staged_id, key))
            self._compared.add(key)

    def replace(self, key: str, workspace_id: int, position: int | None, source_id: int) -> bool:
        """Replace a session by the staged one with the same key; rows that are equal stay.

        :returns: whether it is as it was staged; if not, it has to be inserted anew
        """
        if key not in self._compared or key not in self._same:
            return False
        for statement in merging_queries.DELETE_CHANGED if self._indexed else ():
            self._main.execute(statement, (key,))
        return self._copy(merging_queries.REPLACE_BY_STAGED, (key, workspace_id, position, source_id))

    def insert(self, key: str, workspace_id: int, position: int | None, source_id: int) -> bool:
        """Copy a staged session into the database and compare what was written.

        :returns: False if nothing was copied, because a key is taken
        """
        if self._main.execute(queries.SESSION_KEY_TAKEN, (key,)).fetchone():
            return False
        if self._copy(merging_queries.COPY_STAGED, (key, workspace_id, position, source_id)):
            return True
        delete_document(self._main, key)
        return False

    def _copy(self, statements: Sequence[str], place: tuple[str, int, int | None, int]) -> bool:
        """Copy the rows of a session; return whether all are as they were staged: some keys may be taken."""
        for number, statement in enumerate(statements):
            self._main.execute(statement, place if number == 0 else place[:1])
        return not self._main.execute(merging_queries.DIFFERS_FROM_STAGED, place[:1]).fetchone()[0]


def text_taken_out(main: sqlite3.Connection) -> int:
    """Return about how many bytes of texts the prepared merges are going to take out of the database."""
    return int(main.execute(merging_queries.TEXT_TAKEN_OUT).fetchone()[0])


def create_tables(main: sqlite3.Connection) -> None:
    """Create the tables for the copies in the attached staging database, which needs no syncs any more."""
    for statement in (*merging_queries.UNSYNCED, merging_queries.CREATE_KEPT, *merging_queries.CREATE_SEEN):
        main.execute(statement)
