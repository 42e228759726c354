"""What a run puts right in the database beside its work: a time of change, a name, how far it came."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from migrator.data_dir import DataDir
from migrator.database import queries
from migrator.database.connection import connect, transaction
from migrator.database.state import State
from migrator.errors import sqlite_errors
from migrator.migration.discover import Source


def remember_times(data_dir: DataDir, sources: Sequence[Source]) -> None:
    """Record the time of change and the inode that files have now which hold what they held."""
    connection = connect(data_dir.database)
    try:
        with sqlite_errors("write the ledger", data_dir.database):
            connection.executemany(queries.TOUCH_SOURCE, [(s.size, s.mtime_ns, s.inode, s.name) for s in sources])
    finally:
        connection.close()


def name_workspaces(data_dir: DataDir, unnamed: Mapping[str, str]) -> None:
    """Fill in the paths that somebody told since the workspaces were migrated.

    :param unnamed: workspace hash to workspace path
    """
    if not unnamed:
        return
    from migrator.database.documents import ensure_workspace  # seldom needed, and loads all of documents and rows

    path = data_dir.database
    connection = connect(path)
    try:
        with transaction(connection, path, "name a workspace"):
            for file_hash, name in unnamed.items():
                ensure_workspace(connection, file_hash, name)
    finally:
        connection.close()


def mark(data_dir: DataDir, before: State, status: str) -> None:
    """Record how far the migration is in a database that the app made; it stays what it was: not the authority."""
    if before.schema_version == 0 or before.status not in ("pending", "failed", "in_progress"):
        return
    connection = connect(data_dir.database)
    try:
        with sqlite_errors("record the status", data_dir.database):
            connection.execute(queries.SET_STATUS, (status,))
    finally:
        connection.close()
