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

from migrator.database.columns import MessageRow
from migrator.database.queries import insert, insert_messages_or_ignore
from migrator.database.rows import Row
from migrator.staging import queries
from migrator.staging.connections.interface import SessionMessages, insert_again
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
        self.changes = connection.changes
        self.close = connection.close

    def insert(self, table: str, columns: tuple[str, ...], rows: Sequence[Row]) -> None:
        """Insert rows, whose values are in the order of the columns, as fast as possible."""
        for start, count in _portions(len(rows)):
            statement = insert(table, columns, count)
            self.execute(statement, [*chain.from_iterable(rows[start : start + count])])

    # Chat ids collide now and then. Messages are first inserted as if they did not; a portion of which SQLite ignored
    # some is then inserted again.

    def insert_messages(self, sessions: Iterable[SessionMessages]) -> None:
        """Insert the messages of sessions in order, under new keys if theirs are taken."""
        for key, messages in sessions:
            if isinstance(messages, PlainMessages):
                self._insert_plain(key, messages)
            else:
                self._insert_rows(messages)

    def _insert_rows(self, rows: Sequence[MessageRow]) -> None:
        for start, count in _portions(len(rows)):
            portion = rows[start : start + count]
            self.execute(insert_messages_or_ignore(count), [*chain.from_iterable(portion)])
            inserted = self.changes()
            if inserted < count:
                self._insert_again(portion, inserted)

    def _insert_plain(self, key: str, messages: PlainMessages) -> None:
        first, total = 0, len(messages)
        for end in (*messages.empty, total):  # all messages before it have content
            for start, count in _portions(end - first):
                position = first + start
                values = messages.between(position, position + count)
                self.execute(queries.insert_plain_messages(count), [key, position, *values])
                inserted = self.changes()
                if inserted < count:
                    self._insert_again(plain_message_rows(key, messages, position, position + count), inserted)
            if end < total:
                self._insert_rows(plain_message_rows(key, messages, end, end + 1))
            first = end + 1

    def _insert_again(self, rows: Sequence[MessageRow], inserted: int) -> None:
        [(last,)] = self.execute(queries.LAST_MESSAGE)
        insert_again(self, rows, last - inserted)


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
