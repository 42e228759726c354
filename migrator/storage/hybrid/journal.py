"""The journal of hybrid mode: which workspaces the second store may lack, and which differences were found.

It is a separate SQLite database rather than a log file: several processes write to it at once, a crash must not leave a
truncated record, and the counts must be available without reading every record.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from migrator.data_dir import DATABASE_SUFFIXES, DataDir, ScratchDataDir
from migrator.database import queries as database_queries
from migrator.database.connection import connect, opened, snapshot, transaction
from migrator.database.errors import sqlite_errors
from migrator.database.pool import ConnectionPool
from migrator.database.registry import log_replaced, lost_its_log
from migrator.database.schema import has_table, split_statements
from migrator.errors import Message, MigratorError, TransactionError
from migrator.files import durable
from migrator.files.locks import locked
from migrator.files.os_errors import os_errors
from migrator.files.resources import schemas
from migrator.storage import timestamps
from migrator.storage.arguments import WorkspaceRef
from migrator.storage.hybrid import queries
from migrator.text import counted
from migrator.workspace import placeholder

_ACQUIRE_TIMEOUT = 3.0  # seconds
_DAMAGE = frozenset({"database.damaged", "database.not_a_database"})
_READING = "read hybrid mode's journal"  # for error messages


@dataclass(frozen=True)
class HybridStats:
    """The counts that hybrid mode recorded.

    :ivar writes: successful writes to the first store
    :ivar failures: failed writes and reads of the second store; each one required a repair
    :ivar pending_repairs: workspaces that may be incomplete in the second store
    :ivar comparisons: reads whose results were compared between both stores
    :ivar differences: comparisons that found a difference
    """

    writes: int
    failures: int
    pending_repairs: int
    comparisons: int
    differences: int

    def summary(self) -> str:
        """Return all counts in one line."""
        nouns = ("write", "failure", "pending repair", "comparison", "difference")
        return ", ".join(counted(number, noun) for number, noun in zip(astuple(self), nouns, strict=True))


@dataclass(frozen=True)
class Difference:
    """A read that the two stores answered differently.

    :ivar operation: the method that was called
    :ivar session_id: the id of the first document that differs
    :ivar primary_digest: the document's digest in the first store, in hex, or None if it has no such document
    :ivar secondary_digest: the digest in the second store, likewise
    """

    workspace_path: str
    operation: str
    session_id: str
    primary_digest: str | None
    secondary_digest: str | None
    found_at: str


def read_stats(path: Path) -> HybridStats | None:
    """Read the counts of the journal at ``path``; None if there is no journal.

    :raises ConnectionFailed: it cannot be read
    """
    rows = _read(path, "trial_counts", queries.JOURNAL_STATS)
    return HybridStats(*rows[0]) if rows else None


def find_damage(path: Path) -> Message | None:
    """Return why what is in the journal's place cannot be used as one; None if it can, or nothing is there.

    :raises ConnectionFailed: it cannot be opened for another reason
    """
    reason = f"{path} is a directory."
    if not path.is_dir():
        if not path.exists():
            return None
        try:
            with opened(path, read_only=True) as connection, snapshot(connection, path, _READING):
                if connection.execute("SELECT 1 FROM sqlite_master").fetchone() is None:
                    return None  # the tables are made when it is opened for writing
                for statement in (queries.JOURNAL_STATS, queries.JOURNAL_PENDING, queries.JOURNAL_DIFFERENCES):
                    connection.execute(statement)
                reason = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        except MigratorError as error:
            if error.code not in _DAMAGE and not isinstance(error, TransactionError):
                raise
            reason = error.message
        if reason == "ok":
            return None
    message = f"The journal of hybrid mode is damaged: {reason}"
    hint = "SQLite has all sessions. 'migrator migrate' renames the journal and writes the JSON files again."
    return Message(message, code="hybrid.journal_damaged", hint=hint)


def renew_if_damaged(data_dir: DataDir) -> Message | None:
    """Rename a damaged journal and make a new one, by which the JSON files of all workspaces are written again.

    :returns: what was done, if it was damaged
    :raises MigratorError: it cannot be renamed, or the database cannot be read
    """
    path = data_dir.hybrid_journal
    if isinstance(data_dir, ScratchDataDir) or find_damage(path) is None:
        return None
    lock = data_dir.locks / "hybrid.lock"
    durable.make_private_folder(lock.parent)
    with os_errors("lock", lock), locked(lock, _ACQUIRE_TIMEOUT) as is_held:
        damage = find_damage(path) if is_held else None  # another process may have renewed it meanwhile
        if damage is None:
            return None
        workspaces = []
        if data_dir.database.exists():
            with opened(data_dir.database, read_only=True) as connection, sqlite_errors("list", data_dir.database):
                workspaces = connection.execute(database_queries.ALL_WORKSPACES).fetchall()
        aside = durable.move_aside(path, DATABASE_SUFFIXES)
        with closing(Journal(path)) as journal:
            for _, name, workspace_path in workspaces:
                journal.record_intent(WorkspaceRef(name, workspace_path))
    message = f"{damage} It is {aside} now, and a new one was begun. No session is lost: SQLite has all."
    return Message(message, code="hybrid.journal_renewed")


def _read(path: Path, table: str, statement: str) -> list[Any]:
    if not path.exists():
        return []
    with opened(path, read_only=True) as connection, snapshot(connection, path, _READING):
        return connection.execute(statement).fetchall() if has_table(connection, table) else []


class Journal:
    """The journal, open for writing: when a method returns, its record is on the disk.

    :raises ConnectionFailed: it cannot be opened
    """

    def __init__(self, path: Path, acquire_timeout: float | None = None) -> None:
        self._path = path
        timeout = _ACQUIRE_TIMEOUT if acquire_timeout is None else acquire_timeout
        self._pool = ConnectionPool(self._connect, size=1, acquire_timeout=timeout)
        self._change("open hybrid mode's journal")

    def _connect(self) -> sqlite3.Connection:
        connection = connect(self._path, create=True, shared_between_threads=True)
        try:
            connection.execute("PRAGMA synchronous = FULL")  # an intent must survive a power failure
            with transaction(connection, self._path, "create the tables"):
                for statement in split_statements((schemas() / "sql" / "hybrid_journal.sql").read_text("utf-8")):
                    connection.execute(statement)
        except BaseException:
            connection.close()
            raise
        return connection

    def _change(self, action: str, *changes: tuple[str, tuple[Any, ...]]) -> int | None:
        """Execute statements with their values in one transaction; return the id of the last inserted row.

        If the log is removed meanwhile, the change is made once more: a record too many costs only a repair.
        """
        for _ in range(2):
            row = None
            with self._pool.connection() as connection:
                with transaction(connection, self._path, action):
                    for statement, values in changes:
                        row = connection.execute(statement, values).lastrowid
                if not lost_its_log(connection):
                    return row
        raise log_replaced(self._path)

    def _select(self, statement: str, *values: str) -> list[Any]:
        with self._pool.connection() as connection, snapshot(connection, self._path, _READING):
            return connection.execute(statement, values).fetchall()

    def record_intent(self, workspace: WorkspaceRef) -> int:
        """Record that the workspace is about to be written; return the record's number."""
        return self._change("record an intended write", _pending(workspace, None)) or 0

    def discard_intent(self, intent: int) -> None:
        """Delete an intent: nothing was written."""
        self._change("delete a record", (queries.JOURNAL_FORGET, (intent,)))

    def record_write(self, intent: int, comparisons: int) -> None:
        """Record that both stores have the write."""
        self._change("record a write", (queries.JOURNAL_FORGET, (intent,)), _count(1, 0, comparisons, 0))

    def record_failure(self, intent: int, error: str) -> None:
        """Record that the first store has the write, but not the second."""
        self._change("record a failed write", (queries.JOURNAL_FAILED, (error, intent)), _count(1, 1, 0, 0))

    def record_unreadable(self, workspace: WorkspaceRef, error: str) -> None:
        """Record that the second store could not be read."""
        self._change("record a failed comparison", _pending(workspace, error), _count(0, 1, 0, 0))

    def record_difference(
        self, workspace: WorkspaceRef, operation: str, session_id: str, digests: tuple[str | None, str | None]
    ) -> None:
        """Record that the stores answered differently; the workspace will be repaired."""
        self._change(
            "record a difference",
            _pending(workspace, f"{operation} found a difference"),
            (queries.JOURNAL_DIFFER, (*_named(workspace), operation, session_id, *digests, timestamps.now())),
            _count(0, 0, 0, 1),
        )

    def count_comparisons(self, comparisons: int) -> None:
        """Add comparisons to the count."""
        self._change("count comparisons", _count(0, 0, comparisons, 0))

    def newest_intent(self, workspace: WorkspaceRef) -> int | None:
        """Return the number of the workspace's newest record, or None if no repair is pending."""
        newest: int | None = self._select(queries.JOURNAL_NEWEST, workspace.hash)[0][0]
        return newest

    def pending_repairs(self) -> list[WorkspaceRef]:
        """Return the workspaces to repair, the one that has waited longest first."""
        return [WorkspaceRef(*row) for row in self._select(queries.JOURNAL_PENDING)]

    def record_repair(self, workspace: WorkspaceRef, newest: int) -> None:
        """Record that the workspace was repaired: the second store has everything up to the record ``newest``."""
        self._change("record a repair", (queries.JOURNAL_REPAIRED, (workspace.hash, newest)))

    def differences(self) -> list[Difference]:
        """Return every difference found, oldest first."""
        return [Difference(*row) for row in self._select(queries.JOURNAL_DIFFERENCES)]

    def stats(self) -> HybridStats:
        """Return the counts since the journal was created, of all processes together."""
        return HybridStats(*self._select(queries.JOURNAL_STATS)[0])

    def close(self) -> None:
        """Close the database."""
        self._pool.close()


def _pending(workspace: WorkspaceRef, error: str | None) -> tuple[str, tuple[Any, ...]]:
    return queries.JOURNAL_PEND, (*_named(workspace), timestamps.now(), error)


def _count(*by: int) -> tuple[str, tuple[int, ...]]:
    """Return the statement that adds to the writes, failures, comparisons and differences."""
    return queries.JOURNAL_COUNT, by


def _named(workspace: WorkspaceRef) -> tuple[str, str]:
    return workspace.hash, workspace.path or placeholder(workspace.hash)
