"""Apply and revert schema steps: a backup first, and nothing that would lose data."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from migrator.authority import read_state, require_database, require_history, state_of
from migrator.backups.database_copy import changing, upgrade
from migrator.data_dir import DataDir
from migrator.database import quarantine_queries, queries, schema
from migrator.database.connection import opened
from migrator.database.errors import sqlite_errors
from migrator.errors import SchemaError
from migrator.locking import exclusive
from migrator.report import Report
from migrator.text import counted


@dataclass(frozen=True)
class SchemaChange(Report):
    """The steps that were applied or reverted.

    :ivar steps: the names of the steps applied, or of the one reverted
    :ivar backup: the copy of the database that was taken before; None if none was needed
    """

    database: str
    schema_version: int
    steps: tuple[str, ...]
    backup: str | None


@dataclass(frozen=True)
class SchemaStatus(Report):
    """Every step that this version knows, and when it was applied."""

    database: str
    schema_version: int
    steps: tuple[schema.StepState, ...]


def schema_status(data_dir: DataDir) -> SchemaStatus:
    """The steps that the database has. Changes nothing.

    :raises SchemaError: the database has newer steps than this version knows
    """
    path = data_dir.database
    require_history(data_dir)
    with opened(path, read_only=True) as connection:
        version = schema.require_known(connection, path)
        return SchemaStatus(str(path), version, tuple(schema.status(connection, path)))


def apply_steps(data_dir: DataDir) -> SchemaChange:
    """Apply the steps that the database lacks; creates the database if there is none.

    :raises SchemaError: the database has tables that no step makes, or newer ones
    :raises StaleStoreError: the authoritative database is missing; an empty one in its place would hide that
    """
    path = data_dir.database
    with exclusive(data_dir):
        # This also refuses a newer schema, before anything opens the database for writing.
        require_database(data_dir, state_of(path))
        with opened(path, create=True) as connection:
            applied, backup = upgrade(connection, path, data_dir.backups)
            copy = None if backup is None else str(backup)
            return SchemaChange(str(path), schema.version(connection), tuple(applied), copy)


def revert_step(data_dir: DataDir) -> SchemaChange:
    """Revert the last step, after a backup of the database.

    :raises SchemaError: that would lose data, or there is no step to revert
    """
    path = data_dir.database
    with exclusive(data_dir):
        require_history(data_dir)  # refuses a newer schema before anything opens it for writing
        with opened(path) as connection:
            found = schema.require_known(connection, path)
            require = partial(_require_nothing_to_lose, connection, path)
            require(found)  # a refused step needs no backup
            with changing(connection, path, data_dir.backups) as back_up:
                backup = back_up("before-revert") if found else None
                undone = schema.revert(connection, path, require)
            copy = None if backup is None else str(backup)
            return SchemaChange(str(path), schema.version(connection), (undone,), copy)


def _require_nothing_to_lose(connection: sqlite3.Connection, path: Path, found: int) -> None:
    """Check that reverting a step loses nothing that exists nowhere else.

    :raises SchemaError: it would; the hint says what to do
    """
    with sqlite_errors("count sessions", path):
        state = read_state(connection, path)
        conflicts = state.has_ledger and connection.execute(quarantine_queries.CONFLICT_COUNT).fetchone()[0]
        deleted = state.has_deletions and connection.execute(quarantine_queries.DELETED_COUNT).fetchone()[0]
        dropped = [*map(int, connection.execute(queries.TABLE_COUNTS).fetchone())] if found == 1 else []
    # Even without sessions, the ledger knows which files failed and are read as they are.
    if state.authority == "sqlite":
        raise SchemaError(
            f"Reverting schema step {found} would lose data: {path} is authoritative.",
            code="schema.database_authoritative",
            hint="Run 'migrator rollback' first; then the JSON files hold everything. Nothing was changed.",
        )
    if conflicts:
        raise SchemaError(
            f"Reverting schema step {found} would lose {counted(conflicts, 'conflicting session version')}, "
            "which no JSON file holds.",
            code="schema.holds_conflicts",
            hint="'migrator quarantine export --to quarantined' writes them to files; 'migrator quarantine retry "
            "--all --take ours' drops them here and keeps them in the backups. Nothing was changed.",
        )
    if deleted:
        raise SchemaError(
            f"Reverting schema step {found} would lose {counted(deleted, 'deleted session')} in quarantine, "
            "which no JSON file holds.",
            code="schema.holds_deleted",
            hint="'migrator quarantine export --to quarantined' writes them to files; 'migrator quarantine dismiss "
            "--all --reason deleted' takes them out. Nothing was changed.",
        )
    if any(dropped):  # an app may have written some of it here while the files were authoritative
        sessions, instances, messages = dropped
        raise SchemaError(
            f"Reverting schema step 1 would drop {counted(sessions, 'session')}, {counted(instances, 'instance')} and "
            f"{counted(messages, 'message')}, some of which may exist nowhere else.",
            code="schema.holds_sessions",
            hint=f"If you no longer need them, close the app and move {path} away, with its -wal and -shm files if "
            "there are any: that reverts all steps. Nothing was changed.",
        )
