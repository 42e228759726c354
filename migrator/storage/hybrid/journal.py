"""What hybrid mode has to remember: which workspaces the second store may lack, and what was found.

It is an SQLite database of its own. Appending to a file would do for one process; here several write at once, a crash
must leave no torn record, and counts are asked for without reading everything that ever happened.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from migrator.database.connection import connect, opened, snapshot, transaction
from migrator.database.pool import ConnectionPool
from migrator.database.schema import has_table, split_statements
from migrator.resources import schemas
from migrator.storage import timestamps
from migrator.storage.arguments import WorkspaceRef
from migrator.storage.hybrid import queries
from migrator.text import counted
from migrator.workspace import placeholder

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
    rows = _read(path, "trial_counts", queries.JOURNAL_STATS)
    return HybridStats(*rows[0]) if rows else None


def read_known_files(path: Path) -> dict[str, str]:
    """The SHA-256 of each workspace file that the first store has all of, by the workspace's hash.

    :raises ConnectionFailed: the journal at ``path`` can't be read
    """
    return dict(_read(path, "known_files", queries.JOURNAL_ALL_KNOWN))


def _read(path: Path, table: str, statement: str) -> list[Any]:
    if not path.exists():
        return []
    with opened(path, read_only=True) as connection, snapshot(connection, path, _READING):
        return connection.execute(statement).fetchall() if has_table(connection, table) else []


class Journal:
    """Everything that returns is on the disk.

    :raises ConnectionFailed: it can't be opened
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pool = ConnectionPool(self._connect, size=1, acquire_timeout=_ACQUIRE_TIMEOUT)
        self._change("begin")

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

    def _change(self, action: str, *changes: tuple[str, tuple[Any, ...]]) -> int | None:
        """Execute statements with their values in one transaction; returns the number of the row inserted last."""
        row = None
        with self._pool.connection() as connection, transaction(connection, self._path, action):
            for statement, values in changes:
                row = connection.execute(statement, values).lastrowid
        return row

    def _select(self, statement: str, *values: str) -> list[Any]:
        with self._pool.connection() as connection, snapshot(connection, self._path, _READING):
            return connection.execute(statement, values).fetchall()

    def record_intent(self, workspace: WorkspaceRef) -> int:
        """Record that the workspace is about to be written; returns the record's number."""
        return self._change("record what is to be written", _pending(workspace, None)) or 0

    def discard_intent(self, intent: int) -> None:
        """Nothing was written."""
        self._change("take back a record", (queries.JOURNAL_FORGET, (intent,)))

    def record_write(self, intent: int, comparisons: int) -> None:
        """Both stores have it."""
        self._change("record a write", (queries.JOURNAL_FORGET, (intent,)), _count(1, 0, comparisons, 0))

    def record_failure(self, intent: int, error: str) -> None:
        """The first store has it, the second does not."""
        self._change("record a failed write", (queries.JOURNAL_FAILED, (error, intent)), _count(1, 1, 0, 0))

    def record_unreadable(self, workspace: WorkspaceRef, error: str) -> None:
        """The second store could not be read."""
        self._change("record a failed comparison", _pending(workspace, error), _count(0, 1, 0, 0))

    def record_difference(
        self, workspace: WorkspaceRef, operation: str, session_id: str, digests: tuple[str | None, str | None]
    ) -> None:
        """The stores answered differently: to be repaired as well."""
        self._change(
            "record a difference",
            _pending(workspace, f"{operation} found a difference"),
            (queries.JOURNAL_DIFFER, (*_named(workspace), operation, session_id, *digests, timestamps.now())),
            _count(0, 0, 0, 1),
        )

    def count_comparisons(self, comparisons: int) -> None:
        """So many comparisons were made."""
        self._change("count comparisons", _count(0, 0, comparisons, 0))

    def newest_intent(self, workspace: WorkspaceRef) -> int | None:
        """The number of the workspace's newest record, or None where nothing is pending."""
        newest: int | None = self._select(queries.JOURNAL_NEWEST, workspace.hash)[0][0]
        return newest

    def pending_repairs(self) -> list[WorkspaceRef]:
        """The workspaces that are to be repaired, the longest-waiting first."""
        return [WorkspaceRef(*row) for row in self._select(queries.JOURNAL_PENDING)]

    def record_repair(self, workspace: WorkspaceRef, newest: int) -> None:
        """The second store has all that was recorded of the workspace up to a record."""
        self._change("record a repair", (queries.JOURNAL_REPAIRED, (workspace.hash, newest)))

    def record_known(self, files: Mapping[str, str]) -> None:
        """The first store has all that is in these workspace files.

        :param files: the SHA-256 of each, by the workspace's hash
        """
        self._change("record what a file holds", *((queries.JOURNAL_KNOW, known) for known in files.items()))

    def is_known(self, workspace_hash: str, sha256: str) -> bool:
        """Whether the first store has all that is in the workspace's file of that SHA-256."""
        return self._select(queries.JOURNAL_KNOWN, workspace_hash) == [(sha256,)]

    def known_files(self) -> dict[str, str]:
        """The SHA-256 of each workspace file that the first store has all of, by the workspace's hash."""
        return dict(self._select(queries.JOURNAL_ALL_KNOWN))

    def differences(self) -> list[Difference]:
        """Every difference found, in order."""
        return [Difference(*row) for row in self._select(queries.JOURNAL_DIFFERENCES)]

    def stats(self) -> HybridStats:
        """The counts since the journal was made, all processes together."""
        return HybridStats(*self._select(queries.JOURNAL_STATS)[0])

    def close(self) -> None:
        """Let go of the database."""
        self._pool.close()


def _pending(workspace: WorkspaceRef, error: str | None) -> tuple[str, tuple[Any, ...]]:
    return queries.JOURNAL_PEND, (*_named(workspace), timestamps.now(), error)


def _count(*by: int) -> tuple[str, tuple[int, ...]]:
    """Add to the writes, the failures, the comparisons and the differences."""
    return queries.JOURNAL_COUNT, by


def _named(workspace: WorkspaceRef) -> tuple[str, str]:
    return workspace.hash, workspace.path or placeholder(workspace.hash)
