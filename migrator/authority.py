"""Determines which store is authoritative, from the database's own record and storage.json.

SQLite is authoritative exactly while ``migration_metadata`` says ``completed``. storage.json only names the backend for
the app, and is written afterwards. All other modules ask this one.
"""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from migrator.data_dir import DEFAULT_DATABASE, DataDir, place_in, recorded_database, require_directory
from migrator.database import queries
from migrator.database.connection import no_database, opened
from migrator.database.errors import sqlite_errors, without_values
from migrator.database.schema import (
    DELETIONS_VERSION,
    INDEX_VERSION,
    LEDGER_VERSION,
    RULES_VERSION,
    RUNS_VERSION,
    require_known,
)
from migrator.errors import ConnectionFailed, MigratorError, StaleStoreError, UsageError
from migrator.files import durable
from migrator.ownership import foreign_database

Authority = Literal["json", "sqlite"]


class State(NamedTuple):
    """The row of ``migration_metadata``.

    :ivar schema_version: 0 if there are no tables yet
    :ivar status: pending, in_progress, completed, failed or rolled_back; None if there is no database
    :ivar backup: the folder of the last backup
    """

    schema_version: int
    status: str | None
    backup: str | None
    migrated_at: str | None

    @property
    def authority(self) -> Authority:
        """The authoritative store: SQLite exactly if a migration into it is completed."""
        return "sqlite" if self.status == "completed" else "json"

    @property
    def has_ledger(self) -> bool:
        """Whether the schema has the ledger, the quarantine and the columns for lossless storage."""
        return self.schema_version >= LEDGER_VERSION

    @property
    def has_rules(self) -> bool:
        """Whether the schema records by which rules the quarantine was checked."""
        return self.schema_version >= RULES_VERSION

    @property
    def has_runs(self) -> bool:
        """Whether the schema has the records of runs."""
        return self.schema_version >= RUNS_VERSION

    @property
    def has_deletions(self) -> bool:
        """Whether the schema records the sessions that files lost."""
        return self.schema_version >= DELETIONS_VERSION

    @property
    def has_index_state(self) -> bool:
        """Whether the schema records the state of the full-text search index."""
        return self.schema_version >= INDEX_VERSION


NO_DATABASE = State(schema_version=0, status=None, backup=None, migrated_at=None)


def read_state(connection: sqlite3.Connection, path: Path | str) -> State:
    """Read the state that the database records.

    :raises SchemaError: it is newer than this program
    """
    version = require_known(connection, path)
    with sqlite_errors("read the state of the migration", path):
        row = connection.execute(queries.METADATA).fetchone() if version else None
        has_others = version and row is None and connection.execute("SELECT 1 FROM migration_metadata").fetchone()
    if row is None and not has_others:
        return State(schema_version=version, status="pending", backup=None, migrated_at=None)
    if row is None or not isinstance(row[1], str) or not isinstance(row[2], str | None):
        raise without_values("migration_metadata", path)
    return State(version, row[1], row[2], row[3])


def has_database(path: Path) -> bool:
    """Return whether there is a database file that is not empty."""
    return path.exists() and path.stat().st_size > 0


def state_of(path: Path) -> State:
    """Read the state of a database file, opened read-only; NO_DATABASE if there is none.

    :raises ConnectionFailed: it cannot be opened
    :raises SchemaError: it is newer than this program
    """
    if not has_database(path):
        return NO_DATABASE
    with opened(path, read_only=True) as connection:
        return read_state(connection, path)


Backend = Literal["json", "sqlite", "hybrid"]
BACKENDS: tuple[Backend, ...] = get_args(Backend)


def require_backend(name: str) -> Backend:
    """Return the backend of a name.

    :raises UsageError: there is none
    """
    if name in BACKENDS:
        return name
    raise UsageError(
        f"There is no backend {name!r}.", code="backend.unknown", hint=f"Use one of: {', '.join(BACKENDS)}."
    )


def read_flag(data_dir: DataDir) -> Backend | None:
    """Return the backend that storage.json names; None if it is missing or invalid."""
    named = data_dir.flag_content().get("backend")
    return named if named in BACKENDS else None


def write_flag(places: DataDir, backend: Backend, content: dict[str, Any] | None = None) -> None:
    """Write storage.json so that the app uses this backend; nothing is written if it says so already.

    It also names a database outside the data directory, so that ``resolve_data_dir`` finds it without ``--database``.

    :param content: the current content of storage.json, if known
    :raises StaleStoreError: it names another database, which is the authoritative store
    """
    path = places.flag
    known = places.flag_content() if content is None else content
    require_same_database(places, known)
    elsewhere = places.database != path.parent / DEFAULT_DATABASE
    database = place_in(path.parent, places.database) if elsewhere else None
    if known.get("backend") == backend and known.get("database") == database:
        return
    changed = {"backend": backend, "changed_at": datetime.now(UTC).isoformat(timespec="seconds")}
    if database is not None:
        changed["database"] = database
    durable.make_private_folder(path.parent)
    durable.replace(path, [json.dumps(changed, indent=2).encode() + b"\n"])


def require_same_database(places: DataDir, content: dict[str, Any] | None = None) -> None:
    """Check that no other database is the authoritative store of the data directory.

    :param content: the content of storage.json, if known
    :raises StaleStoreError: the one that storage.json names, or the one in the default place, is authoritative
    """
    recorded = _other_recorded(places, content)
    if recorded is not None and state_of(recorded).authority == "sqlite" and foreign_database(places, recorded) is None:
        raise _not_authoritative(places, recorded)


def _not_authoritative(places: DataDir, recorded: Path) -> StaleStoreError:
    return StaleStoreError(
        f"The authoritative database of {places.root} is {recorded}, not {places.database}.",
        code="store.other_database",
        hint="Leave out --database (and unset $MIGRATOR_DATABASE_URL), or first move the authoritative database to "
        "the path you want to use. Nothing was changed.",
    )


def _is_authoritative(path: Path) -> bool:
    """Return whether a database can be read and is authoritative."""
    with suppress(MigratorError, OSError):
        return state_of(path).authority == "sqlite"
    return False


def _other_recorded(places: DataDir, content: dict[str, Any] | None = None) -> Path | None:
    """Return the database that storage.json names, or the one in the default place, if it is another one."""
    recorded = recorded_database(places.flag.parent, content)
    is_same = recorded == places.database or os.path.realpath(recorded) == os.path.realpath(places.database)
    return None if is_same else recorded


def require_database(places: DataDir, state: State) -> None:
    """Check that the authoritative database is not missing, since the JSON files are out of date then.

    :raises StaleStoreError: SQLite is authoritative according to storage.json, but the database is missing
    :raises ConnectionFailed: its path is a link to where nothing is
    """
    missing = missing_database(places, state) or broken_link(places)
    if missing is not None:
        raise missing


def broken_link(places: DataDir) -> ConnectionFailed | None:
    """Return the error if the path of the database is a link to where nothing is; otherwise None."""
    path = places.database
    if not path.is_symlink() or path.exists():
        return None
    return ConnectionFailed(
        f"The database {path} is a link to {os.readlink(path)}, which does not exist.",
        code="database.broken_link",
        hint="If its disk is not mounted, mount it; otherwise remove the link, or put the database where it points.",
    )


def missing_database(places: DataDir, state: State) -> StaleStoreError | None:
    """Return the error if the database is missing although storage.json says it is authoritative; otherwise None.

    storage.json is written after the database, so it never names one that nothing was migrated to. If the one that it
    names is there, only the path is wrong.

    :param state: the state of the database
    """
    if state.has_ledger or read_flag(places) not in ("sqlite", "hybrid"):
        return None
    recorded = _other_recorded(places)
    if recorded is not None and foreign_database(places, recorded) is not None:
        return None  # storage.json names a database of another data directory
    if recorded is not None and _is_authoritative(recorded):
        return _not_authoritative(places, recorded)
    if places.database.exists():
        reason = "is missing: nothing was ever migrated into the file that is there now"
    elif os.path.lexists(places.database):
        reason = "is missing: there is only a broken link"
    else:
        reason = "is missing"
    return StaleStoreError(
        f"SQLite is authoritative according to {places.flag}, but the database {places.database} {reason}.",
        code="database.lost",
        hint="Nothing was changed. Put it back, or restore a copy: 'migrator doctor' shows how. If it is "
        "lost for good, 'migrator backend json' switches back to the JSON files, which may lack everything since the "
        "migration.",
    )


def require_history(places: DataDir) -> None:
    """Check that there is a database, for a command that has nothing to work with otherwise.

    :raises StaleStoreError: SQLite is authoritative according to storage.json, but the database is missing
    :raises ConnectionFailed: there is none
    """
    require_directory(places)
    require_database(places, state_of(places.database))
    if not durable.exists(places.database):
        raise no_database(places.database)


def is_hybrid(data_dir: DataDir) -> bool:
    """Return whether the app runs in hybrid mode: SQLite answers, dual write keeps the JSON files equal.

    storage.json alone is not enough: a rollback that was killed leaves it unchanged.

    :raises ConnectionFailed: the database cannot be opened
    :raises SchemaError: it is newer than this program
    """
    return read_flag(data_dir) == "hybrid" and state_of(data_dir.database).authority == "sqlite"


def correct_flag(data_dir: DataDir) -> None:
    """Correct storage.json if it names a backend that is no longer authoritative, as a killed run may leave it."""
    backend = wrong_flag(data_dir, state_of(data_dir.database))
    if backend is not None:
        write_flag(data_dir, backend)


def point_at_sqlite(data_dir: DataDir) -> None:
    """Make storage.json name SQLite as the backend; hybrid mode stays as it is."""
    content = data_dir.flag_content()
    if content.get("backend") != "hybrid":
        write_flag(data_dir, "sqlite", content)


def authority_of(backend: Backend) -> Authority:
    """Return the store that is authoritative while the app runs on this backend."""
    return "json" if backend == "json" else "sqlite"


def effective_backend(data_dir: DataDir, authority: Authority) -> Backend:
    """Return the backend in use: storage.json's if it agrees with the authoritative store, otherwise that store.

    If they disagree, a switch was interrupted, and the database's own record is right.
    """
    flag = read_flag(data_dir)
    return flag if flag is not None and authority_of(flag) == authority else authority


class StoreStatus(NamedTuple):
    """The authoritative store, and the backend in use.

    :ivar missing: the error if the authoritative database is missing, or None
    """

    authority: Authority
    backend: Backend
    missing: StaleStoreError | None


def store_status(data_dir: DataDir, state: State) -> StoreStatus:
    """Return the status for this state of the database; a missing database stays authoritative, not the old files."""
    missing = missing_database(data_dir, state)
    if missing is not None:
        return StoreStatus("sqlite", read_flag(data_dir) or "sqlite", missing)
    return StoreStatus(state.authority, effective_backend(data_dir, state.authority), None)


def wrong_flag(data_dir: DataDir, state: State) -> Backend | None:
    """Return the backend that storage.json should name if it names another one; None if it is right.

    Before a migration it may be missing.
    """
    if missing_database(data_dir, state) is not None:
        return None  # whether to switch to the JSON files is for the user to decide
    expected = effective_backend(data_dir, state.authority)
    found = read_flag(data_dir)
    if found == expected or (state.authority == "json" and not os.path.lexists(data_dir.flag)):
        return None
    return expected


def set_status(data_dir: DataDir, before: State, status: str) -> None:
    """Record the migration's status in a database that the app created; it does not become authoritative."""
    if before.schema_version == 0 or before.status not in ("pending", "failed", "in_progress"):
        return
    with opened(data_dir.database) as connection, sqlite_errors("record the status", data_dir.database):
        connection.execute(queries.SET_STATUS, (status,))
