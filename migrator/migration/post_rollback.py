"""What was written to SQLite after a rollback, while the JSON files were authoritative: brought in, or set aside.

An app that held the database open through the rollback may have written there with SQL of its own. A rollback records
what went into the files, session by session, so that the next run can tell what is not as it was. A session that
changed in SQLite alone is brought in; one that is another one in its file now as well goes to quarantine, and the file
wins: it was authoritative. So does what was deleted in SQLite: the files still have it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from migrator.database import queries
from migrator.database.documents import (
    StoredDocument,
    ensure_workspace,
    insert_behind,
    keys_of,
    read_document,
    replace_document,
)
from migrator.database.invalid import InvalidStoredSession, read_carefully, text_of
from migrator.database.quarantine import quarantine_row
from migrator.documents.document import digest
from migrator.documents.parsing import Reading, Rejected, parse_session
from migrator.errors import Message, Problem, TransactionError
from migrator.search import index as search_index
from migrator.text import counted

_CHANGED_TWICE = Problem("", "a change in SQLite after a rollback and another one in the file", "a change in the file")


@dataclass(frozen=True)
class PostRollbackChanges:
    """What was found of sessions written to SQLite after a rollback.

    :ivar taken: how many were brought in
    :ivar held: how many are in quarantine
    :ivar deleted: how many are gone from SQLite and still in their files
    """

    taken: int = 0
    held: int = 0
    deleted: int = 0

    def warnings(self) -> list[str]:
        """What is worth knowing and needs nobody."""
        found = []
        if self.taken:
            taken = counted(self.taken, "session")
            found.append(f"What was written to SQLite after the rollback, {taken}, was brought in.")
        if self.deleted:
            deleted = counted(self.deleted, "session")
            found.append(
                f"What was deleted in SQLite after the rollback, {deleted}, stays: the files were the truth then."
            )
        return found

    def errors(self) -> list[Message]:
        """What the user should read."""
        if not self.held:
            return []
        verb, pronoun = ("was", "it") if self.held == 1 else ("were", "they")
        held = (
            f"{counted(self.held, 'session')} written to SQLite after the rollback {verb} quarantined: {pronoun} "
            "conflict with the files, whose versions stay, or are invalid."
        )
        return [Message(held, code="session.conflict", hint="'migrator quarantine list' lists them.")]


class _Change(NamedTuple):
    """A session that was set aside: its row in quarantine, and what it was when the rollback wrote it."""

    row_id: int
    base: bytes | None
    workspace_hash: str | None
    path: str | None


def changed_sessions(
    connection: sqlite3.Connection,
) -> Iterator[tuple[StoredDocument | InvalidStoredSession, bytes | None, str | None, str | None]]:
    """Each session that is not what the rollback wrote: with its digest then, its workspace's hash and its path."""
    for key, base, workspace_hash, path in connection.execute(queries.SESSIONS_AFTER_ROLLBACK).fetchall():
        session = read_carefully(connection, key)
        if session is not None and digest(text_of(session)) != base:
            yield session, base, workspace_hash, path


def empty_after_rollback(connection: sqlite3.Connection) -> ChangesAfterRollback:
    """Empty the tables for what the files hold, within the caller's transaction, which goes on with ``reapply``.

    :returns: what was not as the rollback wrote it
    """
    changes = ChangesAfterRollback(connection)
    search_index.start_over(connection)
    for statement in queries.EMPTY_FOR_ANOTHER_RUN:
        connection.execute(statement)
    return changes


class ChangesAfterRollback:
    """Every session that is not what the rollback wrote, copied to quarantine, where it outlives the emptying."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._changes: list[_Change] = []
        self._recorded = bool(connection.execute(queries.HAS_ROLLED_BACK).fetchone()[0])
        for session, base, workspace_hash, path in changed_sessions(connection):
            problems = session.problems if isinstance(session, InvalidStoredSession) else [_CHANGED_TWICE]
            rejected = Rejected("conflict", text_of(session), problems)
            row = quarantine_row(None, workspace_hash, session.position or 0, rejected)
            row_id = self._connection.execute(queries.INSERT_QUARANTINE, row).lastrowid
            self._changes.append(_Change(row_id or 0, base, workspace_hash, path))
        self._deleted = self._connection.execute(queries.DELETED_AFTER_ROLLBACK).fetchone()[0]

    def reapply(self) -> PostRollbackChanges:
        """Now that the files' sessions are there: take those out of quarantine that nothing speaks against.

        :raises TransactionError: one does not read back as it was
        """
        taken = held = 0
        for change in self._changes:
            row = self._connection.execute(queries.QUARANTINED_TEXTS, (change.row_id,)).fetchone()
            raw = row[0].encode()
            parsed = parse_session(raw)
            if isinstance(parsed, Rejected):
                self._connection.execute(queries.CALL_QUARANTINED, (parsed.reason, change.row_id))
                held += 1
            elif change.workspace_hash is None:
                held += 1
            else:
                done = self._settle(change, change.workspace_hash, parsed)
                taken += done == "taken"
                held += done == "held"
                if done != "held":
                    self._connection.execute(queries.DELETE_QUARANTINE, (change.row_id,))
        return PostRollbackChanges(taken, held, self._deleted)

    def _settle(self, change: _Change, workspace_hash: str, parsed: Reading) -> str:
        document = parsed.value
        workspace_id = ensure_workspace(self._connection, workspace_hash, change.path)
        named = keys_of(self._connection, workspace_id, document["id"])
        stored = [read_document(self._connection, key) for key in named]
        keys = {found.digest(): found.key for found in stored if found is not None}
        ours = parsed.digest()
        if ours in keys:
            return "known"
        if change.base is not None and change.base in keys:
            key = keys[change.base]
            replace_document(self._connection, key, document)
        elif change.base is None and not keys and self._recorded:  # else a file may have held it, and deleted it since
            key = insert_behind(self._connection, document, workspace_id=workspace_id, workspace_hash=workspace_hash)
        else:
            return "held"
        written = read_document(self._connection, key)
        if written is None or written.digest() != ours:
            raise TransactionError(
                f"The session {document['id']!r}, written to SQLite after the rollback, does not read back as it was.",
                hint="Nothing was changed. Please report this as a bug, with the output of 'migrator doctor'.",
            )
        return "taken"
