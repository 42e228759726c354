"""Switching what the app runs on, with all the data that the switch needs."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from migrator.authority import (
    Backend,
    missing_database,
    read_flag,
    read_state,
    require_database,
    state_of,
    store_status,
    write_flag,
)
from migrator.backups.database_copy import changing, upgrade
from migrator.data_dir import DataDir
from migrator.database import queries
from migrator.database.connection import opened, transaction
from migrator.errors import StaleStoreError
from migrator.export.hybrid_files import merge_files, write_mirrors
from migrator.export.rollback import run_rollback
from migrator.locking import exclusive, has_stale_files
from migrator.migration.post_rollback import PostRollbackChanges, empty_after_rollback
from migrator.migration.run import run_migration
from migrator.progress import Listener, ignore_progress
from migrator.report import Report
from migrator.storage.hybrid.journal import HybridStats, read_stats


@dataclass(frozen=True)
class BackendReport(Report):
    """What the app runs on, and what a switch did.

    :ivar backend: what it runs on now
    :ivar before: what it ran on; the same where nothing was switched
    :ivar flag: what storage.json says; None where there is none
    :ivar trial: what hybrid mode recorded, if it was ever used
    :ivar notes: what was done, or is worth knowing
    :ivar errors: what of it needs the user: sessions in quarantine, files that failed, conflicts
    """

    backend: Backend
    before: Backend
    authority: str
    flag: str | None
    trial: HybridStats | None
    notes: tuple[str, ...] = field(default=())
    errors: tuple[str, ...] = field(default=())

    @property
    def exit_code(self) -> int:
        return 3 if self.errors else 0


def show_backend(data_dir: DataDir) -> BackendReport:
    """What the app runs on. Changes nothing."""
    state = state_of(data_dir.database)
    flag, trial = read_flag(data_dir), read_stats(data_dir.hybrid_journal)
    authority, backend, missing = store_status(data_dir, state)
    problems = () if missing is None else (missing.as_message(),)
    return BackendReport(backend, backend, authority, flag, trial, notes=problems, errors=problems)


def switch_backend(data_dir: DataDir, target: Backend, listener: Listener = ignore_progress) -> BackendReport:
    """Switch to a backend after bringing its store up to date.

    To ``sqlite``: a migration, where SQLite is not the authority yet. To ``hybrid``: the same, and the JSON files
    written from SQLite. To ``json``: a rollback.

    :raises StaleStoreError: files stayed behind that keep the switch from being whole, or the authoritative
        database is gone
    :raises MigratorError: the migration or the rollback failed; the app runs on what it ran on before
    """
    state = state_of(data_dir.database)
    lost = missing_database(data_dir, state)
    if target != "json":
        require_database(data_dir, state)
    before = show_backend(data_dir)
    if target == before.backend and before.flag in (target, None):
        if has_stale_files(data_dir):
            with exclusive(data_dir):  # which clears away what a switch left that was killed
                pass
        return before
    if lost is not None:  # the JSON files are what is left
        with exclusive(data_dir):
            write_flag(data_dir, "json")
        notes, problems = [f"{lost.message} The JSON files are the truth now, as old as they are."], list[str]()
    elif target == "json":
        report = run_rollback(data_dir, listener=listener)
        write_flag(data_dir, "json")
        notes, problems = [*report.warnings], [*report.errors]
    else:
        problems = _bring_up_to_date(data_dir, before, listener)
        notes = [*problems]
        if target == "sqlite" and before.backend == "hybrid":
            notes.append(hybrid_verdict(before.trial))
        with exclusive(data_dir):
            if target == "hybrid":
                problems += merge_files(data_dir, listener)
                notes += write_mirrors(data_dir, listener)
            write_flag(data_dir, target)
    return replace(show_backend(data_dir), before=before.backend, notes=tuple(notes), errors=tuple(problems))


def _bring_up_to_date(data_dir: DataDir, before: BackendReport, listener: Listener) -> list[str]:
    """Let SQLite have everything; returns what needs the user."""
    if before.authority != "json" and before.backend != "hybrid":
        return []
    # After hybrid mode the files are what later changes in them start from: what both stores wrote is no news then.
    report = run_migration(data_dir, listener=listener)
    problems: list[str] = [*report.errors]
    if before.authority == "json" and state_of(data_dir.database).authority == "json":
        if report.workspaces:
            raise StaleStoreError(
                "The migration left the JSON files the authority.", hint="'migrator status' tells more."
            )
        with exclusive(data_dir):  # there was nothing to migrate
            problems += _start_empty(data_dir).errors()
    return problems


def _start_empty(data_dir: DataDir) -> PostRollbackChanges:
    """An empty store; what was written to an old one after a rollback is brought in."""
    path = data_dir.database
    with opened(path, create=True) as connection:
        upgrade(connection, path, data_dir.backups)
        with (
            changing(connection, path, data_dir.backups) as back_up,
            transaction(connection, path, "make an empty store"),
        ):
            late = PostRollbackChanges()
            if read_state(connection, path).status == "rolled_back":  # what it holds, somebody deleted in the files
                back_up("rolled-back")
                late = empty_after_rollback(connection).reapply()
            connection.execute(queries.SET_COMPLETED, (None,))
        return late


def hybrid_verdict(trial: HybridStats | None) -> str:
    """Whether hybrid mode gave reason for doubt."""
    if trial is None or not trial.comparisons:
        return "The trial compared nothing: no session was read while both stores ran."
    clean = not trial.differences and not trial.failures and not trial.pending_repairs
    return f"The trial was {'clean' if clean else 'not clean'}: {trial.summary()}."
