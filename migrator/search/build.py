"""The index for full-text search, from outside: built after a migration or on demand, dropped, looked at.

It is built when the database is authoritative already, in short transactions, so that the app can be at work meanwhile.
"""

from __future__ import annotations

import shutil
import sqlite3
from dataclasses import dataclass

from migrator.authority import read_state
from migrator.backups.database_copy import upgrade
from migrator.data_dir import DataDir
from migrator.database.connection import opened, transaction
from migrator.database.errors import sqlite_errors
from migrator.errors import ConnectionFailed, StaleStoreError, StorageIOError
from migrator.locking import exclusive
from migrator.progress import Listener, ProgressMeter, ignore_progress
from migrator.report import Report
from migrator.search import queries as search_queries
from migrator.search.index import build, bytes_to_do, forget, index_differences, index_problems, index_state
from migrator.text import size

PHASE = "search_index"
_SPARE = 50_000_000  # bytes that are left free


@dataclass(frozen=True)
class IndexReport(Report):
    """How the index stands.

    :ivar state: ``complete``, ``building`` (the next ``migrate``, or a build, goes on), ``pending`` (the next
        ``migrate`` makes it), ``left_out``; None for a database from before there was an index
    :ivar index_bytes: its size
    :ivar bytes_to_do: text that is not in it yet
    :ivar differing: what of it is missing, or is not as it was made
    """

    database: str
    state: str | None
    index_bytes: int
    bytes_to_do: int
    differing: tuple[str, ...]


def finish(connection: sqlite3.Connection, data_dir: DataDir, listener: Listener, *, wanted: bool) -> str | None:
    """Build what an unfinished index lacks; returns its state then.

    :param wanted: False leaves out an index that is not there yet, for later runs as well
    """
    path = data_dir.database
    if wanted:
        _build(connection, data_dir, listener)
    else:
        with transaction(connection, path, "leave out the search index"):
            connection.execute(search_queries.LEAVE_INDEX_OUT)
    with sqlite_errors("look at the search index", path):
        return index_state(connection)


def _build(connection: sqlite3.Connection, data_dir: DataDir, listener: Listener) -> None:
    path = data_dir.database
    with sqlite_errors("look at the search index", path):
        total = bytes_to_do(connection)
    free = shutil.disk_usage(path.parent).free
    if free < total + _SPARE:
        raise StorageIOError(
            f"It may need {size(total)}, and {path.parent} has {size(free)} free.", hint="Free some space."
        )
    meter = ProgressMeter(listener, PHASE, total)
    if total:
        meter.begin(path.name)
    build(connection, path, lambda done: meter.add(path.name, done, 0))
    if total:
        meter.complete()


def build_index(data_dir: DataDir, listener: Listener = ignore_progress) -> IndexReport:
    """Build the index, or go on with it; a database from before there was one gets the schema steps that it lacks.

    :raises MigrationLocked: another migrator is at work
    :raises StaleStoreError: the JSON files are authoritative
    :raises MigratorError: it can't be built; what is built so far stays
    """
    with exclusive(data_dir), opened(data_dir.database) as connection:
        path = data_dir.database
        if read_state(connection, path).authority != "sqlite":
            raise StaleStoreError(
                "The JSON files hold the truth, and they are searched without an index.",
                hint="'migrator migrate' makes the database the truth, and its index.",
            )
        upgrade(connection, path, data_dir.backups)
        with transaction(connection, path, "begin the search index"):
            if index_state(connection) == "left_out" or index_differences(connection):
                forget(connection, "pending")
        _build(connection, data_dir, listener)
        return _report(connection, data_dir)


def drop_index(data_dir: DataDir) -> IndexReport:
    """Drop the index; no later run makes it again by itself. Searching then reads every text.

    :raises MigrationLocked: another migrator is at work
    """
    with exclusive(data_dir), opened(data_dir.database) as connection:
        with transaction(connection, data_dir.database, "drop the search index"):
            forget(connection, "left_out")
        return _report(connection, data_dir)


def index_status(data_dir: DataDir) -> IndexReport:
    """How the index stands. Changes nothing."""
    with opened(data_dir.database, read_only=True) as connection:
        return _report(connection, data_dir)


def _report(connection: sqlite3.Connection, data_dir: DataDir) -> IndexReport:
    path = data_dir.database
    with sqlite_errors("look at the search index", path):
        state = index_state(connection)
        differing = index_differences(connection) if state in ("building", "complete") else []
        size = 0
        if state in ("building", "complete") and not differing:
            size = connection.execute(search_queries.INDEX_BYTES).fetchone()[0]
        left = 0 if state is None or state == "complete" else bytes_to_do(connection)
        return IndexReport(str(path), state, size, left, tuple(differing))


def repair_index(data_dir: DataDir) -> bool:
    """Build an index again that does not fit the texts, or is not as it was made; whether it had to be.

    The lock has to be held.
    """
    path = data_dir.database
    try:
        with opened(path, read_only=True) as connection:  # a mere look leaves the file as it is
            if not index_problems(connection, path):
                return False
        with opened(path) as connection:
            with transaction(connection, path, "drop the search index"):
                forget(connection, "pending")
            build(connection, path, lambda _: None)
    except ConnectionFailed:
        return False  # what is wrong is more than the index; verify goes on telling
    return True
