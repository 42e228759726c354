"""Opens SQLite databases with the settings that the app and migrator share."""

from __future__ import annotations

import os
import sqlite3
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from migrator.data_dir import DATABASE_SUFFIXES
from migrator.database import registry
from migrator.database.errors import sqlite_errors
from migrator.errors import ConnectionFailed, StorageIOError
from migrator.files import durable
from migrator.files.durable import is_open_to_others, make_private

MINIMUM_SQLITE = (3, 37, 0)  # STRICT tables
BUSY_TIMEOUT = 5.0  # seconds, as in the app
MEMORY = ":memory:"

# Network file systems: WAL needs shared memory, which does not work across machines (https://www.sqlite.org/wal.html).
_NETWORK_FILE_SYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "smb2", "9p", "afs", "ceph", "glusterfs", "lustre", "fuse.sshfs",
     "fuse.glusterfs", "afpfs", "webdav", "davfs", "fuse.davfs2", "ncpfs", "gpfs", "beegfs"}
)  # fmt: skip


# The errors if SQLite cannot create or extend the log or its index, or the file system has no locks.
_NO_FILES = frozenset(
    {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMOPEN,
     sqlite3.SQLITE_IOERR_SHMSIZE, sqlite3.SQLITE_IOERR_SHMMAP, sqlite3.SQLITE_IOERR_SHMLOCK,
     sqlite3.SQLITE_IOERR_LOCK, sqlite3.SQLITE_IOERR_RDLOCK, sqlite3.SQLITE_IOERR_ACCESS}
)  # fmt: skip
_WITHOUT_LOCKS = "win32-none" if os.name == "nt" else "unix-none"  # of the file layers that SQLite comes with


_patience = ContextVar("patience", default=BUSY_TIMEOUT)


@contextmanager
def waiting(seconds: float) -> Iterator[None]:
    """Within the block, wait as long for the locks of others where no time is given."""
    before = _patience.set(seconds)
    try:
        yield
    finally:
        _patience.reset(before)


class AnyConnection(Protocol):
    """A connection of sqlite3, or to a staging database: the methods that both have."""

    def execute(self, statement: str, values: Sequence[Any] = ..., /) -> Any: ...

    def executemany(self, statement: str, rows: Iterable[Sequence[Any]], /) -> object: ...

    def close(self) -> None: ...


@contextmanager
def closed_on_failure(connection: AnyConnection) -> Iterator[None]:
    """Close a new connection if the block, which prepares it, fails."""
    try:
        yield
    except BaseException:
        connection.close()
        raise


def no_database(path: Path) -> ConnectionFailed:
    """Return the error for a database that does not exist."""
    return ConnectionFailed(
        f"There is no database at {path}.",
        code="database.missing",
        hint="Run 'migrator migrate' to create it. If there used to be one, 'migrator doctor' says what to do.",
    )


def connect(
    path: Path | str,
    *,
    create: bool = False,
    read_only: bool = False,
    timeout: float | None = None,
    cache_size: int | None = None,
    mmap_size: int | None = None,
    shared_between_threads: bool = False,
) -> registry.Connection:
    """Open a database with the app's settings: WAL and NORMAL, foreign keys on, a busy timeout.

    On a network file system the journal mode is DELETE and syncs are FULL instead.

    A database that is opened for writing becomes private (0600) first: the app creates it with the umask's mode, and
    SQLite gives its log files the same mode.

    :param create: create a private (0600) file if there is none
    :param timeout: seconds to wait for another connection's lock; None waits as long as the app does, or as
        :func:`waiting` says
    :param cache_size: as in the PRAGMA: pages, or KiB if negative
    :param mmap_size: bytes
    :raises ConnectionFailed: the file does not exist or is not a database, or SQLite is too old
    """
    require_sqlite()
    timeout = _patience.get() if timeout is None else timeout
    settings = _Settings(timeout, cache_size, mmap_size, read_only=read_only, shared=shared_between_threads)
    if str(path) == MEMORY:
        return _open_in_memory(settings)
    path = Path(path)
    _prepare_file(path, create=create, read_only=read_only)
    # A read-only connection would leave -wal and -shm files; one that may write removes them when it closes.
    mode = "ro" if read_only and not os.access(path, os.W_OK) else "rw"

    with registry.opening(path), sqlite_errors("open", path):
        return _open_to_read(path, mode, settings) if read_only else _open_file(path, mode, settings)


class _Settings(NamedTuple):
    """How to open a database."""

    timeout: float
    cache_size: int | None
    mmap_size: int | None
    read_only: bool
    shared: bool


def _open_file(path: Path, mode: str, settings: _Settings, *, locks: bool = True) -> registry.Connection:
    """Open a file with parameters of an SQLite URI; without locks, the index of its log is in memory."""
    connection = _open(path, f"mode={mode}", settings.timeout, shared_between_threads=settings.shared)
    with closed_on_failure(connection):
        if not locks:
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        _configure(connection, settings)
        uses_log = _set_durability(connection, path, settings.timeout, read_only=settings.read_only)
        connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchall()  # fails if the header is invalid
        real = os.path.realpath(path)
        if uses_log and not settings.read_only and not os.path.exists(f"{real}-shm"):
            raise registry.log_replaced(path)  # SQLite uses a removed index that a foreign connection holds
        registry.register(connection, path, real + registry.LOG if uses_log and locks else None)
    return connection


def _open_to_read(path: Path, mode: str, settings: _Settings) -> registry.Connection:
    """Open a database to read it: without locks if SQLite cannot create the files that it needs for them.

    That is so on a read-only medium, in a folder that this user cannot write to, and on a full disk. Nothing is written
    then, neither to the database nor next to it. Whether another process wrote meanwhile is checked afterwards, by
    :func:`require_unchanged`.
    """
    try:
        return _open_file(path, mode, settings)
    except sqlite3.OperationalError as error:
        states = registry.states_of_files(path)
        _, log, journal = states
        if error.sqlite_errorcode not in _NO_FILES and error.sqlite_errorcode & 0xFF not in _NO_FILES:
            raise
        if states[0] is None or journal is not None:  # undoing what the journal holds is a change of the database
            raise
    mode = "ro&immutable=1" if log is None else f"ro&vfs={_WITHOUT_LOCKS}"
    connection = _open_file(path, mode, settings, locks=False)
    connection.unlocked = (path, states)
    configure: int | None = getattr(sqlite3, "SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE", None)
    if configure is not None:  # since Python 3.12; before, SQLite tries to write what is in the log, and fails
        connection.setconfig(configure)  # type: ignore[attr-defined]
    return connection


def require_unchanged(connection: sqlite3.Connection, path: Path | str) -> None:
    """Check that what was read without locks is what the database contained, at one moment.

    :raises ConnectionFailed: another process has changed it meanwhile
    """
    if isinstance(connection, registry.Connection) and connection.unlocked and not connection.is_current():
        raise ConnectionFailed(
            f"Another program changed the database {path} while it was read without locks.",
            code="database.changed_meanwhile",
            hint="The result was discarded: try again.",
        )


@contextmanager
def _unchanged(connection: sqlite3.Connection, path: Path | str) -> Iterator[None]:
    try:
        yield
    except Exception:
        require_unchanged(connection, path)  # half of a change may look like damage
        raise
    require_unchanged(connection, path)


def _open(path: Path, mode: str, timeout: float, *, shared_between_threads: bool) -> registry.Connection:
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?{mode}",
        uri=True,
        timeout=timeout,
        isolation_level=None,
        check_same_thread=not shared_between_threads,
        factory=registry.Connection,
    )


def _open_in_memory(settings: _Settings) -> registry.Connection:
    with registry.opening(None):
        connection = sqlite3.connect(
            MEMORY, isolation_level=None, check_same_thread=not settings.shared, factory=registry.Connection
        )
        with closed_on_failure(connection):
            _configure(connection, settings)
            registry.register(connection, None)
    return connection


@contextmanager
def opened(
    path: Path | str, *, create: bool = False, read_only: bool = False, timeout: float | None = None
) -> Iterator[sqlite3.Connection]:
    """Open a database as :func:`connect` does, and close it at the end of the ``with`` block.

    :raises ConnectionFailed: it was read without locks, and another process has changed it meanwhile
    """
    with (
        closing(connect(path, create=create, read_only=read_only, timeout=timeout)) as connection,
        _unchanged(connection, path),
    ):
        yield connection


def _prepare_file(path: Path, *, create: bool, read_only: bool) -> None:
    """Create the file if it is missing and may be created; make it private if it will be written to."""
    if not path.exists():
        if not create:
            raise no_database(path)
        durable.make_private_folder(path.parent)
        try:
            durable.write_new(path, ())
        except StorageIOError:
            if not path.exists():  # otherwise another process has just created it
                raise
    path = Path(os.path.realpath(path))
    if not read_only and is_open_to_others(path):
        for suffix in DATABASE_SUFFIXES:
            make_private(path.with_name(path.name + suffix))


def _configure(connection: sqlite3.Connection, settings: _Settings) -> None:
    connection.execute("PRAGMA foreign_keys = ON")
    if settings.read_only:
        connection.execute("PRAGMA query_only = ON")
    if settings.cache_size is not None:
        connection.execute(f"PRAGMA cache_size = {int(settings.cache_size)}")
    if settings.mmap_size is not None:
        connection.execute(f"PRAGMA mmap_size = {int(settings.mmap_size)}")


def _set_durability(connection: sqlite3.Connection, path: Path, timeout: float, *, read_only: bool) -> bool:
    """Set WAL and NORMAL, or DELETE and FULL if the file system does not support WAL; return whether it writes a log.

    A database that already has the journal mode is not changed. When several processes change the mode of a new
    database at once, SQLite refuses all but one immediately, without calling the busy handler, because they would
    deadlock. So the waiting is done here.
    """
    on_network = network_file_system(path) is not None
    connection.execute(f"PRAGMA synchronous = {'FULL' if on_network else 'NORMAL'}")
    deadline = time.monotonic() + timeout
    statement = "PRAGMA journal_mode" + ("" if read_only else f" = {'DELETE' if on_network else 'WAL'}")
    while True:
        try:
            mode: str = connection.execute(statement).fetchone()[0]
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline:
                raise
            time.sleep(0.01)
        else:
            return mode == "wal"


def connect_read_only(path: Path, *, immutable: bool = False) -> sqlite3.Connection:
    """Open a database that any thread may read and nothing can be written to.

    :param immutable: no other process uses it, so no locks are needed (they would create files)
    """
    settings = _Settings(BUSY_TIMEOUT, None, None, read_only=True, shared=True)
    with registry.opening(path), sqlite_errors("open", path):
        if not immutable:
            return _open_to_read(path, "ro", settings)
        connection = _open(path, "mode=ro&immutable=1", settings.timeout, shared_between_threads=True)
        registry.register(connection, path)
        return connection


def copy_database(connection: sqlite3.Connection, path: Path, target: Path) -> None:
    """Copy a whole database to a new file with SQLite's backup API, as this connection sees it.

    :param path: the database's path, for messages
    :raises StorageIOError: the target exists or cannot be created
    """
    durable.write_new(target, ())
    with sqlite_errors("copy", path), closing(sqlite3.connect(target)) as copy:
        connection.backup(copy)


def sync_log(path: Path) -> None:
    """Sync the log of a database, so that what was committed survives a power cut; others may write meanwhile."""
    log = Path(os.path.realpath(path) + registry.LOG)
    if log.exists():
        durable.sync_file(log)


def require_closed(path: Path) -> None:
    """Check that no other program has a database open.

    :raises ConnectionFailed: one has
    """
    with (
        registry.opening(path),
        sqlite_errors("lock", path),
        closing(_open(path, "mode=rw", 0, shared_between_threads=False)) as connection,
    ):
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("BEGIN EXCLUSIVE")
        connection.execute("ROLLBACK")


def remove_database(path: Path) -> None:
    """Remove a database file and SQLite's files next to it; those that do not exist are skipped."""
    for suffix in DATABASE_SUFFIXES:
        durable.remove(path.with_name(path.name + suffix))


@contextmanager
def transaction(connection: sqlite3.Connection, path: Path | str, action: str) -> Iterator[None]:
    """Run the block in a write transaction (BEGIN IMMEDIATE): committed at the end, rolled back on any exception.

    :param action: what is being done, for the message: ``Cannot <action> in the database …``
    :raises ConnectionFailed: the database stays locked, is damaged, or the disk is full
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
    """Run the block in a read transaction: every statement sees the same state, even if others write meanwhile.

    :raises ConnectionFailed: the database is locked or damaged
    :raises TransactionError: a statement failed
    """
    with sqlite_errors(action, path), _unchanged(connection, path):
        connection.execute("BEGIN")
        try:
            yield
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")


def require_sqlite() -> None:
    """Check that SQLite is new enough.

    :raises ConnectionFailed: Python's SQLite is older than the tables require
    """
    if sqlite3.sqlite_version_info < MINIMUM_SQLITE:
        needed = ".".join(map(str, MINIMUM_SQLITE))
        raise ConnectionFailed(
            f"This Python comes with SQLite {sqlite3.sqlite_version}; migrator requires {needed} or newer.",
            code="program.sqlite_too_old",
            hint="Use a newer Python.",
        )


def network_file_system(path: Path) -> str | None:
    """Return the type of the network file system that ``path`` is on; None if it is local or unknown."""
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
