"""Opening SQLite, with the settings that the app and migrator share."""

from __future__ import annotations

import os
import sqlite3
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Protocol

from migrator.data_dir import DATABASE_SUFFIXES
from migrator.database.errors import sqlite_errors
from migrator.errors import ConnectionFailed, StorageIOError
from migrator.files import durable
from migrator.files.durable import is_open_to_others, make_private

MINIMUM_SQLITE = (3, 37, 0)  # STRICT tables
BUSY_TIMEOUT = 5.0  # seconds, as the app has it
MEMORY = ":memory:"

# File systems on which WAL's shared memory does not work across machines (https://www.sqlite.org/wal.html).
_NETWORK_FILE_SYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "smb2", "9p", "afs", "ceph", "glusterfs", "lustre", "fuse.sshfs",
     "fuse.glusterfs", "afpfs", "webdav", "davfs", "fuse.davfs2", "ncpfs", "gpfs", "beegfs"}
)  # fmt: skip


class AnyConnection(Protocol):
    """What sqlite3's connections and APSW's have in common."""

    def execute(self, statement: str, values: Sequence[Any] = ..., /) -> Any: ...

    def executemany(self, statement: str, rows: Iterable[Sequence[Any]], /) -> object: ...


def no_database(path: Path) -> ConnectionFailed:
    """The error where a database is asked for and there is none."""
    return ConnectionFailed(
        f"There is no database at {path}.",
        hint="Run 'migrator migrate' to make it; if there was one, 'migrator doctor' tells what to do.",
    )


def connect(
    path: Path | str,
    *,
    create: bool = False,
    read_only: bool = False,
    timeout: float = BUSY_TIMEOUT,
    cache_size: int | None = None,
    mmap_size: int | None = None,
    shared_between_threads: bool = False,
) -> sqlite3.Connection:
    """Open a database with the app's settings: WAL and NORMAL, foreign keys on, a busy timeout.

    On a network file system the journal is DELETE and syncs are FULL instead.

    What others may read of a database that we are going to write to becomes private first: the app makes it as the
    umask has it, and SQLite gives its log the same mode.

    :param create: make a private (0600) file where there is none
    :param timeout: seconds to wait for another connection's lock
    :param cache_size: as in the PRAGMA: pages, or KiB where negative
    :param mmap_size: bytes
    :raises ConnectionFailed: no such file, no database, SQLite too old
    """
    require_sqlite()
    if str(path) == MEMORY:
        connection = sqlite3.connect(MEMORY, isolation_level=None, check_same_thread=not shared_between_threads)
    else:
        path = Path(path)
        _prepare_file(path, create=create, read_only=read_only)
        # A reader that may write cleans up behind itself: a read-only one leaves its -wal and -shm files.
        mode = "ro" if read_only and not os.access(path, os.W_OK) else "rw"
        with sqlite_errors("open anything", path):
            connection = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode={mode}",
                uri=True,
                timeout=timeout,
                isolation_level=None,
                check_same_thread=not shared_between_threads,
            )
    try:
        with sqlite_errors("read the header", path):
            _configure(connection, read_only=read_only, cache_size=cache_size, mmap_size=mmap_size)
            if isinstance(path, Path):
                _set_durability(connection, path, timeout, read_only=read_only)
            connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchall()  # reads, and so proves, the header
    except BaseException:
        connection.close()
        raise
    return connection


def opened(
    path: Path | str, *, create: bool = False, read_only: bool = False, timeout: float = BUSY_TIMEOUT
) -> closing[sqlite3.Connection]:
    """Open a database with the app's settings for the length of a ``with`` block: see :func:`connect`."""
    return closing(connect(path, create=create, read_only=read_only, timeout=timeout))


def _prepare_file(path: Path, *, create: bool, read_only: bool) -> None:
    """Make an empty file where there is none; what is going to be written to becomes private."""
    if not path.exists():
        if not create:
            raise no_database(path)
        durable.make_private_folder(path.parent)
        try:
            durable.write_new(path, ())
        except StorageIOError:
            if not path.exists():  # else another process was faster
                raise
    path = Path(os.path.realpath(path))
    if not read_only and is_open_to_others(path):
        for suffix in DATABASE_SUFFIXES:
            make_private(path.with_name(path.name + suffix))


def _configure(
    connection: sqlite3.Connection, *, read_only: bool, cache_size: int | None, mmap_size: int | None
) -> None:
    connection.execute("PRAGMA foreign_keys = ON")
    if read_only:
        connection.execute("PRAGMA query_only = ON")
    if cache_size is not None:
        connection.execute(f"PRAGMA cache_size = {int(cache_size)}")
    if mmap_size is not None:
        connection.execute(f"PRAGMA mmap_size = {int(mmap_size)}")


def _set_durability(connection: sqlite3.Connection, path: Path, timeout: float, *, read_only: bool) -> None:
    """WAL and NORMAL, or DELETE and FULL where the file system does not allow WAL.

    A database that has the journal mode already is not touched. Of several processes that change the mode of a new one
    at once, SQLite refuses all but one without asking the busy handler, since they would wait for each other: they wait
    here.
    """
    on_network = network_file_system(path) is not None
    connection.execute(f"PRAGMA synchronous = {'FULL' if on_network else 'NORMAL'}")
    until = time.monotonic() + timeout
    while not read_only:
        try:
            connection.execute(f"PRAGMA journal_mode = {'DELETE' if on_network else 'WAL'}")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= until:
                raise
            time.sleep(0.01)
        else:
            return


def connect_untouching(path: Path, *, still: bool = False) -> sqlite3.Connection:
    """Open a database so that nothing whatever can be written through it, for any thread to use.

    :param still: nobody is at work there: then without locks, which would need files of their own; so too where its
        folder may not be written to and there is no log
    """
    still = still or (not os.access(path.parent, os.W_OK) and not path.with_name(path.name + "-wal").exists())
    with sqlite_errors("open anything", path):
        return sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro{'&immutable=1' if still else ''}",
            uri=True,
            timeout=BUSY_TIMEOUT,
            check_same_thread=False,
        )


def copy_database(connection: sqlite3.Connection, path: Path, target: Path) -> None:
    """Copy a whole database, as it stands on this connection, to a new file, through SQLite's own backup interface.

    :param path: of the database, for messages
    :raises StorageIOError: the target exists, or can't be made
    """
    durable.write_new(target, ())
    with sqlite_errors("copy", path), closing(sqlite3.connect(target)) as copy:
        connection.backup(copy)


def remove_database(path: Path) -> None:
    """Remove a database file of ours and what SQLite puts beside it, as far as they are there."""
    for suffix in DATABASE_SUFFIXES:
        durable.remove(path.with_name(path.name + suffix))


@contextmanager
def transaction(connection: sqlite3.Connection, path: Path | str, action: str) -> Iterator[None]:
    """A write transaction: taken at once (BEGIN IMMEDIATE), committed at the end, rolled back on any exception.

    :param action: what is being done, for the message: ``Cannot <action> in the database …``
    :raises ConnectionFailed: the database stays locked, is full or broken
    :raises TransactionError: a statement or the commit failed
    """
    with sqlite_errors(action, path):
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


@contextmanager
def snapshot(connection: sqlite3.Connection, path: Path | str, action: str) -> Iterator[None]:
    """A read transaction: every statement within sees the same state, whoever writes meanwhile.

    :raises ConnectionFailed: the database is locked or broken
    :raises TransactionError: a statement failed
    """
    with sqlite_errors(action, path):
        connection.execute("BEGIN")
        try:
            yield
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")


def require_sqlite() -> None:
    """Refuse to work with an old SQLite.

    :raises ConnectionFailed: the SQLite that Python was built with is older than the tables need
    """
    if sqlite3.sqlite_version_info < MINIMUM_SQLITE:
        needed = ".".join(map(str, MINIMUM_SQLITE))
        raise ConnectionFailed(
            f"This Python has SQLite {sqlite3.sqlite_version}; STRICT tables need {needed} or newer.",
            hint="Use a newer Python.",
        )


def network_file_system(path: Path) -> str | None:
    """The kind of network file system that ``path`` is on, or None for a local one or an unknown one."""
    if sys.platform != "linux":
        return None
    folder = os.path.realpath(path.parent)
    best, kind = "", ""
    try:
        with open("/proc/self/mounts", encoding="utf-8", errors="surrogateescape") as mounts:
            for line in mounts:
                _, point, file_system, *_ = line.split(" ")
                point = point.replace("\\040", " ")
                inside = f"{folder}/".startswith(f"{point.rstrip('/')}/")
                if inside and len(point) >= len(best):
                    best, kind = point, file_system
    except OSError:
        return None
    return kind if kind in _NETWORK_FILE_SYSTEMS else None
