"""What a database says of itself: which store is the authority, and how far the migration came."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Literal, NamedTuple

from migrator.database import queries
from migrator.database.connection import connect
from migrator.database.errors import sqlite_errors
from migrator.database.schema import require_known

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
        """The store that holds the truth: SQLite exactly when a migration into it completed."""
        return "sqlite" if self.status == "completed" else "json"


NO_DATABASE = State(schema_version=0, status=None, backup=None, migrated_at=None)


def read_state(connection: sqlite3.Connection, path: Path | str) -> State:
    """
    :raises SchemaError: the database is newer than this program
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
    connection = connect(path, read_only=True)
    try:
        return read_state(connection, path)
    finally:
        connection.close()
