"""A small pool of SQLite connections.

The only well-maintained pool for sqlite3 on PyPI is SQLAlchemy's QueuePool. That is a large dependency for these few
lines, and it would still need a wrapper to raise our errors, to survive a fork and to notice a removed log.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from migrator.database import registry
from migrator.database.registry import Connection
from migrator.errors import ConnectionFailed


class ConnectionPool:
    """Keeps at most ``size`` connections; each is opened when first needed, the most recently used is reused first.

    Idle connections are closed before a fork, so parent and child open their own. A connection whose log was removed is
    not lent; it is closed before another is opened.

    :param connect: opens a connection that any thread may use
    :param acquire_timeout: seconds to wait for a free connection
    """

    def __init__(self, connect: Callable[[], sqlite3.Connection], *, size: int, acquire_timeout: float) -> None:
        self._connect = connect
        self._size = size
        self._acquire_timeout = acquire_timeout
        self._closed = False
        self._idle: list[sqlite3.Connection] = []
        self._lent = 0
        self._generation = 0  # how many forks lie between this pool and the process that made it
        self._changed = registry.add_pool(self)

    def restart(self) -> None:
        """Forget what the parent process lent; what was idle in it is closed, or in memory, and may be used."""
        self._lent = 0
        self._generation += 1
        self._changed = registry.add_pool(self)

    @contextmanager
    def connection(self) -> Iterator[sqlite3.Connection]:
        """Lend a connection for the duration of the block.

        :raises ConnectionFailed: no connection became free in time, none could be opened, or the pool is closed
        """
        generation = self._generation
        connection = self._acquire()
        try:
            if connection is None:
                connection = self._connect()
            yield connection
        finally:
            if generation == self._generation or not getattr(connection, "inherited", False):
                self._release(connection, generation)

    def _acquire(self) -> sqlite3.Connection | None:
        """Take an idle connection that is current; None stands for a connection to open."""
        with self._changed:
            if not self._may_lend() and not self._changed.wait_for(self._may_lend, self._acquire_timeout):
                raise self._busy()
            if self._closed:
                raise ConnectionFailed("This store is closed.", code="store.closed", hint="Open it again.")
            registry.begin()
            self._lent += 1
            connection = self._idle.pop() if self._idle else None
            if isinstance(connection, Connection):
                if not connection.is_current():
                    self._idle.append(connection)  # opening a connection closes it
                    return None
                connection.user = threading.get_ident()
            return connection

    def _busy(self) -> ConnectionFailed:
        return ConnectionFailed(
            f"All {self._size} connections to the database have been busy for {self._acquire_timeout:g} seconds.",
            code="store.busy",
            hint="Nothing was changed. Try again, or pass open_storage() a larger pool_size or acquire_timeout.",
        )

    def _may_lend(self) -> bool:
        return self._closed or (self._lent < self._size and registry.may_begin())

    def _release(self, connection: sqlite3.Connection | None, generation: int) -> None:
        try:
            if connection is not None and connection.in_transaction:
                connection.rollback()
        finally:
            with self._changed:
                if connection is not None:
                    self._idle.append(connection)
                    if isinstance(connection, Connection):
                        connection.user = None
                if generation == self._generation:
                    self._lent -= 1
                    registry.end()
            if self._closed:
                self._close_free()

    def close(self) -> None:
        """Close every free connection now, and each connection in use when it is returned."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._close_free()

    def _close_free(self) -> None:
        if self._idle:
            with registry.opening(None):
                while self._idle:
                    self._idle.pop().close()

    def close_idle(self, which: Callable[[Connection], bool]) -> None:
        """Close the idle connections to files that ``which`` chooses; the caller holds the condition."""
        for connection in list(self._idle):
            if isinstance(connection, Connection) and connection.file is not None and which(connection):
                self._idle.remove(connection)
                connection.close()
