"""Finds which processes have a database open or hold one of SQLite's locks on it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from migrator.database import registry
from migrator.database.errors import sqlite_errors
from migrator.files import locks

# The bytes that SQLite locks in the database file, and in its -shm file in WAL mode
# (https://www.sqlite.org/fileformat.html and walformat.html).
_PENDING, _RESERVED = 0x40000000, 0x40000001
_WAL_WRITE = 120


@dataclass(frozen=True)
class DatabaseLocks:
    """The processes that use a database.

    :ivar writing: whether another process holds the write lock and did not release it while we waited
    :ivar writers: the processes that hold it, if the system can report them
    :ivar open_in: the processes that have the database open, if the system can report them
    """

    writing: bool
    writers: tuple[int, ...]
    open_in: tuple[int, ...]


def locks_of(path: Path, *, patience: float) -> DatabaseLocks:
    """Find which processes use a database; changes nothing in it.

    :param patience: seconds to wait for a process that is writing
    :raises ConnectionFailed: the database cannot be opened
    """
    locked = False
    with registry.opening(path), sqlite_errors("look for locks", path):
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=patience)
        with closing(connection):
            connection.isolation_level = None
            try:
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("ROLLBACK")  # release the lock at once
            except sqlite3.OperationalError as error:
                locked = error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
                if not locked:
                    raise
    writers: list[locks.HeldLock] = []
    if locked:
        shared_memory = path.with_name(path.name + "-shm")
        writers = [lock for lock in locks.locks_on(path) if lock.covers(_PENDING) or lock.covers(_RESERVED)]
        writers += [lock for lock in locks.locks_on(shared_memory) if lock.covers(_WAL_WRITE)]
    processes = sorted({lock.process for lock in writers if lock.writing and lock.process is not None})
    return DatabaseLocks(locked, tuple(processes), tuple(locks.openers(path)))
