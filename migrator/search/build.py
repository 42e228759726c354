"""The operations on the search index: build it (after a migration, or on demand), drop it, show its status, repair it.

It is built once the database is authoritative, in short transactions, so that the app can keep working.
"""

from __future__ import annotations

import sqlite3
from contextlib import AbstractContextManager
from dataclasses import dataclass

from migrator.authority import read_state, require_history
from migrator.backups.database_copy import upgrade
from migrator.data_dir import DataDir
from migrator.database.connection import opened, transaction
from migrator.database.errors import sqlite_errors
from migrator.errors import ConnectionFailed, StaleStoreError
from migrator.locking import exclusive, progress_for_others
from migrator.progress import Listener, ProgressMeter, ignore_progress
from migrator.report import Report
from migrator.search import queries as search_queries
from migrator.search.building.bulk import BULK, index_in_bulk, require_space
from migrator.search.building.emptying import empty_unused
from migrator.search.building.gradual import index_gradually
from migrator.search.building.turns import wait_for_others_to_read_the_schema
from migrator.search.excerpts import require_full_text
from migrator.search.index import (
    begin,
    bytes_to_do,
    discard,
    index_differences,
    index_problems,
    index_state,
    quick_problems,
    start_over,
)

PHASE = "search_index"


@dataclass(frozen=True)
class IndexReport(Report):
    """The state of the index.

    :ivar state: ``complete``, ``building`` (the next ``migrate``, or a build, continues), ``pending`` (the next
        ``migrate`` builds it), ``left_out``; None for a database whose schema has no index yet
    :ivar index_bytes: its size
    :ivar bytes_to_do: bytes of text that are not indexed yet
    :ivar differing: tables, views and triggers of the index that are missing or changed
    :ivar stale: whether rows were added, removed or numbered anew without the triggers
    """

    database: str
    state: str | None
    index_bytes: int
    bytes_to_do: int
    differing: tuple[str, ...]
    stale: bool


def finish(connection: sqlite3.Connection, data_dir: DataDir, listener: Listener, *, wanted: bool) -> str | None:
    """Complete an unfinished index and return its state.

    :param wanted: False means that no index is built if there is none yet, now or by later runs
    """
    path = data_dir.database
    if wanted:
        _build(connection, data_dir, listener)
    else:
        empty_unused(connection, path)
        with transaction(connection, path, "record that no search index is wanted"):
            if index_state(connection) == "pending":
                discard(connection, "left_out")
    with sqlite_errors("read the search index", path):
        return index_state(connection)


def _build(connection: sqlite3.Connection, data_dir: DataDir, listener: Listener) -> None:
    path = data_dir.database
    require_full_text(connection)
    with sqlite_errors("read the search index", path):
        total, is_new = bytes_to_do(connection), index_state(connection) not in ("building", "complete")
    require_space(path, total, "it may need")
    empty_unused(connection, path)
    if is_new:
        wait_for_others_to_read_the_schema()  # which may have just been upgraded, or lost an index
    with transaction(connection, path, "create the search index"):
        begin(connection)
    meter = ProgressMeter(listener, PHASE, total)
    if total:
        meter.begin(path.name)

    def advance(done: int) -> None:
        meter.add(path.name, done, 0)

    index_in_bulk(data_dir, BULK, advance)
    index_gradually(connection, path, advance)
    if total:
        meter.complete()


def build_index(data_dir: DataDir, listener: Listener = ignore_progress) -> IndexReport:
    """Build the index, or continue an interrupted build; an older database first gets its missing schema steps.

    :raises MigrationLocked: another migrator is running
    :raises StaleStoreError: the JSON files are authoritative
    :raises MigratorError: it cannot be built; what is built so far is kept
    """
    with (
        exclusive(data_dir),
        progress_for_others(data_dir, listener) as shown,
        _opened(data_dir) as connection,
    ):
        path = data_dir.database
        if read_state(connection, path).authority != "sqlite":
            raise StaleStoreError(
                "The JSON files are authoritative; they are searched without an index.",
                code="store.not_authoritative",
                hint="To move to SQLite, run 'migrator migrate': it also builds the index.",
            )
        upgrade(connection, path, data_dir.backups)
        is_wrong = index_state(connection) == "complete" and index_problems(connection, path)
        with transaction(connection, path, "start the search index"):
            if is_wrong or quick_problems(connection):
                start_over(connection)
        _build(connection, data_dir, shown)
        return _report(connection, data_dir)


def _opened(data_dir: DataDir) -> AbstractContextManager[sqlite3.Connection]:
    require_history(data_dir)
    return opened(data_dir.database)


def drop_index(data_dir: DataDir) -> IndexReport:
    """Drop the index; later runs do not build it again. Searching then reads every text.

    :raises MigrationLocked: another migrator is running
    """
    with exclusive(data_dir), _opened(data_dir) as connection:
        path = data_dir.database
        with transaction(connection, path, "drop the search index"):
            start_over(connection)
        empty_unused(connection, path)
        wait_for_others_to_read_the_schema()
        with transaction(connection, path, "drop the search index"):
            discard(connection, "left_out")
        return _report(connection, data_dir)


def index_status(data_dir: DataDir) -> IndexReport:
    """Return the state of the index. Changes nothing."""
    require_history(data_dir)
    with opened(data_dir.database, read_only=True) as connection:
        return _report(connection, data_dir)


def _report(connection: sqlite3.Connection, data_dir: DataDir) -> IndexReport:
    path = data_dir.database
    with sqlite_errors("read the search index", path):
        state = index_state(connection)
        differing = index_differences(connection) if state in ("building", "complete") else []
        size = 0
        if state in ("building", "complete") and not differing:
            size = connection.execute(search_queries.INDEX_BYTES).fetchone()[0]
        left = 0 if state is None or state == "complete" else bytes_to_do(connection)
        stale = not differing and bool(quick_problems(connection))
        return IndexReport(str(path), state, size, left, tuple(differing), stale)


def repair_index(data_dir: DataDir) -> bool:
    """Rebuild the index if it does not match the texts or its tables were changed; return whether that was necessary.

    The caller must hold the lock.
    """
    path = data_dir.database
    try:
        with opened(path, read_only=True) as connection:  # a check alone does not change the file
            if not index_problems(connection, path):
                return False
        with opened(path) as connection:
            with transaction(connection, path, "drop the search index"):
                discard(connection, "pending")
            _build(connection, data_dir, ignore_progress)
    except ConnectionFailed:
        return False  # more than the index is damaged; verify reports it
    return True
