"""Which store is authoritative: what the database says of itself, what storage.json says, and what disagrees.

SQLite is the authoritative store exactly while ``migration_metadata`` says ``completed``; storage.json only tells the
app what to run on, and is written afterwards. Everybody else asks here.
"""

from __future__ import annotations

import json
import os
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from migrator.data_dir import DEFAULT_DATABASE, DataDir, place_in, recorded_database
from migrator.database import queries
from migrator.database.connection import opened
from migrator.database.errors import sqlite_errors
from migrator.database.schema import INDEX_VERSION, LEDGER_VERSION, RUNS_VERSION, require_known
from migrator.errors import StaleStoreError
from migrator.files import durable

Authority = Literal["json", "sqlite"]


class State(NamedTuple):
    """The row of ``migration_metadata``.

    :ivar schema_version: 0 where there are no tables yet
    :ivar status: pending, in_progress, completed, failed or rolled_back; None where there is no database
    :ivar backup: the last backup's folder
    """

    schema_version: int
    status: str | None
    backup: str | None
    migrated_at: str | None

    @property
    def authority(self) -> Authority:
        """The authoritative store: SQLite exactly when a migration into it completed."""
        return "sqlite" if self.status == "completed" else "json"

    @property
    def has_ledger(self) -> bool:
        """Whether the tables are new enough to have the ledger, the quarantine and what else losslessness needs."""
        return self.schema_version >= LEDGER_VERSION

    @property
    def has_runs(self) -> bool:
        """Whether the tables are new enough to have the records of runs."""
        return self.schema_version >= RUNS_VERSION

    @property
    def has_index_state(self) -> bool:
        """Whether the tables are new enough to say how far the index for full-text search is."""
        return self.schema_version >= INDEX_VERSION


NO_DATABASE = State(schema_version=0, status=None, backup=None, migrated_at=None)


def read_state(connection: sqlite3.Connection, path: Path | str) -> State:
    """What the database says of itself.

    :raises SchemaError: it is newer than this program
    """
    version = require_known(connection, path)
    with sqlite_errors("read the state of the migration", path):
        row = connection.execute(queries.METADATA).fetchone() if version else None
    if row is None:
        return State(schema_version=version, status="pending", backup=None, migrated_at=None)
    return State(version, row[1], row[2], row[3])


def state_of(path: Path) -> State:
    """The state of the database file, or NO_DATABASE; opens it for reading only.

    :raises ConnectionFailed: it can't be opened
    :raises SchemaError: it is newer than this program
    """
    if not path.exists() or path.stat().st_size == 0:
        return NO_DATABASE
    with opened(path, read_only=True) as connection:
        return read_state(connection, path)


Backend = Literal["json", "sqlite", "hybrid"]
BACKENDS: tuple[Backend, ...] = get_args(Backend)


def read_flag(data_dir: DataDir) -> Backend | None:
    """The backend that storage.json names; None where there is no such file, or one that makes no sense."""
    named = data_dir.flag_content().get("backend")
    return named if named in BACKENDS else None


def write_flag(places: DataDir, backend: Backend, content: dict[str, Any] | None = None) -> None:
    """Point the app at a backend, and at a database that is not in the data directory; nothing where it does already.

    Whoever opens the data directory without a word about the database finds it there: see ``resolve_data_dir``.

    :param content: what storage.json holds now, where that is known
    :raises StaleStoreError: it points at another database, which is the authoritative store
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
    """Refuse to work with a database while another one is the authoritative store of the data directory.

    :param content: what storage.json holds, where that is known
    :raises StaleStoreError: the one that storage.json names, or the one in the usual place, does
    """
    recorded = recorded_database(places.flag.parent, content)
    if recorded == places.database or os.path.realpath(recorded) == os.path.realpath(places.database):
        return
    if state_of(recorded).authority == "sqlite":
        raise StaleStoreError(
            f"{recorded} holds the truth of {places.root}; with {places.database} in its place, that would be hidden.",
            hint="Leave out --database (and unset $DATABASE_URL), or move that database there first. "
            "Nothing was changed.",
        )


def require_database(places: DataDir, state: State) -> None:
    """Refuse to work with files that are old, where the database that they were migrated to is gone.

    :raises StaleStoreError: storage.json says that SQLite is authoritative, and it is not there
    """
    missing = missing_database(places, state)
    if missing is not None:
        raise missing


def missing_database(places: DataDir, state: State) -> StaleStoreError | None:
    """The error that the database is gone which is the authoritative store by storage.json; None where all is well.

    The flag is written after the database: it never points at one that has not been migrated to.

    :param state: of the database
    """
    if state.has_ledger or read_flag(places) not in ("sqlite", "hybrid"):
        return None
    if places.database.exists():
        gone = "what lies there now never was migrated to"
    elif os.path.lexists(places.database):
        gone = "there is only a link to nothing"
    else:
        gone = "it is not there"
    return StaleStoreError(
        f"SQLite holds the truth, as {places.flag} says, but {places.database} is gone: {gone}.",
        hint="Put it back, or restore a copy of it: 'migrator backups list' shows what there is. If it is lost for "
        "good, 'migrator backend json' makes the JSON files the truth, as old as they are. Nothing was changed.",
    )


def is_hybrid(data_dir: DataDir) -> bool:
    """Whether the app runs in hybrid mode: SQLite answers, and the JSON files are kept equal by dual write.

    Storage.json alone proves nothing: a rollback that is killed leaves it as it was.

    :raises ConnectionFailed: the database can't be opened
    :raises SchemaError: it is newer than this program
    """
    return read_flag(data_dir) == "hybrid" and state_of(data_dir.database).authority == "sqlite"


def correct_flag(data_dir: DataDir) -> None:
    """Finish what a killed run left: storage.json names a backend whose store is not authoritative any more."""
    backend = wrong_flag(data_dir, state_of(data_dir.database))
    if backend is not None:
        write_flag(data_dir, backend)


def point_at_sqlite(data_dir: DataDir) -> None:
    """Have the app run on SQLite; in hybrid mode it goes on running on both stores."""
    content = data_dir.flag_content()
    if content.get("backend") != "hybrid":
        write_flag(data_dir, "sqlite", content)


def authority_of(backend: Backend) -> Authority:
    """The store that is authoritative while the app runs on a backend."""
    return "json" if backend == "json" else "sqlite"


def effective_backend(data_dir: DataDir, authority: Authority) -> Backend:
    """What the app runs on: storage.json where it agrees with the authority, else the authority.

    A flag that disagrees is a flip that was interrupted: the database's own record is right.
    """
    flag = read_flag(data_dir)
    return flag if flag is not None and authority_of(flag) == authority else authority


class Standing(NamedTuple):
    """Which store is authoritative, and what the app runs on.

    :ivar missing: the error that the database which is authoritative is gone, or None
    """

    authority: Authority
    backend: Backend
    missing: StaleStoreError | None


def standing_of(data_dir: DataDir, state: State) -> Standing:
    """How things stand with this state of the database: while it is missing, the old files are not authoritative."""
    missing = missing_database(data_dir, state)
    if missing is not None:
        return Standing("sqlite", read_flag(data_dir) or "sqlite", missing)
    return Standing(state.authority, effective_backend(data_dir, state.authority), None)


def wrong_flag(data_dir: DataDir, state: State) -> Backend | None:
    """What storage.json should say where it says something else; None where it is right.

    Without a migration none is needed.
    """
    if missing_database(data_dir, state) is not None:
        return None  # to point it at the JSON files is for the user to decide
    expected = effective_backend(data_dir, state.authority)
    found = read_flag(data_dir)
    if found == expected or (state.authority == "json" and not os.path.lexists(data_dir.flag)):
        return None
    return expected


def mark(data_dir: DataDir, before: State, status: str) -> None:
    """Record how far the migration is in a database that the app made; it stays what it was: not the authority."""
    if before.schema_version == 0 or before.status not in ("pending", "failed", "in_progress"):
        return
    with opened(data_dir.database) as connection, sqlite_errors("record the status", data_dir.database):
        connection.execute(queries.SET_STATUS, (status,))
