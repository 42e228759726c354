"""Databases under construction: through another SQLite than the one that Python comes with.

APSW brings an SQLite of its own. It takes and gives rows in two thirds to half of the time of the one that many systems
have, and all systems get the same one. Two SQLites in one process must not have one file open while somebody writes to
it (https://www.sqlite.org/howtocorrupt.html, section 2.2.1): so this one is for files that nobody else knows of. The
database that the app uses is never opened by it.
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

_FLAGS = apsw.SQLITE_OPEN_URI | apsw.SQLITE_OPEN_NOMUTEX  # each is used by one thread
CACHE = -16_384  # KiB; a larger one is not faster: what is staged is written once and read in order
PAGE_SIZE = 16_384  # bytes; sessions are texts: large pages are filled, indexed and read faster than the usual 4 KiB
# A crash discards it. Without a journal nothing can be rolled back; without syncs nothing survives a power cut: whoever
# publishes it syncs it first. Foreign keys and CHECKs are off: the rows are made so that they hold.
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
    """Make a database under construction, private as all that is ours, and open it for loading.

    :param tables: with the schema's steps; else it is empty
    """
    require_sqlite()
    durable.make_private_folder(path.parent)
    durable.write_new(path, ())
    if tables:
        with sqlite_errors("open anything", path), closing(sqlite3.connect(path, isolation_level=None)) as connection:
            for setting in _FOR_LOADING[:3]:
                connection.execute(f"PRAGMA {setting}")
            with sqlite_errors("make the tables", path):
                schema.create(connection)
    with staged_errors("open anything", path):
        loading = apsw.Connection(as_uri(path), flags=_FLAGS | apsw.SQLITE_OPEN_READWRITE)
        for setting in _FOR_LOADING:
            loading.execute(f"PRAGMA {setting}").fetchall()
    return loading


def open_staged(path: Path) -> StagedConnection:
    """Open a database under construction that is finished, for reading alone, and without a lock."""
    with staged_errors("open anything", path):
        return apsw.Connection(f"{as_uri(path)}?immutable=1", flags=_FLAGS | apsw.SQLITE_OPEN_READONLY)


def as_uri(path: Path) -> str:
    """A path for SQLite: one whose bytes are no UTF-8 can't be told otherwise."""
    return path.absolute().as_uri()


def staged_errors(action: str, path: str | PathLike[str]) -> AbstractContextManager[None]:
    """Translate APSW's exceptions within the block, as ``errors.sqlite_errors`` does those of sqlite3."""
    return database_errors(apsw.Error, "result", action, path)
