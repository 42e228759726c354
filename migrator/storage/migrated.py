"""Which workspaces SQLite is authoritative for."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

from migrator.authority import read_state, require_database, state_of
from migrator.data_dir import DataDir
from migrator.database import queries
from migrator.database.connection import opened
from migrator.database.errors import sqlite_errors
from migrator.errors import StaleStoreError
from migrator.files.replacing import SETTLED


def failed_workspaces(places: DataDir) -> frozenset[str]:
    """Return the hashes of the workspaces whose own file failed to migrate."""
    if not places.database.exists():
        return frozenset()
    with opened(places.database, read_only=True) as connection, sqlite_errors("read the ledger", places.database):
        if not read_state(connection, places.database).has_ledger:
            return frozenset()
        return frozenset(name for (name,) in connection.execute(queries.FAILED_WORKSPACES))


class JsonWorkspaces:
    """The workspaces whose JSON files are authoritative: all of them, or those that could not be migrated.

    The database is read only when its files have changed.
    """

    def __init__(self, places: DataDir) -> None:
        self._places = places
        self._seen: object = None
        self._all, self._failed = True, frozenset[str]()

    def require(self, workspace_hash: str) -> None:
        """Check that the JSON file of a workspace is authoritative.

        :raises StaleStoreError: it is not, or SQLite is and the database is missing
        :raises ConnectionFailed: the database cannot be read
        """
        seen, is_settled = _look(self._places.database)
        if seen is None or seen != self._seen:
            state = state_of(self._places.database)
            require_database(self._places, state)
            self._all = state.authority == "json"
            self._failed = frozenset() if self._all else failed_workspaces(self._places)
            self._seen = seen if is_settled else None
        if not self._all and workspace_hash not in self._failed:
            raise StaleStoreError(
                "Cannot write to the JSON files: since this store was opened, SQLite has become authoritative.",
                code="store.not_authoritative",
                hint="Nothing was changed. Open the store again: open_storage() opens the authoritative one.",
            )


def _look(database: Path) -> tuple[object, bool]:
    """What shows that a database has changed (None if there is none), and whether every further change will show."""
    found, newest = [], 0
    for path in (database, Path(f"{database}-wal")):
        with suppress(OSError):
            status = path.stat()
            found.append((path, status.st_ino, status.st_size, status.st_mtime_ns))
            newest = max(newest, status.st_mtime_ns)
    return found or None, time.time_ns() - newest > SETTLED
