"""Creates staging databases and opens finished ones, with the loader that the run uses."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import AbstractContextManager, closing
from os import PathLike
from pathlib import Path

from migrator.database import schema
from migrator.database.connection import closed_on_failure, require_sqlite
from migrator.database.errors import database_errors, sqlite_errors
from migrator.files import durable
from migrator.staging.connections.interface import LoaderName, StagedConnection

CACHE = -16_384  # KiB; a larger cache is not faster, because rows are written once and read in order
PAGE_SIZE = 16_384  # bytes; for long texts, large pages are faster than the usual 4 KiB
# After a crash the database is discarded, so it needs no journal and no syncs; it is synced before it is published.
# Foreign keys and CHECKs are off, because the rows are made to satisfy them.
_FOR_LOADING = (
    f"page_size = {PAGE_SIZE}",
    "journal_mode = OFF",
    "synchronous = OFF",
    "locking_mode = EXCLUSIVE",
    "foreign_keys = OFF",
    "ignore_check_constraints = ON",
    f"cache_size = {CACHE}",
    "temp_store = FILE",
)


def create_staged(path: Path, loader: LoaderName, *, tables: bool) -> StagedConnection:
    """Create a private staging database, and open it for loading.

    :param tables: create the schema; otherwise the database is empty
    """
    _create(path)
    if tables:
        with sqlite_errors("open", path), closing(sqlite3.connect(path, isolation_level=None)) as connection:
            for setting in _FOR_LOADING[:3]:
                connection.execute(f"PRAGMA {setting}")
            with sqlite_errors("create the tables", path):
                schema.create(connection)
    loading = _connect(path, as_uri(path), loader, read_only=False)
    with staged_errors("open", path), closed_on_failure(loading):
        for setting in _FOR_LOADING:
            loading.execute(f"PRAGMA {setting}").fetchall()
    return loading


def create_private(path: Path) -> sqlite3.Connection:
    """Create a private database with Python's own SQLite, for what no other process opens meanwhile."""
    _create(path)
    with sqlite_errors("open", path):
        connection = sqlite3.connect(path, isolation_level=None)
        with closed_on_failure(connection):
            for setting in (*_FOR_LOADING, "secure_delete = OFF"):
                connection.execute(f"PRAGMA {setting}").fetchall()
    return connection


def _create(path: Path) -> None:
    require_sqlite()
    durable.make_private_folder(path.parent)
    durable.write_new(path, ())


def open_staged(path: Path, loader: LoaderName) -> StagedConnection:
    """Open a finished staging database, read-only and without locks."""
    return _connect(path, f"{as_uri(path)}?immutable=1", loader, read_only=True)


def _connect(path: Path, uri: str, loader: LoaderName, *, read_only: bool) -> StagedConnection:
    # Loaded here, because they take time, and APSW may not be installed.
    if loader == "apsw":
        from migrator.staging.connections.with_apsw import ApswConnection

        with staged_errors("open", path):
            return ApswConnection(uri, read_only=read_only)
    from migrator.staging.connections.with_sqlite_utils import SqliteUtilsConnection

    with staged_errors("open", path):
        return SqliteUtilsConnection(uri, read_only=read_only)


def as_uri(path: Path) -> str:
    """Convert a path to a URI for SQLite, the only form in which a path may contain bytes that are not UTF-8."""
    return path.absolute().as_uri()


def staged_errors(action: str, path: str | PathLike[str]) -> AbstractContextManager[None]:
    """Translate the exceptions of both loaders within the block, as ``sqlite_errors`` does for sqlite3."""
    apsw_error = getattr(sys.modules.get("apsw"), "Error", sqlite3.Error)
    return database_errors((sqlite3.Error, apsw_error), action, path)
