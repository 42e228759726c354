"""A small pool of SQLite connections.

The one well-kept pool for sqlite3 on PyPI is SQLAlchemy's QueuePool: much to carry for these lines, and it would need
wrapping all the same to speak our errors and to survive a fork.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Empty, LifoQueue

from migrator.errors import ConnectionFailed


class ConnectionPool:
    """At most ``size`` connections, each made when it is first needed, the one used last given out first.

    :param connect: makes one; it has to be usable from any thread
    :param acquire_timeout: seconds to wait for a free one
    """

    def __init__(self, connect: Callable[[], sqlite3.Connection], *, size: int, acquire_timeout: float) -> None:
        self._connect = connect
        self._size = size
        self._acquire_timeout = acquire_timeout
        self._inherited: list[object] = []
        self._start()

    def _start(self) -> None:
        """Fill the pool with places for connections: a None stands for one that is not made yet."""
        self._owner = os.getpid()
        self._closed = False
        self._free: LifoQueue[sqlite3.Connection | None] = LifoQueue()
        for _ in range(self._size):
            self._free.put(None)

    @contextmanager
    def connection(self) -> Iterator[sqlite3.Connection]:
        """A connection for the length of the block.

        :raises ConnectionFailed: none came free in time, none could be made, or the pool is closed
        """
        free, connection = self._take()
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

    def _take(self) -> tuple[LifoQueue[sqlite3.Connection | None], sqlite3.Connection | None]:
        if self._owner != os.getpid():
            # SQLite forbids carrying a connection across a fork, closing it there included.
            self._inherited.append(self._free)
            self._start()
        if self._closed:
            raise ConnectionFailed("This store is closed.", hint="Open it again.")
        try:
            return self._free, self._free.get(timeout=self._acquire_timeout)
        except Empty:
            raise ConnectionFailed(
                f"All {self._size} connections to the database have been busy for {self._acquire_timeout:g} seconds.",
                hint="Nothing was changed: try again in a moment, or open the store with a larger pool.",
            ) from None

    def close(self) -> None:
        """Close every connection that is free, and each other one when it comes back."""
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
