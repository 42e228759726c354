"""The JSON files brought up to date with SQLite, which stays the authority: for running both stores side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, TypeVar

from migrator.authority import is_hybrid
from migrator.data_dir import DataDir
from migrator.database import queries
from migrator.database.connection import opened, transaction
from migrator.errors import MigratorError
from migrator.export.rollback_notes import RollbackNotes
from migrator.export.session_file import PreparedFile
from migrator.export.workspace_files import WorkspaceFiles, is_workspace_file
from migrator.files import copying
from migrator.inventory.ledger import LedgerEntry
from migrator.migration.options import Options
from migrator.migration.run import Run
from migrator.progress import Listener, ignore_progress
from migrator.storage.hybrid.journal import Journal

_T = TypeVar("_T")


@dataclass(kw_only=True)
class HybridFiles(WorkspaceFiles):
    """The JSON files of hybrid mode: a workspace's own alone, with all its sessions, also those of other files.

    Nothing else is written: what is in quarantine would keep the JSON store from reading a file.
    """

    all_sessions = True
    journal: Journal

    def prepare(self) -> list[PreparedFile]:
        prepared = [*self.prepare_files()]
        self.journal.record_known(
            {f.report.hash: copying.sha256_of(f.written or f.target) for f in prepared if f.report}
        )
        return prepared

    def restorable(self, entries: Sequence[LedgerEntry]) -> list[LedgerEntry]:
        return [entry for entry in super().restorable(entries) if is_workspace_file(entry)]

    def served(self, entries: Sequence[LedgerEntry]) -> set[str | None]:
        """A file that failed is what its workspace is served from, as long as SQLite is the authority."""
        return {entry.workspace_hash for entry in entries if is_workspace_file(entry)}

    def has_more(self, file_hash: str) -> bool:
        others = self.connection.execute(queries.FROM_OTHER_FILES, (file_hash,)).fetchone()
        return super().has_more(file_hash) or others is not None

    def quarantine_of(self, entry: LedgerEntry) -> tuple[list[Any], bool]:
        return [], entry.quarantined == 0


def merge_files(data_dir: DataDir, listener: Listener = ignore_progress) -> tuple[str, ...]:
    """Take up what others wrote into the files; the caller holds the lock.

    :returns: what needs the user
    """
    return Run(data_dir, Options(listener=listener)).run().errors


def write_mirrors(data_dir: DataDir, listener: Listener = ignore_progress) -> list[str]:
    """Write every workspace's file as SQLite has it; the caller holds the lock, and has merged the files.

    The files are what later changes in them are compared with: so they are taken up at once as they are.

    :returns: warnings
    """
    path, notes = data_dir.database, RollbackNotes()
    journal = Journal(data_dir.hybrid_journal)
    with closing(journal), opened(path) as connection, transaction(connection, path, "write the JSON files"):
        known = journal.known_files()
        files = HybridFiles(
            data_dir=data_dir, connection=connection, listener=listener, notes=notes, journal=journal, known=known
        )
        files.run()
    taken_up = Run(data_dir, Options(listener=listener, hybrid=True)).run()
    return [*notes.warnings, *taken_up.errors]


def with_files_kept_equal(
    data_dir: DataDir, change: Callable[[], _T], has_changed: Callable[[_T], bool]
) -> tuple[_T, list[str]]:
    """Change SQLite; in hybrid mode, after what others wrote into the files, and the files are written anew after it.

    The caller holds the lock.

    :param has_changed: whether what the change returned means that a file has to be written
    :returns: what the change returned, and warnings
    """
    if not is_hybrid(data_dir):
        return change(), []
    warnings = [*merge_files(data_dir)]
    result = change()
    if has_changed(result):
        try:
            warnings += write_mirrors(data_dir)
        except MigratorError as error:
            warnings.append(f"SQLite has it, but the JSON files could not be brought up to date: {error}")
    return result, warnings
