"""A small pool of SQLite connections.

The only well-maintained pool for sqlite3 on PyPI is SQLAlchemy's QueuePool. That is a large dependency for these few
lines, and it would still need a wrapper to raise our errors and to survive a fork.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Empty, LifoQueue

from migrator.errors import ConnectionFailed


class ConnectionPool:
    """Keeps at most ``size`` connections; each is opened when first needed, the most recently used is reused first.

    :param connect: opens a connection that any thread may use
    :param acquire_timeout: seconds to wait for a free connection
    """

    def __init__(self, connect: Callable[[], sqlite3.Connection], *, size: int, acquire_timeout: float) -> None:
        self._connect = connect
        self._size = size
        self._acquire_timeout = acquire_timeout
        self._inherited: list[object] = []
        self._start()

    def _start(self) -> None:
        """Fill the pool with slots: None is a connection that is not open yet."""
        self._owner = os.getpid()
        self._closed = False
        self._free: LifoQueue[sqlite3.Connection | None] = LifoQueue()
        for _ in range(self._size):
            self._free.put(None)

    @contextmanager
    def connection(self) -> Iterator[sqlite3.Connection]:
        """Lend a connection for the duration of the block.

        :raises ConnectionFailed: no connection became free in time, none could be opened, or the pool is closed
        """
        free, connection = self._acquire()
        try:
            if connection is None:
                connection = self._connect()
            yield connection
        finally:
            if connection is not None and connection.in_transaction:
                connection.rollback()
            free.put(connection)
            if self._closed:
                self._close_free()

    def _acquire(self) -> tuple[LifoQueue[sqlite3.Connection | None], sqlite3.Connection | None]:
        if self._owner != os.getpid():
            # SQLite forbids using a connection after a fork; even closing it is not allowed.
            self._inherited.append(self._free)
            self._start()
        if self._closed:
            raise ConnectionFailed("This store is closed.", code="store.closed", hint="Open it again.")
        try:
            return self._free, self._free.get(timeout=self._acquire_timeout)
        except Empty:
            raise ConnectionFailed(
                f"All {self._size} connections to the database have been busy for {self._acquire_timeout:g} seconds.",
                code="store.busy",
                hint="Nothing was changed. Try again in a moment, or open the store with a larger pool.",
            ) from None

    def close(self) -> None:
        """Close every free connection now, and each connection in use when it is returned."""
        self._closed = True
        if self._owner == os.getpid():
            self._close_free()

    def _close_free(self) -> None:
        while True:
            try:
                connection = self._free.get_nowait()
            except Empty:
                return
            if connection is not None:
                connection.close()
