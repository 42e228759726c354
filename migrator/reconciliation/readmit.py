"""Puts back what an earlier version quarantined as invalid and is valid now, each session at its old place.

``migration_metadata.quarantine_rules`` is the number of the rules by which the quarantine was checked last, so that a
start costs nothing where nothing has changed.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Mapping
from contextlib import closing, suppress

from migrator.authority import state_of
from migrator.backups.database_copy import upgrade
from migrator.data_dir import DataDir, ScratchDataDir
from migrator.database import queries
from migrator.database.columns import RULES
from migrator.database.connection import opened, transaction
from migrator.database.documents import ensure_workspace, insert_document, require_stored
from migrator.database.quarantine import QuarantinedItem, items_of, texts_of, workspace_of_item
from migrator.documents.document import SequenceDigest, WorktreeSession
from migrator.documents.parsing import Rejected, parse_file, parse_session
from migrator.errors import Message, MigratorError
from migrator.files import copying
from migrator.inventory.ledger import LedgerEntry, read_ledger
from migrator.inventory.plan import has_outdated_items
from migrator.reconciliation import queries as reconciliation_queries
from migrator.storage.arguments import WorkspaceRef
from migrator.storage.hybrid.journal import Journal
from migrator.text import counted

_CHECKED_AGAIN = ("invalid", "unreadable")


def readmit(data_dir: DataDir, *, hybrid: bool) -> int:
    """Put back every quarantined session that is valid now, in one transaction; the caller holds the lock.

    :param hybrid: the JSON files lack these sessions, so their workspaces are recorded as to be repaired
    :returns: how many there were
    :raises TransactionError: one does not read back as it was inserted; nothing was changed
    """
    path = data_dir.database
    state = state_of(path)
    if state.authority != "sqlite":
        return 0
    with opened(path, read_only=True) as connection:
        if not has_outdated_items(connection, state):
            return 0
    with opened(path) as connection:
        upgrade(connection, path, data_dir.backups)
        with transaction(connection, path, "restore quarantined sessions"):
            restored = _Readmission(connection, data_dir).run()
            if hybrid and restored and not isinstance(data_dir, ScratchDataDir):  # a dry run repairs nothing later
                with closing(Journal(data_dir.hybrid_journal)) as journal:
                    for workspace_hash, workspace_path in restored:
                        journal.record_intent(WorkspaceRef(workspace_hash, workspace_path))
    return sum(restored.values())


def message_of(restored: int) -> Message:
    """The message about restored sessions."""
    were, places = ("was", "its place") if restored == 1 else ("were", "their places")
    return Message(
        f"{counted(restored, 'session')} that an earlier version had quarantined {were} restored to {places}: "
        "this version accepts any text as type, status and role.",
        code="quarantine.restored",
    )


class _Readmission:
    """Restores sessions within the caller's transaction."""

    def __init__(self, connection: sqlite3.Connection, data_dir: DataDir) -> None:
        self._connection = connection
        self._data_dir = data_dir
        self._paths = {file_hash for _, file_hash, _ in connection.execute(queries.ALL_WORKSPACES)}

    def run(self) -> Mapping[tuple[str, str | None], int]:
        """Restore what is valid; return how many sessions, by hash and path of their workspace."""
        restored: Counter[tuple[str, str | None]] = Counter()
        sources: Counter[int] = Counter()
        for item in items_of(self._connection):
            if item.reason not in _CHECKED_AGAIN:
                continue
            parsed = parse_session(texts_of(self._connection, item.id)[0])
            if isinstance(parsed, Rejected):
                continue
            restored[self._restore(item, parsed.value)] += 1
            if item.source_id is not None:
                sources[item.source_id] += 1
        for entry in read_ledger(self._connection).values():
            if entry.id in sources:
                self._recount(entry, sources[entry.id])
        self._connection.execute(reconciliation_queries.SET_QUARANTINE_RULES, (RULES,))
        return restored

    def _restore(self, item: QuarantinedItem, document: WorktreeSession) -> tuple[str, str | None]:
        workspace_hash, path = workspace_of_item(item, document, self._paths)
        key = insert_document(
            self._connection,
            document,
            workspace_id=ensure_workspace(self._connection, workspace_hash, path),
            workspace_hash=workspace_hash,
            position=item.position,
            source_id=item.source_id,
        )
        require_stored(self._connection, key, document)
        self._connection.execute(queries.DELETE_QUARANTINE, (item.id,))
        counts = (len(document["instances"]), len(document["chatHistory"]))
        self._connection.execute(
            reconciliation_queries.COUNT_READMITTED, (*counts, item.source_id, item.workspace_hash)
        )
        return workspace_hash, path

    def _recount(self, entry: LedgerEntry, restored: int) -> None:
        """Record of a source what a migration of its file would record now, by its backup copy."""
        digest, sessions, instances, messages, quarantined = SequenceDigest(), 0, 0, 0, 0
        copy = self._data_dir.recorded(entry.backup or "")
        with suppress(MigratorError):  # without its copy, the file counts as changed in SQLite
            if entry.backup and copying.has_sha256(copy, entry.sha256):
                for _, session in parse_file(copy):
                    if session is None:
                        quarantined += 1
                        continue
                    digest.add(session.canonical_bytes())
                    sessions += 1
                    instances += len(session.value["instances"])
                    messages += len(session.value["chatHistory"])
                values = (sessions, instances, messages, quarantined, digest.hexdigest(), entry.id)
                self._connection.execute(reconciliation_queries.RECOUNT_SOURCE, values)
                return
        counts = (entry.session_count + restored, entry.instances, entry.messages, max(entry.quarantined - restored, 0))
        self._connection.execute(reconciliation_queries.RECOUNT_SOURCE, (*counts, entry.digest, entry.id))
