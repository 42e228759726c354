"""Hybrid mode: bring the JSON files up to date with SQLite, which stays authoritative."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from migrator.authority import is_hybrid
from migrator.backups.database_copy import upgrade
from migrator.data_dir import DataDir
from migrator.database import queries
from migrator.database.connection import opened, transaction
from migrator.errors import Message, MigratorError, StaleStoreError
from migrator.export.rollback_notes import RollbackNotes
from migrator.export.session_file import PreparedFile
from migrator.export.workspace_files import LONG_LOCK_TIMEOUT, WorkspaceFiles, is_workspace_file
from migrator.files import copying, replacing
from migrator.inventory.ledger import LedgerEntry
from migrator.locking import file_locked
from migrator.migration.options import Options
from migrator.migration.report import MigrationReport
from migrator.migration.run import Run
from migrator.progress import Listener, ignore_progress
from migrator.storage.arguments import WorkspaceRef
from migrator.storage.hybrid.journal import Journal
from migrator.storage.hybrid.written_files import record_written

_T = TypeVar("_T")


@dataclass(kw_only=True)
class HybridFiles(WorkspaceFiles):
    """The JSON files of hybrid mode: one per workspace, with all its sessions, also those that came from other files.

    Quarantined items are not written: with them, the JSON store could not read the file.
    """

    all_sessions = True
    journal: Journal
    sha256: dict[Path, str] = field(default_factory=dict)

    def prepare(self) -> list[PreparedFile]:
        prepared = [*self.prepare_files()]
        for file in prepared:
            if file.report and file.written:
                self.sha256[file.target] = copying.sha256_of(file.written)
                in_place = copying.sha256_of(file.target) if file.target.is_file() else None
                record_written(self.connection, file.report.hash, self.sha256[file.target], in_place)
        return prepared

    def place(self, file: PreparedFile, written: Path) -> None:
        """Replace a file, unless another program has changed it: then the next run merges it first."""

        def leave(found: Path, target: Path) -> Path:
            if found != target:
                replacing.put_back(found, target, self.sha256[file.target])
            raise StaleStoreError(
                f"Another program has changed {target}; its changes are not in SQLite yet.", code="hybrid.file_changed"
            )

        try:
            with file_locked(self.data_dir, file.target, LONG_LOCK_TIMEOUT):
                replacing.place(written, file.target, file.replaceable, leave)
        except StaleStoreError as error:
            if file.report:
                self.journal.record_unreadable(WorkspaceRef(file.report.hash, file.report.path), error.message)

    def restorable(self, entries: Sequence[LedgerEntry]) -> list[LedgerEntry]:
        return [entry for entry in super().restorable(entries) if is_workspace_file(entry)]

    def served(self, entries: Sequence[LedgerEntry]) -> set[str | None]:
        """The workspaces that have a file of their own, failed or not: a failed one is served from its file."""
        return {entry.workspace_hash for entry in entries if is_workspace_file(entry)}

    def has_more(self, file_hash: str) -> bool:
        others = self.connection.execute(queries.FROM_OTHER_FILES, (file_hash,)).fetchone()
        return super().has_more(file_hash) or others is not None

    def quarantine_of(self, entry: LedgerEntry) -> tuple[list[Any], bool]:
        return [], entry.quarantined == 0


def merge_files(data_dir: DataDir, listener: Listener = ignore_progress) -> MigrationReport:
    """Migrate what other programs wrote into the files; the caller holds the lock."""
    return Run(data_dir, Options(listener=listener)).run()


def write_json_files(data_dir: DataDir, listener: Listener = ignore_progress) -> list[str]:
    """Write every workspace's file as SQLite has it; the caller holds the lock and has merged the files.

    Later changes in the files are compared with this state, so the new files are migrated at once.

    :returns: warnings
    """
    path, notes = data_dir.database, RollbackNotes()
    journal = Journal(data_dir.hybrid_journal)
    with closing(journal), opened(path) as connection:
        upgrade(connection, path, data_dir.backups)
        with transaction(connection, path, "write the JSON files"):
            files = HybridFiles(
                data_dir=data_dir, connection=connection, listener=listener, notes=notes, journal=journal
            )
            files.run()
    migrated = Run(data_dir, Options(listener=listener, hybrid=True)).run()
    return [*notes.warnings, *migrated.errors]


def change_and_update_files(
    data_dir: DataDir, change: Callable[[], _T], has_changed: Callable[[_T], bool]
) -> tuple[_T, list[str]]:
    """Change SQLite; in hybrid mode, merge the JSON files before the change and write them again after it.

    The caller holds the lock.

    :param has_changed: whether the result of the change means that the files must be written
    :returns: the result of the change, and warnings
    """
    if not is_hybrid(data_dir):
        return change(), []
    merged = merge_files(data_dir)
    warnings: list[str] = [*merged.errors, *merged.notes_of_deletions]
    result = change()
    if has_changed(result):
        try:
            warnings += write_json_files(data_dir)
        except MigratorError as error:
            message = f"SQLite was changed, but the JSON files could not be updated: {error.message}"
            warnings.append(Message(message, code=error.code, hint=error.hint))
    return result, warnings
