"""What hybrid mode has to remember: which workspaces the second store may lack, and what was found.

It is an SQLite database of its own. Appending to a file would do for one process; here several write at once, a crash
must leave no torn record, and counts are asked for without reading everything that ever happened.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import TypeVar

from migrator.database.connection import connect, opened, snapshot, transaction
from migrator.database.pool import ConnectionPool
from migrator.database.schema import has_table, split_statements
from migrator.resources import schemas
from migrator.storage import timestamps
from migrator.storage.arguments import WorkspaceRef
from migrator.storage.hybrid import queries
from migrator.text import counted
from migrator.workspace import placeholder

_T = TypeVar("_T")

_ACQUIRE_TIMEOUT = 3.0  # seconds
_READING = "read the trial's journal"  # what the reader was at, for messages


@dataclass(frozen=True)
class HybridStats:
    """What hybrid mode recorded.

    :ivar writes: writes that the first store took
    :ivar failures: of the second store, writing or reading; each left a repair to do
    :ivar pending_repairs: workspaces that the second store may lack something of
    :ivar comparisons: reads that were made of both stores
    :ivar differences: comparisons that found one
    """

    writes: int
    failures: int
    pending_repairs: int
    comparisons: int
    differences: int

    def summary(self) -> str:
        """All counts in one line."""
        nouns = ("write", "failure", "pending repair", "comparison", "difference")
        return ", ".join(counted(number, noun) for number, noun in zip(astuple(self), nouns, strict=True))


@dataclass(frozen=True)
class Difference:
    """Where the two stores answered differently.

    :ivar operation: what was asked
    :ivar session_id: of the first document that differs
    :ivar primary_digest: the digest in the first store, in hex, or None where it has no such document
    :ivar secondary_digest: likewise in the second
    """

    workspace_path: str
    operation: str
    session_id: str
    primary_digest: str | None
    secondary_digest: str | None
    found_at: str


def read_stats(path: Path) -> HybridStats | None:
    """What the journal at ``path`` holds, or None where there is none.

    :raises ConnectionFailed: it can't be read
    """
    return _read(path, "trial_counts", _stats, None)


def read_known_files(path: Path) -> dict[str, str]:
    """The SHA-256 of each workspace file that the first store has all of, by the workspace's hash.

    :raises ConnectionFailed: the journal at ``path`` can't be read
    """
    return _read(path, "known_files", _known_files, {})


def _read(path: Path, table: str, read: Callable[[sqlite3.Connection], _T], nothing: _T) -> _T:
    if not path.exists():
        return nothing
    with opened(path, read_only=True) as connection, snapshot(connection, path, _READING):
        return read(connection) if has_table(connection, table) else nothing


def _known_files(connection: sqlite3.Connection) -> dict[str, str]:
    return dict(connection.execute(queries.JOURNAL_ALL_KNOWN).fetchall())


def _stats(connection: sqlite3.Connection) -> HybridStats:
    return HybridStats(*connection.execute(queries.JOURNAL_STATS).fetchone())


class Journal:
    """Everything that returns is on the disk.

    :raises ConnectionFailed: it can't be opened
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pool = ConnectionPool(self._connect, size=1, acquire_timeout=_ACQUIRE_TIMEOUT)
        with self._changing("begin"):
            pass

    def _connect(self) -> sqlite3.Connection:
        connection = connect(self._path, create=True, shared_between_threads=True)
        try:
            connection.execute("PRAGMA synchronous = FULL")  # an intent that a power cut takes away is no intent
            with transaction(connection, self._path, "make the tables"):
                for statement in split_statements((schemas() / "sql" / "hybrid_journal.sql").read_text("utf-8")):
                    connection.execute(statement)
        except BaseException:
            connection.close()
            raise
        return connection

    @contextmanager
    def _changing(self, action: str) -> Iterator[sqlite3.Connection]:
        with self._pool.connection() as connection, transaction(connection, self._path, action):
            yield connection

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._pool.connection() as connection, snapshot(connection, self._path, _READING):
            yield connection

    def record_intent(self, workspace: WorkspaceRef) -> int:
        """Record that the workspace is about to be written; returns the record's number."""
        with self._changing("record what is to be written") as connection:
            return _pend(connection, workspace, None)

    def discard_intent(self, intent: int) -> None:
        """Nothing was written."""
        with self._changing("take back a record") as connection:
            connection.execute(queries.JOURNAL_FORGET, (intent,))

    def record_write(self, intent: int, comparisons: int) -> None:
        """Both stores have it."""
        with self._changing("record a write") as connection:
            connection.execute(queries.JOURNAL_FORGET, (intent,))
            connection.execute(queries.JOURNAL_COUNT, (1, 0, comparisons, 0))

    def record_failure(self, intent: int, error: str) -> None:
        """The first store has it, the second does not."""
        with self._changing("record a failed write") as connection:
            connection.execute(queries.JOURNAL_FAILED, (error, intent))
            connection.execute(queries.JOURNAL_COUNT, (1, 1, 0, 0))

    def record_unreadable(self, workspace: WorkspaceRef, error: str) -> None:
        """The second store could not be read."""
        with self._changing("record a failed comparison") as connection:
            _pend(connection, workspace, error)
            connection.execute(queries.JOURNAL_COUNT, (0, 1, 0, 0))

    def record_difference(
        self, workspace: WorkspaceRef, operation: str, session_id: str, digests: tuple[str | None, str | None]
    ) -> None:
        """The stores answered differently: to be repaired as well."""
        with self._changing("record a difference") as connection:
            _pend(connection, workspace, f"{operation} found a difference")
            values = (*_named(workspace), operation, session_id, *digests, timestamps.now())
            connection.execute(queries.JOURNAL_DIFFER, values)
            connection.execute(queries.JOURNAL_COUNT, (0, 0, 0, 1))

    def count_comparisons(self, comparisons: int) -> None:
        """So many comparisons were made."""
        with self._changing("count comparisons") as connection:
            connection.execute(queries.JOURNAL_COUNT, (0, 0, comparisons, 0))

    def newest_intent(self, workspace: WorkspaceRef) -> int | None:
        """The number of the workspace's newest record, or None where nothing is pending."""
        with self._reading() as connection:
            newest: int | None = connection.execute(queries.JOURNAL_NEWEST, (workspace.hash,)).fetchone()[0]
            return newest

    def pending_repairs(self) -> list[WorkspaceRef]:
        """The workspaces that are to be repaired, the longest-waiting first."""
        with self._reading() as connection:
            return [WorkspaceRef(*row) for row in connection.execute(queries.JOURNAL_PENDING)]

    def record_repair(self, workspace: WorkspaceRef, newest: int) -> None:
        """The second store has all that was recorded of the workspace up to a record."""
        with self._changing("record a repair") as connection:
            connection.execute(queries.JOURNAL_REPAIRED, (workspace.hash, newest))

    def record_known(self, files: Mapping[str, str]) -> None:
        """The first store has all that is in these workspace files.

        :param files: the SHA-256 of each, by the workspace's hash
        """
        with self._changing("record what a file holds") as connection:
            connection.executemany(queries.JOURNAL_KNOW, files.items())

    def is_known(self, workspace_hash: str, sha256: str) -> bool:
        """Whether the first store has all that is in the workspace's file of that SHA-256."""
        with self._reading() as connection:
            row = connection.execute(queries.JOURNAL_KNOWN, (workspace_hash,)).fetchone()
            return row is not None and row[0] == sha256

    def known_files(self) -> dict[str, str]:
        """The SHA-256 of each workspace file that the first store has all of, by the workspace's hash."""
        with self._reading() as connection:
            return _known_files(connection)

    def differences(self) -> list[Difference]:
        """Every difference found, in order."""
        with self._reading() as connection:
            return [Difference(*row) for row in connection.execute(queries.JOURNAL_DIFFERENCES)]

    def stats(self) -> HybridStats:
        """The counts since the journal was made, all processes together."""
        with self._reading() as connection:
            return _stats(connection)

    def close(self) -> None:
        """Let go of the database."""
        self._pool.close()


def _pend(connection: sqlite3.Connection, workspace: WorkspaceRef, error: str | None) -> int:
    cursor = connection.execute(queries.JOURNAL_PEND, (*_named(workspace), timestamps.now(), error))
    return int(cursor.lastrowid or 0)


def _named(workspace: WorkspaceRef) -> tuple[str, str]:
    return workspace.hash, workspace.path or placeholder(workspace.hash)
