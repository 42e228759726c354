"""Handles sessions that were written to SQLite after a rollback, while the JSON files were authoritative.

An app that kept the database open during the rollback may have written to it afterwards, with its own SQL. A rollback
records the digest of each session that it wrote to the files, so that the next run can find the changes:

- A session that changed only in SQLite is applied.
- One that changed in its file too is quarantined. The file's version stays, because the file was authoritative.
- One that was deleted in SQLite stays, because the files still have it.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from migrator.authority import read_state
from migrator.database import queries
from migrator.database.documents import (
    StoredDocument,
    append_document,
    ensure_workspace,
    keys_of,
    read_document,
    replace_document,
    require_stored,
)
from migrator.database.errors import sqlite_errors
from migrator.database.invalid import InvalidStoredSession, read_carefully, text_of
from migrator.database.quarantine import quarantine_row
from migrator.documents.document import digest
from migrator.documents.parsing import Reading, Rejected, parse_session
from migrator.errors import Message, Problem
from migrator.migration.rolled_back import queries as rolled_back_queries
from migrator.text import counted

_CHANGED_TWICE = Problem("", "changed in the file and, after the rollback, in SQLite", "", "session.conflict")

_HINT = "Run 'migrator quarantine list' to see them."

_Changed = tuple[str, bytes | None, str | None, str | None]
Outcome = Literal["applied", "conflict", "invalid", "unchanged"]


class PostRollbackChanges(NamedTuple):
    """The number of sessions changed in SQLite after a rollback, by what became of them.

    :ivar applied: added to the sessions of the files
    :ivar conflicts: quarantined, because the file has another version
    :ivar invalid: quarantined, because they are not valid sessions
    :ivar deleted: deleted in SQLite, but kept, because the files have them
    :ivar kept: the messages about rows that are kept, because the files do not show them
    :ivar copy: of the database as it was before; what the files do not have is there
    """

    applied: int = 0
    conflicts: int = 0
    invalid: int = 0
    deleted: int = 0
    kept: tuple[Message, ...] = ()
    copy: Path | None = None

    def warnings(self) -> list[Message]:
        """The messages that need no action."""
        found = []
        if self.copy is not None:
            before = f"The database as it was after the rollback is kept in the backup {self.copy.parent.name}."
            found.append(Message(before, code="rollback.database_kept"))
        if self.applied:
            applied = f"{_written(self.applied)} merged into SQLite."
            found.append(Message(applied, code="rollback.changes_applied"))
        if self.deleted:
            deleted = f"{counted(self.deleted, 'session')} deleted in SQLite after the rollback {_were(self.deleted)}"
            deleted += " restored from the JSON files, which were authoritative then."
            found.append(Message(deleted, code="rollback.deletions_undone"))
        return found

    def errors(self) -> list[Message]:
        """The messages that need attention."""
        found = [*self.kept]
        if self.conflicts:
            conflicts = f"{_written(self.conflicts)} quarantined: the files have other versions, which stay."
            found.append(Message(conflicts, code="session.conflict", hint=_HINT))
        if self.invalid:
            invalid = f"{_written(self.invalid)} quarantined as invalid."
            found.append(Message(invalid, code="session.quarantined", hint=_HINT))
        return found


def _written(number: int) -> str:
    return f"{counted(number, 'session')} written to SQLite after the rollback {_were(number)}"


def _were(number: int) -> str:
    return "was" if number == 1 else "were"


class _Change(NamedTuple):
    """A session to reapply: its row in quarantine, and its digest when the rollback wrote it."""

    row_id: int
    base: bytes | None
    workspace_hash: str | None
    path: str | None


def changed_sessions(
    connection: sqlite3.Connection,
) -> Iterator[tuple[StoredDocument | InvalidStoredSession, bytes | None, str | None, str | None]]:
    """Yield each session that differs from what the rollback wrote: with its old digest, workspace hash and path."""
    for key, base, workspace_hash, path in connection.execute(rolled_back_queries.SESSIONS_AFTER_ROLLBACK).fetchall():
        session = read_carefully(connection, key)
        if session is not None and digest(text_of(session)) != base:
            yield session, base, workspace_hash, path


class RolledBack:
    """A database that was rolled back: a copy of it, and what was written to it since; both hold while it is current.

    :ivar copy: the copy
    :ivar changed: the key of each session that differs, its old digest, workspace hash and path
    """

    def __init__(self, connection: sqlite3.Connection, back_up: Callable[[str], Path]) -> None:
        self._connection = connection
        self._version = self._data_version()
        self.copy = back_up("rolled-back")
        self.changed: list[_Changed] = [
            (session.key, base, workspace_hash, path)
            for session, base, workspace_hash, path in changed_sessions(connection)
        ]

    def _data_version(self) -> int:
        return int(self._connection.execute(queries.DATA_VERSION).fetchone()[0])

    def is_current(self) -> bool:
        """Whether no other program has changed the database since."""
        return self._version == self._data_version()


def look_if_rolled_back(
    connection: sqlite3.Connection, path: Path, back_up: Callable[[str], Path]
) -> RolledBack | None:
    """Look at a database before the write lock is taken, if it was rolled back."""
    with sqlite_errors("find what was written after the rollback", path):
        return RolledBack(connection, back_up) if read_state(connection, path).status == "rolled_back" else None


class ChangesAfterRollback:
    """The sessions that differ from what the rollback wrote, kept in quarantine while the other tables are emptied.

    :ivar changed: whether each is a valid session, by its key

    :param rolled_back: the database, which is current
    """

    def __init__(self, connection: sqlite3.Connection, rolled_back: RolledBack) -> None:
        self._connection = connection
        self._copy = rolled_back.copy
        self._changes: list[_Change] = []
        self.changed: dict[str, bool] = {}
        self._recorded = bool(connection.execute(rolled_back_queries.HAS_ROLLED_BACK).fetchone()[0])
        for key, base, workspace_hash, path in rolled_back.changed:
            session = read_carefully(connection, key)
            if session is None:
                continue
            problems = session.problems if isinstance(session, InvalidStoredSession) else [_CHANGED_TWICE]
            rejected = Rejected("conflict", text_of(session), problems)
            row = quarantine_row(None, workspace_hash, session.position or 0, rejected)
            row_id = self._connection.execute(queries.INSERT_QUARANTINE, row).lastrowid
            self.changed[session.key] = isinstance(session, StoredDocument)
            self._changes.append(_Change(row_id or 0, base, workspace_hash, path))
        self._deleted = self._connection.execute(rolled_back_queries.DELETED_AFTER_ROLLBACK).fetchone()[0]

    def reapply(self) -> PostRollbackChanges:
        """Apply the changes that do not conflict with the files' sessions, which are loaded now.

        :raises TransactionError: a session does not read back as it was written
        """
        outcomes: Counter[Outcome] = Counter()
        for change in self._changes:
            row = self._connection.execute(queries.QUARANTINED_TEXTS, (change.row_id,)).fetchone()
            raw = row[0].encode()
            parsed = parse_session(raw)
            if isinstance(parsed, Rejected):
                self._connection.execute(rolled_back_queries.SET_QUARANTINE_REASON, (parsed.reason, change.row_id))
                outcomes["invalid"] += 1
            elif change.workspace_hash is None:
                outcomes["conflict"] += 1
            else:
                outcome = self._apply(change, change.workspace_hash, parsed)
                outcomes[outcome] += 1
                if outcome != "conflict":
                    self._connection.execute(queries.DELETE_QUARANTINE, (change.row_id,))
        return PostRollbackChanges(
            outcomes["applied"], outcomes["conflict"], outcomes["invalid"], self._deleted, copy=self._copy
        )

    def _apply(self, change: _Change, workspace_hash: str, parsed: Reading) -> Outcome:
        document = parsed.value
        workspace_id = ensure_workspace(self._connection, workspace_hash, change.path)
        namesakes = keys_of(self._connection, workspace_id, document["id"])
        stored = [read_document(self._connection, key) for key in namesakes]
        keys = {found.digest(): found.key for found in stored if found is not None}
        ours = parsed.digest()
        if ours in keys:
            return "unchanged"
        if change.base is not None and change.base in keys:
            key = keys[change.base]
            replace_document(self._connection, key, document)
        elif change.base is None and not keys and self._recorded:  # otherwise it may have been deleted from a file
            key = append_document(self._connection, document, workspace_id=workspace_id, workspace_hash=workspace_hash)
        else:
            return "conflict"
        require_stored(self._connection, key, document)
        return "applied"
