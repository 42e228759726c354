"""Knows the connections of this process, so that none crosses a fork, and none goes on writing to a removed log.

SQLite keeps in memory which files a process has open, and with which locks. Two things make that record false (the
sections on multiple copies of SQLite and on forks in https://www.sqlite.org/howtocorrupt.html):

- A fork copies the record, but not the locks. A connection that the child opens joins the inherited entry and takes no
  lock. So the next process that closes the database believes it is alone, and removes the log that the child writes to.
- When another SQLite library in this process closes the database, the system drops all locks that the process has on
  it, and that library removes the log as if it were the last user.

So every idle connection is closed before a fork, and the child refuses to open what was in use. And each connection
knows the log that it opened. If that name stands for another file, or none, the connection is closed before a new one
is opened, because SQLite would share the index of the removed log between them.
"""

from __future__ import annotations

import os
import sqlite3
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol
from weakref import WeakSet

from migrator.errors import ConnectionFailed

LOG = "-wal"  # what SQLite appends to a database's name
PATIENCE = 2.0  # seconds that a fork, or a new connection, waits for connections that are in use
FileId = tuple[int, int]  # device and inode
FileState = tuple[int, int, int, int]  # device, inode, size and modification time
# What stores load when they first need it. A child would wait forever for a module that another thread was loading. A
# module that takes part in forks itself, as filelock does, cannot be loaded here: half of its part would be missing.
_LOADED_LATER = ("hashlib", "jsonschema", "jsonschema_rs", "shutil")
_SHARED_LOCK = (0x40000002, 510)  # the bytes that SQLite locks while it has a database open, and their number


class Connection(sqlite3.Connection):
    """A connection that this process knows of.

    :ivar file: the database file; None in memory, or when it is not known
    :ivar log: the path of its log and the file that this connection has open there; None without WAL
    :ivar unlocked: if it reads the database without locks: the path, and the state of the files when it was opened
    :ivar user: the thread that uses it; None while it is idle in a pool
    :ivar wrote_in_vain: whether it committed to a log that was removed, so that its changes must not be copied anywhere
    """

    file: FileId | None = None
    log: tuple[str, FileId | None] | None = None
    unlocked: tuple[Path, list[FileState | None]] | None = None
    user: int | None = None
    wrote_in_vain = False
    inherited = False

    def is_current(self) -> bool:
        """Return whether this connection sees what others write, and they what it writes."""
        if self.unlocked is not None:
            path, states = self.unlocked
            return states == states_of_files(path)
        return self.has_its_log()

    def has_its_log(self) -> bool:
        """Return whether the log has its name still."""
        if self.log is None:
            return True
        path, opened = self.log
        try:
            found = os.stat(path)
        except OSError:
            return False
        return opened == (found.st_dev, found.st_ino)

    def close(self) -> None:
        """Close it, unless another process opened it: that would release locks and write pages of that process."""
        if self.inherited:
            return
        # A log that has taken the name belongs to others; pages that were written in vain belong nowhere.
        keep_out = self.log is not None and not self.has_its_log()
        if self.log is not None and keep_out and (self.wrote_in_vain or os.path.lexists(self.log[0])):
            with _no_checkpoint(self, self.log[0].removesuffix(LOG)):
                super().close()
        else:
            super().close()
        with _here.changed:
            _here.connections.discard(self)
            _here.changed.notify_all()


class Pool(Protocol):
    """What keeps idle connections."""

    def close_idle(self, which: Callable[[sqlite3.Connection], bool]) -> None:
        """Close the idle connections to files that ``which`` chooses."""

    def restart(self) -> None:
        """Forget every connection to a file: this process is a new child."""


class _Here:
    """What this process has open.

    :ivar changed: guards everything here, and what the pools keep
    :ivar using: the threads that open or borrow connections, with their number
    :ivar forks: how many are about to happen
    :ivar inherited: the files that the parent process had open
    :ivar frozen: whether another thread was using SQLite at the fork, and may hold one of its locks forever
    """

    def __init__(self) -> None:
        self.changed = threading.Condition(threading.RLock())
        self.connections: WeakSet[Connection] = WeakSet()
        self.pools: WeakSet[Any] = WeakSet()
        self.using: dict[int, int] = {}
        self.forks = 0
        self.inherited: set[FileId] = set()
        self.frozen = False


_here = _Here()


def file_id(path: str | Path) -> FileId | None:
    """Return which file has this name."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def states_of_files(path: Path) -> list[FileState | None]:
    """Return the states of a database file, its log and its journal; None for one that is missing, or an empty log."""
    real = os.path.realpath(path)
    states: list[FileState | None] = []
    for suffix in ("", LOG, "-journal"):
        try:
            found = os.stat(real + suffix)
        except OSError:
            states.append(None)
            continue
        is_there = not suffix or found.st_size > 0
        states.append((found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns) if is_there else None)
    return states


def add_pool(pool: Pool) -> threading.Condition:
    """Let the pool take part in forks; return the condition that guards what it keeps."""
    _here.pools.add(pool)
    return _here.changed


def may_begin() -> bool:
    """Return whether this thread may begin to use a connection: not while another thread waits to fork."""
    me = threading.get_ident()
    return not _here.forks or me in _here.using or any(connection.user == me for connection in _here.connections)


def begin() -> None:
    """Record that this thread uses a connection; the caller holds the condition.

    :raises ConnectionFailed: another thread was using SQLite when this process was forked
    """
    if _here.frozen:
        require_usable(None)
    me = threading.get_ident()
    _here.using[me] = _here.using.get(me, 0) + 1


def end() -> None:
    """Record that this thread no longer uses it; the caller holds the condition."""
    me = threading.get_ident()
    left = _here.using.get(me, 0) - 1
    if left > 0:
        _here.using[me] = left
    else:
        _here.using.pop(me, None)
    _here.changed.notify_all()


@contextmanager
def opening(path: Path | None) -> Iterator[None]:
    """Open a connection within the block, or close one: no fork happens meanwhile.

    :param path: the database; every connection to it whose log was removed is closed first
    :raises ConnectionFailed: the database was open when this process was forked, or its log was removed and another
        thread still uses that
    """
    with _here.changed:
        _here.changed.wait_for(may_begin, PATIENCE * 2)
        begin()
    try:
        if path is not None:
            file = file_id(path)
            require_usable(file)
            if file is not None:
                _close_stale(path, file)
        yield
    finally:
        with _here.changed:
            end()


def register(connection: Connection, path: Path | None, log: str | None = None) -> None:
    """Record a connection that this thread has just opened.

    :param log: the path of its log, which it has opened by now
    """
    connection.user = threading.get_ident()
    connection.file = None if path is None else file_id(path)
    connection.log = None if log is None else (log, file_id(log))
    with _here.changed:
        _here.connections.add(connection)


def lost_its_log(connection: sqlite3.Connection) -> bool:
    """Return whether what the connection has just committed may be in a log that no one else sees."""
    if not isinstance(connection, Connection) or connection.has_its_log():
        return False
    connection.wrote_in_vain = True
    return True


def require_usable(file: FileId | None) -> None:
    """Check that no other process's connection stands in the way.

    :raises ConnectionFailed: one does
    """
    if _here.frozen or file in _here.inherited:
        reason = "another thread was using a database" if _here.frozen else "this database was in use"
        raise ConnectionFailed(
            f"This process was forked while {reason}, so it cannot use SQLite safely.",
            code="database.in_use_at_fork",
            hint="Start processes with multiprocessing's 'spawn' or 'forkserver', or fork when no store is in use.",
        )


def _close_stale(path: Path, file: FileId) -> None:
    """Close every connection to a database, or to one that it has replaced, that is not current any more."""

    def is_stale(one: Connection) -> bool:
        is_ours = one.file == file or (one.log is not None and one.log[0] == log)
        return is_ours and not one.is_current()

    def stale() -> list[Connection]:
        return [one for one in _here.connections if is_stale(one)]

    def others_are_idle() -> bool:
        return all(one.user in (None, me) for one in stale())

    log = os.path.realpath(path) + LOG
    me = threading.get_ident()
    with _here.changed:
        if stale():
            _here.changed.wait_for(others_are_idle, PATIENCE)
            for pool in list(_here.pools):
                pool.close_idle(is_stale)
            if stale():
                raise log_replaced(path)


def release(path: Path) -> bool:
    """Close the idle connections to a database; return whether none is left.

    Only then may its bytes be read: when a process closes any descriptor of a file, the system drops all locks that the
    process has on it.
    """
    file = file_id(path)
    with _here.changed:
        for pool in list(_here.pools):
            pool.close_idle(lambda one: one.file == file)
        return not any(one.file == file for one in _here.connections)


def log_replaced(path: Path | str) -> ConnectionFailed:
    """Return the error for a database whose log was removed while connections of this process use it."""
    return ConnectionFailed(
        f"The log of the database {path} was removed while it was in use.",
        code="database.log_replaced",
        hint="Another SQLite library in this process may have read the database. Close this program's stores, and open "
        "them again.",
    )


@contextmanager
def _no_checkpoint(connection: Connection, path: str) -> Iterator[None]:
    """Let the connection close without copying its log into the database, and without removing the log by name."""
    configure: int | None = getattr(sqlite3, "SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE", None)
    if configure is not None:
        connection.setconfig(configure)  # type: ignore[attr-defined] # since Python 3.12
        yield
        return
    if file_id(path) != connection.file:
        yield  # SQLite notices that the database was replaced, and does neither
        return
    # Older versions: SQLite does both only if it can lock the file exclusively. This lock prevents that, because it
    # belongs to the descriptor and not to the process.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
    try:
        with suppress(ImportError, AttributeError, OSError):  # not on this system
            import fcntl

            lock = struct.pack("hhqqi", fcntl.F_RDLCK, os.SEEK_SET, *_SHARED_LOCK, 0)
            fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, lock)
        yield
    finally:
        os.close(descriptor)


def _others(me: int) -> bool:
    """Return whether other threads use connections."""
    return any(thread != me for thread in _here.using) or any(
        one.user not in (None, me) for one in _here.connections if not one.inherited
    )


def _before_fork() -> None:
    """Wait until no other thread uses SQLite, and close every idle connection; hold the condition until after it."""
    if len(_here.pools) and threading.active_count() > 1:
        for name in _LOADED_LATER:
            with suppress(ImportError):
                import_module(name)
    _here.changed.acquire()
    _here.forks += 1
    me = threading.get_ident()
    _here.changed.wait_for(lambda: not _others(me), PATIENCE)
    for pool in list(_here.pools):
        with suppress(sqlite3.Error):
            pool.close_idle(lambda _: True)


def _after_fork_in_parent() -> None:
    _here.forks -= 1
    _here.changed.notify_all()
    _here.changed.release()


def _after_fork_in_child() -> None:
    me = threading.get_ident()
    _here.frozen = _here.frozen or _others(me)
    for one in list(_here.connections):
        if one.file is not None:
            _here.inherited.add(one.file)
            _disable(one, me)
    _here.connections.clear()
    _here.using.clear()
    _here.forks = 0
    _here.changed = threading.Condition(threading.RLock())  # the old one knows threads that do not exist here
    for pool in list(_here.pools):
        pool.restart()


def _disable(connection: Connection, me: int) -> None:
    """Make sure that this process never uses nor closes the connection, which belongs to its parent."""
    connection.inherited = True
    if connection.user == me and not _here.frozen:
        with suppress(sqlite3.Error):
            connection.set_authorizer(lambda *_: sqlite3.SQLITE_DENY)
    with suppress(Exception):  # an interpreter that counts no references does not close at its end
        import ctypes

        ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
