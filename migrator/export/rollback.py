"""Rollback: write every workspace back to JSON, lose nothing, and make JSON authoritative.

The database is locked for writers throughout. The steps, in order:

1. merge what old builds of the app wrote into the files since the migration
2. write every file to a scratch folder and read it back
3. rename each file into its place
4. set the database's status to ``rolled_back``
5. write the flag in storage.json

SQLite stays authoritative until step 4. After an interruption, running the rollback again finishes it: the files that
are in place already hold the same sessions, so merging them changes nothing.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial

from migrator.authority import require_database, require_same_database, state_of, write_flag
from migrator.backups.database_copy import upgrade
from migrator.backups.restore_database import guarded, put_in_place
from migrator.data_dir import DataDir
from migrator.database import quarantine_queries, queries
from migrator.database.connection import opened, transaction
from migrator.database.errors import sqlite_errors
from migrator.errors import ConnectionFailed, Message, MigratorError, RollbackFailed
from migrator.export.rollback_notes import RollbackNotes
from migrator.export.session_file import RestoredFile
from migrator.export.workspace_files import WorkspaceFiles
from migrator.inventory.deletions import held_deletions
from migrator.inventory.late_writes import find_replaced
from migrator.locking import exclusive, progress_for_others
from migrator.migration.dry_run import scratch_data_dir
from migrator.migration.options import Options
from migrator.migration.run import Run
from migrator.progress import Listener, ignore_progress
from migrator.report import Report
from migrator.salvage.access import DAMAGE, readable_copy
from migrator.salvage.intact import require_intact
from migrator.worker.process import WorkerFor


@dataclass(frozen=True)
class RollbackReport(Report):
    """What a rollback did.

    :ivar status: ``rolled_back`` or ``nothing_to_do``
    :ivar warnings: everything worth knowing
    :ivar errors: the warnings that need attention, such as conflicts
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
        """3 if something needs attention: conflicts, or files that were kept under another name."""
        return 3 if self.errors or any(file.kept_beside for file in self.workspaces) else 0


def run_rollback(
    data_dir: DataDir,
    *,
    dry_run: bool = False,
    salvage: bool = False,
    listener: Listener = ignore_progress,
    worker_for: WorkerFor | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> RollbackReport:
    """Write every session back to the JSON files and make them authoritative.

    :param salvage: if the database is damaged, write what can be read of it
    :param clock: returns the time in seconds
    :param worker_for: supplies a worker process; None starts one if it is worthwhile
    :raises MigrationLocked: another migrator is running
    :raises RollbackFailed: the rollback failed; its hint says which store is authoritative now
    """
    with exclusive(data_dir, keep=not dry_run), progress_for_others(data_dir, listener) as shown:
        require_same_database(data_dir)
        started = clock()
        try:
            report = _attempt(data_dir, shown, worker_for, dry_run=dry_run)
        except RollbackFailed as error:
            if not salvage or error.code not in DAMAGE:
                raise
            report = _salvage(data_dir, error, shown, worker_for, dry_run=dry_run)
        duration = round((clock() - started) * 1000)
        return replace(report, dry_run=dry_run, database=os.fspath(data_dir.database), duration_ms=duration)


def _attempt(data_dir: DataDir, listener: Listener, worker_for: WorkerFor | None, *, dry_run: bool) -> RollbackReport:
    try:
        require_database(data_dir, state_of(data_dir.database))  # a newer schema raises SchemaError
    except ConnectionFailed as error:
        hint = f"'migrator backups list' lists the backups in {data_dir.backups}."
        raise _failed(error, hint) from error
    try:
        with scratch_data_dir(data_dir) if dry_run else nullcontext(data_dir) as places:
            if state_of(places.database).status == "completed":
                with opened(places.database, read_only=True) as connection:
                    require_intact(connection, places.database)
            finish = None if dry_run else partial(write_flag, data_dir, "json")
            return _roll_back(places, listener, worker_for, finish)
    except MigratorError as error:
        raise _failed(error, _authority_after_failure(data_dir)) from error


def _salvage(
    data_dir: DataDir, damage: MigratorError, listener: Listener, worker_for: WorkerFor | None, *, dry_run: bool
) -> RollbackReport:
    """Roll back from a readable copy of a damaged database, and put that copy in its place."""
    kept: list[str] = []
    with (
        nullcontext() if dry_run else guarded(data_dir.database) as guard,
        readable_copy(data_dir, damage, parent=data_dir.root) as found,
    ):
        places = found.places if dry_run else found.writable

        def finish() -> None:
            kept.append(os.fspath(put_in_place(data_dir, places.database, guard)))
            write_flag(data_dir, "json")

        try:
            report = _roll_back(places, listener, worker_for, None if dry_run else finish, salvaged=True)
        except MigratorError as error:
            hint = "The damaged database is still in its place."
            if kept:
                hint = f"The damaged database is kept as {kept[0]}. Run 'migrator rollback' again to finish."
            raise _failed(error, hint) from error
    for copy in kept:
        message = f"The damaged database is kept as {copy}."
        report = replace(report, warnings=(*report.warnings, Message(message, code="rollback.kept_copy")))
    return replace(report, warnings=(*found.messages, *report.warnings), errors=(*found.messages, *report.errors))


def _failed(error: MigratorError, hint: str) -> RollbackFailed:
    """The error of a rollback that another error ended, with the code and the hint of that."""
    both = f"{error.hint} {hint}" if error.hint else hint
    return RollbackFailed(f"The rollback failed: {error.message}", code=error.code, hint=both)


def _authority_after_failure(data_dir: DataDir) -> str:
    """Which store is authoritative after a failure, and where the backup is."""
    try:
        state = state_of(data_dir.database)
    except MigratorError as error:
        return f"The database cannot be read now either: {error} The backups are in {data_dir.backups}."
    result = "SQLite is still authoritative."
    if state.status == "rolled_back":
        result = "All files are in place and authoritative; run 'migrator rollback' again to finish."
    return result + (f" The backup is {data_dir.backup_now(state.backup)}." if state.backup else "")


def _roll_back(
    data_dir: DataDir,
    listener: Listener,
    worker_for: WorkerFor | None,
    finish: Callable[[], object] | None,
    *,
    salvaged: bool = False,
) -> RollbackReport:
    """Merge the files' changes, write all files, and only then set the database's new status.

    :param finish: called when all files are in place; None only prepares them
    :param salvaged: whether the database is what could be read of a damaged one
    """
    path, notes, restored, install = data_dir.database, RollbackNotes(), list[RestoredFile](), finish is not None
    status = state_of(path).status
    if status == "completed":
        merged = Run(data_dir, Options(listener=listener)).run()
        notes.add_errors(*merged.errors)
        notes.warnings += merged.notes_of_deletions
        with opened(path) as connection:
            upgrade(connection, path, data_dir.backups)
            with sqlite_errors("start the rollback", path):
                connection.execute("PRAGMA synchronous = FULL")
            with transaction(connection, path, "record the rollback"):
                files = WorkspaceFiles(
                    data_dir=data_dir,
                    connection=connection,
                    listener=listener,
                    notes=notes,
                    install=install,
                    salvaged=salvaged,
                    worker_for=worker_for,
                )
                restored = files.run()
                if held := sum(1 for _ in held_deletions(connection)):
                    notes.held_written(held)
                if install:
                    _record(connection, files.written)
    backup = state_of(path).backup
    if finish is not None and status in ("completed", "rolled_back"):  # also to finish an earlier rollback
        finish()
    notes.add_errors(*find_replaced(data_dir, [file.file for file in restored]).kept)
    return RollbackReport(
        status="rolled_back" if status == "completed" else "nothing_to_do",
        workspaces=tuple(restored),
        database=os.fspath(path),
        backup_path=data_dir.backup_now(backup),
        warnings=tuple(notes.warnings),
        errors=tuple(notes.errors),
    )


def _record(connection: sqlite3.Connection, written: Iterable[tuple[str, bytes]]) -> None:
    """Set the database's new status; the sessions in the files are recorded with it."""
    connection.execute(quarantine_queries.RELEASE_DELETIONS)
    # By this record the next run finds what an app writes to SQLite from now on.
    connection.execute(queries.FORGET_ROLLED_BACK)
    connection.executemany(queries.RECORD_ROLLED_BACK, written)
    connection.execute(queries.SET_STATUS, ("rolled_back",))
