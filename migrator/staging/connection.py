"""Opens staging databases with APSW, which has its own SQLite.

APSW's SQLite writes and reads rows in one half to two thirds of the time of the one in many systems, and is the same on
all systems. Two SQLite libraries in one process must not have the same file open while it is written
(https://www.sqlite.org/howtocorrupt.html, section 2.2.1). So APSW opens only files that no other process uses, and
never the app's database.
"""

from __future__ import annotations

import sqlite3
from contextlib import AbstractContextManager, closing
from os import PathLike
from pathlib import Path

import apsw

from migrator.database import schema
from migrator.database.connection import require_sqlite
from migrator.database.errors import database_errors, sqlite_errors
from migrator.files import durable

StagedConnection = apsw.Connection

_FLAGS = apsw.SQLITE_OPEN_URI | apsw.SQLITE_OPEN_NOMUTEX  # each connection is used by one thread
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


def create_staged(path: Path, *, tables: bool) -> StagedConnection:
    """Create a private staging database, and open it for loading.

    :param tables: create the schema; otherwise the database is empty
    """
    require_sqlite()
    durable.make_private_folder(path.parent)
    durable.write_new(path, ())
    if tables:
        with sqlite_errors("open", path), closing(sqlite3.connect(path, isolation_level=None)) as connection:
            for setting in _FOR_LOADING[:3]:
                connection.execute(f"PRAGMA {setting}")
            with sqlite_errors("create the tables", path):
                schema.create(connection)
    with staged_errors("open", path):
        loading = apsw.Connection(as_uri(path), flags=_FLAGS | apsw.SQLITE_OPEN_READWRITE)
        for setting in _FOR_LOADING:
            loading.execute(f"PRAGMA {setting}").fetchall()
    return loading


def open_staged(path: Path) -> StagedConnection:
    """Open a finished staging database, read-only and without locks."""
    with staged_errors("open", path):
        return apsw.Connection(f"{as_uri(path)}?immutable=1", flags=_FLAGS | apsw.SQLITE_OPEN_READONLY)


def as_uri(path: Path) -> str:
    """Convert a path to a URI for SQLite, the only form in which a path may contain bytes that are not UTF-8."""
    return path.absolute().as_uri()


def staged_errors(action: str, path: str | PathLike[str]) -> AbstractContextManager[None]:
    """Translate APSW's exceptions within the block, as ``errors.sqlite_errors`` does for sqlite3."""
    return database_errors(apsw.Error, "result", action, path)
