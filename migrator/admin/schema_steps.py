"""Schema steps on a database that holds data: a backup first, and never one that would lose something."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from migrator.authority import read_state, require_database, state_of
from migrator.backups.database_copy import changing, upgrade
from migrator.data_dir import DataDir
from migrator.database import queries, schema
from migrator.database.connection import opened
from migrator.database.errors import sqlite_errors
from migrator.errors import SchemaError
from migrator.locking import exclusive
from migrator.report import Report
from migrator.text import counted


@dataclass(frozen=True)
class SchemaChange(Report):
    """What was done.

    :ivar steps: the names of the steps applied, or of the one undone
    :ivar backup: the copy of the database that was taken before; None where it held nothing
    """

    database: str
    schema_version: int
    steps: tuple[str, ...]
    backup: str | None


@dataclass(frozen=True)
class SchemaStatus(Report):
    """Every step that this version knows, and when the database got it."""

    database: str
    schema_version: int
    steps: tuple[schema.StepState, ...]


def schema_status(data_dir: DataDir) -> SchemaStatus:
    """Which steps the database has. Changes nothing.

    :raises SchemaError: it has newer ones than this version knows
    """
    path = data_dir.database
    with opened(path, read_only=True) as connection:
        version = schema.require_known(connection, path)
        return SchemaStatus(str(path), version, tuple(schema.status(connection, path)))


def apply_steps(data_dir: DataDir) -> SchemaChange:
    """Apply the steps that the database lacks, making it if there is none.

    :raises SchemaError: the database has other tables than the steps make, or newer ones
    :raises StaleStoreError: it is gone, and is authoritative: with an empty one in its place, that would be forgotten
    """
    path = data_dir.database
    with exclusive(data_dir):
        # This refuses one from the future, too, before anything opens it for writing.
        require_database(data_dir, state_of(path))
        with opened(path, create=True) as connection:
            applied, backup = upgrade(connection, path, data_dir.backups)
            copy = None if backup is None else str(backup)
            return SchemaChange(str(path), schema.version(connection), tuple(applied), copy)


def revert_step(data_dir: DataDir) -> SchemaChange:
    """Undo the last step, after a backup of the database.

    :raises SchemaError: it would lose data, or there is nothing to undo
    """
    path = data_dir.database
    with exclusive(data_dir):
        state_of(path)  # refuses one from the future before anything opens it for writing
        with opened(path) as connection:
            found = schema.require_known(connection, path)
            require = partial(_require_nothing_to_lose, connection, path)
            require(found)  # for what is refused no copy need be taken
            with changing(connection, path, data_dir.backups) as back_up:
                backup = back_up("before-revert") if found else None
                undone = schema.revert(connection, path, require)
            copy = None if backup is None else str(backup)
            return SchemaChange(str(path), schema.version(connection), (undone,), copy)


def _require_nothing_to_lose(connection: sqlite3.Connection, path: Path, found: int) -> None:
    """Refuse to undo a step that holds what is nowhere else, with the way out."""
    with sqlite_errors("look for what would be lost", path):
        state = read_state(connection, path)
        conflicts = state.has_ledger and connection.execute(queries.CONFLICT_COUNT).fetchone()[0]
        dropped = [*map(int, connection.execute(queries.TABLE_COUNTS).fetchone())] if found == 1 else []
    # Even without a session: the ledger knows which files failed and are served as they are.
    if state.authority == "sqlite":
        raise SchemaError(
            f"Undoing schema step {found} would lose data: {path} is the authority.",
            hint="Run 'migrator rollback' first: then the JSON files hold everything. Nothing was changed.",
        )
    if conflicts:
        raise SchemaError(
            f"Undoing schema step {found} would lose {counted(conflicts, 'conflicting version')} of sessions, "
            "which no file holds.",
            hint="'migrator quarantine export --to quarantined' writes them into files; 'migrator quarantine retry "
            "--all --take ours' drops them here, and keeps them in the backups. Nothing was changed.",
        )
    if any(dropped):  # nobody can tell any more what of it an app wrote here while the files were authoritative
        sessions, instances, messages = dropped
        raise SchemaError(
            f"Undoing schema step 1 would drop {counted(sessions, 'session')}, {counted(instances, 'instance')} and "
            f"{counted(messages, 'message')}, some of which may be nowhere else.",
            hint=f"If nothing of it is wanted any more, close the app and move {path} aside, with its -wal and -shm if "
            "there are any: that undoes all steps. Nothing was changed.",
        )
