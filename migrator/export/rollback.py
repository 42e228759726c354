"""Going back: every workspace in JSON again, with nothing lost, and JSON the authority.

The database is locked for writers throughout. First, what old builds wrote into the files since the migration is
merged; then every file is written to a scratch folder and read back; then each takes its place by a rename; then the
database says ``rolled_back``; then the flag is flipped. Until the database says so SQLite is the authority, and running
the rollback again finishes it: the files that are in place already are merged as what they are, the same sessions.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace

from migrator.authority import require_database, require_same_database, state_of, write_flag
from migrator.backups.database_copy import upgrade
from migrator.data_dir import DataDir
from migrator.database import queries
from migrator.database.connection import opened, transaction
from migrator.database.errors import sqlite_errors
from migrator.errors import ConnectionFailed, MigratorError, RollbackFailed
from migrator.export.rollback_notes import RollbackNotes
from migrator.export.session_file import RestoredFile
from migrator.export.workspace_files import WorkspaceFiles
from migrator.locking import exclusive
from migrator.migration.dry_run import scratch_data_dir
from migrator.migration.options import Options
from migrator.migration.run import Run
from migrator.progress import Listener, ignore_progress
from migrator.report import Report
from migrator.worker.process import WorkerFor


@dataclass(frozen=True)
class RollbackReport(Report):
    """What a rollback did.

    :ivar status: ``rolled_back`` or ``nothing_to_do``
    :ivar warnings: what is worth knowing, each with what to do if anything
    :ivar errors: those of them that need the user, such as conflicts
    """

    status: str
    workspaces: tuple[RestoredFile, ...]
    database: str
    backup_path: str | None
    warnings: tuple[str, ...]
    errors: tuple[str, ...]
    duration_ms: int = 0
    dry_run: bool = False

    @property
    def exit_code(self) -> int:
        """3 where something needs the user: conflicts, or files that were kept beside."""
        return 3 if self.errors or any(file.kept_beside for file in self.workspaces) else 0


def run_rollback(
    data_dir: DataDir,
    *,
    dry_run: bool = False,
    listener: Listener = ignore_progress,
    worker_for: WorkerFor | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> RollbackReport:
    """Bring every session back into the JSON files and make them the authority.

    :param clock: tells the time, in seconds
    :param worker_for: whom to ask for a worker, if it is not to be one of its own
    :raises MigrationLocked: another migrator is at work
    :raises RollbackFailed: it did not work; SQLite still is the authority, unchanged, and whole
    """
    require_same_database(data_dir)
    with exclusive(data_dir, keep=not dry_run):
        try:
            require_database(data_dir, state_of(data_dir.database))  # one that is newer than us is an error of its own
        except ConnectionFailed as error:
            backups = f"The backups lie in {data_dir.backups}; 'migrator backups list' lists them."
            raise RollbackFailed(f"The rollback failed: {error}", hint=backups) from error
        started = clock()
        try:
            with scratch_data_dir(data_dir) if dry_run else nullcontext(data_dir) as places:
                report = _roll_back(places, listener, worker_for, install=not dry_run)
        except MigratorError as error:
            raise RollbackFailed(f"The rollback failed: {error}", hint=_how_things_stand(data_dir)) from error
        duration = round((clock() - started) * 1000)
        return replace(report, dry_run=dry_run, database=os.fspath(data_dir.database), duration_ms=duration)


def _how_things_stand(data_dir: DataDir) -> str:
    """Which store is the authority after a failure, and where the backup lies."""
    try:
        state = state_of(data_dir.database)
    except MigratorError as error:
        return f"Nor can the database be read now: {error} The backups lie in {data_dir.backups}."
    stands = "SQLite is the authority as before, and whole."
    if state.status == "rolled_back":
        stands = "All files are in place and the authority; run 'migrator rollback' again to finish."
    return stands + (f" The backup lies in {state.backup}." if state.backup else "")


def _roll_back(data_dir: DataDir, listener: Listener, worker_for: WorkerFor | None, *, install: bool) -> RollbackReport:
    """Merge what the files have to say, write them all, and only then give the database its new status."""
    path, notes = data_dir.database, RollbackNotes()
    restored: list[RestoredFile] = []
    status = state_of(path).status
    if status == "completed":
        notes.add_problems(*Run(data_dir, Options(listener=listener)).run().errors)
        with opened(path) as connection:
            upgrade(connection, path, data_dir.backups)
            with sqlite_errors("roll back", path):
                connection.execute("PRAGMA synchronous = FULL")
            with transaction(connection, path, "roll back"):
                files = WorkspaceFiles(
                    data_dir=data_dir,
                    connection=connection,
                    listener=listener,
                    notes=notes,
                    install=install,
                    worker_for=worker_for,
                )
                restored = files.run()
                if install:
                    # What an app writes to SQLite from now on is told from what is in the files by this.
                    connection.execute(queries.FORGET_ROLLED_BACK)
                    connection.executemany(queries.RECORD_ROLLED_BACK, files.written)
                    connection.execute(queries.SET_STATUS, ("rolled_back",))
    if install and status in ("completed", "rolled_back"):  # also where the last step of an earlier rollback is missing
        write_flag(data_dir, "json")
    return RollbackReport(
        status="rolled_back" if status == "completed" else "nothing_to_do",
        workspaces=tuple(restored),
        database=os.fspath(path),
        backup_path=state_of(path).backup,
        warnings=tuple(notes.warnings),
        errors=tuple(notes.problems),
    )
