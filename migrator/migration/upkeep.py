"""What a run puts right in the database beside its work: a time of change, a name, how far it came."""

from __future__ import annotations

from collections.abc import Sequence

from migrator.data_dir import DataDir
from migrator.database import queries
from migrator.database.connection import connect
from migrator.database.errors import sqlite_errors
from migrator.migration.discover import Source


def remember_times(data_dir: DataDir, sources: Sequence[Source]) -> None:
    """Record the time of change and the inode that files have now which hold what they held."""
    connection = connect(data_dir.database)
    try:
        with sqlite_errors("write the ledger", data_dir.database):
            connection.executemany(queries.TOUCH_SOURCE, [(s.size, s.mtime_ns, s.inode, s.name) for s in sources])
    finally:
        connection.close()
