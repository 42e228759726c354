"""Switch the storage backend of the app: JSON, SQLite or hybrid mode, with all data brought up to date."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from migrator.authority import (
    Backend,
    missing_database,
    read_flag,
    require_database,
    state_of,
    store_status,
    write_flag,
)
from migrator.backups.database_copy import upgrade
from migrator.data_dir import DataDir, require_directory
from migrator.database import queries
from migrator.database.connection import opened, transaction
from migrator.errors import Message, StaleStoreError
from migrator.export.hybrid_files import merge_files, write_json_files
from migrator.export.rollback import run_rollback
from migrator.inventory.late_writes import find_replaced
from migrator.locking import exclusive, has_stale_files
from migrator.migration.run import run_migration
from migrator.ownership import place_to_record
from migrator.progress import Listener, ignore_progress
from migrator.report import Report
from migrator.storage.hybrid.journal import HybridStats, find_damage, read_stats, renew_if_damaged


@dataclass(frozen=True)
class BackendReport(Report):
    """The backend in use, and what a switch did.

    :ivar backend: the backend in use now
    :ivar before: the backend before; the same if nothing was switched
    :ivar flag: what storage.json says; None if there is none
    :ivar trial: what hybrid mode recorded, if it was ever used
    :ivar notes: what was done, or is worth knowing
    :ivar errors: the notes that need attention: quarantined sessions, failed files, conflicts
    """

    backend: Backend
    before: Backend
    authority: str
    flag: str | None
    trial: HybridStats | None
    notes: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        return 3 if self.errors else 0


def show_backend(data_dir: DataDir) -> BackendReport:
    """The backend in use. Changes nothing.

    :raises StorageIOError: the data directory is a file
    """
    require_directory(data_dir)
    state = state_of(data_dir.database)
    flag, damage = read_flag(data_dir), find_damage(data_dir.hybrid_journal)
    trial = None if damage else read_stats(data_dir.hybrid_journal)
    authority, backend, missing = store_status(data_dir, state)
    errors = tuple(message for message in (missing and missing.as_message(), damage) if message)
    return BackendReport(backend, backend, authority, flag, trial, notes=errors, errors=errors)


def switch_backend(data_dir: DataDir, target: Backend, listener: Listener = ignore_progress) -> BackendReport:
    """Switch to a backend after bringing its store up to date.

    To ``sqlite``: a migration, unless SQLite is authoritative already. To ``hybrid``: the same, and the JSON files are
    written from SQLite. To ``json``: a rollback.

    :raises StaleStoreError: some files could not be migrated, or the authoritative database is missing
    :raises MigratorError: the migration or the rollback failed; the backend is the one before
    """
    state = state_of(data_dir.database)
    lost = missing_database(data_dir, state)
    if target != "json":
        require_database(data_dir, state)
    renewed = [message for message in (renew_if_damaged(data_dir),) if message]
    before = show_backend(data_dir)
    if target == before.backend and before.flag in (target, None):
        if has_stale_files(data_dir) or find_replaced(data_dir).is_unsettled:
            with exclusive(data_dir):  # taking the lock removes what an interrupted switch left
                pass
        return _with_late_writes(data_dir, before, [*renewed, *before.notes], [])
    if lost is not None:  # only the JSON files are left
        with exclusive(data_dir):
            write_flag(data_dir, "json")
        message = f"The JSON files are authoritative now: the database {data_dir.database} is missing. They may lack "
        message += "everything since the migration."
        notes: list[str] = [Message(message, code=lost.code)]
        errors = list[str]()
    elif target == "json":
        report = run_rollback(data_dir, listener=listener)
        write_flag(data_dir, "json")
        notes, errors = [*report.warnings], [*report.errors]
    else:
        errors, warnings = _bring_up_to_date(data_dir, before, listener)
        # What changed meanwhile is merged below if the files are written anew.
        notes = [*errors, *(one for one in warnings if target == "sqlite" or one.code != "source.changed")]
        if target == "sqlite" and before.backend == "hybrid":
            notes.append(hybrid_verdict(before.trial))
        with exclusive(data_dir):
            if target == "hybrid":
                merged = merge_files(data_dir, listener)
                errors += merged.errors
                notes += (*merged.errors, *merged.notes_of_deletions)
                notes += write_json_files(data_dir, listener)
            write_flag(data_dir, target)
    switched = replace(show_backend(data_dir), before=before.backend)
    return _with_late_writes(data_dir, switched, [*renewed, *notes], errors)


def _with_late_writes(
    data_dir: DataDir, report: BackendReport, notes: Sequence[str], errors: Sequence[str]
) -> BackendReport:
    """Add the versions of files that other programs wrote during a replacement."""
    late = [message for message in find_replaced(data_dir).kept if message not in errors]
    return replace(report, notes=(*notes, *late), errors=(*errors, *late))


def _bring_up_to_date(data_dir: DataDir, before: BackendReport, listener: Listener) -> tuple[list[str], list[Message]]:
    """Migrate what SQLite lacks; returns what needs attention, and what is worth knowing."""
    if before.authority != "json" and before.backend != "hybrid":
        return [], []
    # After hybrid mode, too: later changes in the files are compared with their state now.
    report = run_migration(data_dir, listener=listener)
    errors: list[str] = [*report.errors]
    if before.authority == "json" and state_of(data_dir.database).authority == "json":
        if report.workspaces:
            raise StaleStoreError(
                "The migration did not make SQLite authoritative.",
                code="migration.incomplete",
                hint="'migrator status' shows which files could not be migrated.",
            )
        with exclusive(data_dir):  # there was nothing to migrate
            _start_empty(data_dir)
    return errors, [*report.warnings]


def _start_empty(data_dir: DataDir) -> None:
    """Make an empty store; nothing is there that could be migrated."""
    path = data_dir.database
    with opened(path, create=True) as connection:
        upgrade(connection, path, data_dir.backups)
        with transaction(connection, path, "create an empty store"):
            connection.execute(queries.SET_COMPLETED, (None, place_to_record(data_dir.root)))


def hybrid_verdict(trial: HybridStats | None) -> Message:
    """A sentence about what hybrid mode found."""
    if trial is None or not trial.comparisons:
        message = "Hybrid mode compared nothing: no session was read while both stores were in use."
        return Message(message, code="hybrid.not_compared")
    clean = not trial.differences and not trial.failures and not trial.pending_repairs
    message = f"Hybrid mode found {'no problems' if clean else 'problems'}: {trial.summary()}."
    return Message(message, code="hybrid.stores_equal" if clean else "hybrid.stores_differ")
