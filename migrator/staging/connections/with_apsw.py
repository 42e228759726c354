"""The fast loader: APSW, which has its own SQLite.

APSW's SQLite writes and reads rows in one half to two thirds of the time of the one in many systems, and is the same on
all systems. Two SQLite libraries in one process must not have the same file open while it is written
(https://www.sqlite.org/howtocorrupt.html, section 2.2.1). So APSW opens only files that no other process uses, and
never the app's database.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

import apsw

from migrator.database.columns import MESSAGE_COLUMNS, MessageRow
from migrator.database.queries import insert
from migrator.database.rows import Row
from migrator.staging import queries
from migrator.staging.connections.interface import SessionMessages
from migrator.staging.plain_messages import PlainMessages, plain_message_rows

_FLAGS = apsw.SQLITE_OPEN_URI | apsw.SQLITE_OPEN_NOMUTEX  # each connection is used by one thread
_INSERT_SIZES = (32, 8, 2, 1)  # rows in one INSERT; 32 instances have 576 variables


class ApswConnection:
    """A connection of APSW to a staging database.

    :param uri: the file, as a URI
    """

    def __init__(self, uri: str, *, read_only: bool) -> None:
        mode = apsw.SQLITE_OPEN_READONLY if read_only else apsw.SQLITE_OPEN_READWRITE
        connection = apsw.Connection(uri, flags=_FLAGS | mode)
        # Bound once: a method of ours in between would be called for every message.
        self.execute = connection.execute
        self.executemany = connection.executemany
        self.close = connection.close

    def insert(self, table: str, columns: tuple[str, ...], rows: Sequence[Row]) -> None:
        """Insert rows, whose values are in the order of the columns, as fast as possible."""
        for start, count in _portions(len(rows)):
            statement = insert(table, columns, count)
            self.execute(statement, [*chain.from_iterable(rows[start : start + count])])

    def insert_messages(self, sessions: Iterable[SessionMessages]) -> None:
        """Insert the messages of sessions in order."""
        for key, messages in sessions:
            if isinstance(messages, PlainMessages):
                self._insert_plain(key, messages)
            else:
                self._insert_rows(messages)

    def _insert_rows(self, rows: Sequence[MessageRow]) -> None:
        self.insert("bulk_chat_messages", MESSAGE_COLUMNS, rows)

    def _insert_plain(self, key: str, messages: PlainMessages) -> None:
        first, total = 0, len(messages)
        for end in (*messages.empty, total):  # all messages before it have content
            for start, count in _portions(end - first):
                values = messages.between(first + start, first + start + count)
                self.execute(queries.insert_plain_messages(count), [key, first + start, *values])
            if end < total:
                self._insert_rows(plain_message_rows(key, messages, end, end + 1))
            first = end + 1


def _portions(count: int) -> Iterator[tuple[int, int]]:
    """Divide a number of rows into portions for one INSERT each: yields the start and the size of each.

    There are few sizes, and no large ones, so that the compiled statements, of some hundred bytes a row, stay in the
    processor's cache.
    """
    start = 0
    for size in _INSERT_SIZES:
        while count - start >= size:
            yield start, size
            start += size
