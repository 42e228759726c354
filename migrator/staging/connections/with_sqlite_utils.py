"""The reference loader: sqlite-utils on Python's own SQLite. It works wherever Python does."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from itertools import chain, count, repeat, starmap

from sqlite_utils import Database

from migrator.database.columns import MESSAGE_COLUMNS, MessageRow
from migrator.database.rows import Row
from migrator.staging import queries
from migrator.staging.connections.interface import SessionMessages, insert_again
from migrator.staging.plain_messages import PlainMessages, plain_message_rows

_TOGETHER = 496  # messages; all of them are inserted again if the key of one is taken


class SqliteUtilsConnection:
    """A connection of sqlite-utils to a staging database.

    :param uri: the file, as a URI
    """

    def __init__(self, uri: str, *, read_only: bool) -> None:
        mode = "ro" if read_only else "rw"
        connection = sqlite3.connect(f"{uri}{'&' if '?' in uri else '?'}mode={mode}", uri=True, isolation_level=None)
        self._database = Database(connection, recursive_triggers=False, execute_plugins=False)
        self.execute = connection.execute
        self.executemany = connection.executemany
        self.close = connection.close

    def insert(self, table: str, columns: tuple[str, ...], rows: Iterable[Row], *, ignore: bool = False) -> None:
        """Insert rows, whose values are in the order of the columns; ``ignore`` skips those whose key is taken."""
        self._database.table(table).insert_all(chain([columns], rows), batch_size=1000, ignore=ignore)

    def insert_messages(self, sessions: Iterable[SessionMessages]) -> None:
        """Insert the messages of sessions in order, under new keys if theirs are taken."""
        rows = [*chain.from_iterable(starmap(_rows_of, sessions))]
        [(last,)] = self.execute(queries.LAST_MESSAGE)
        for start in range(0, len(rows), _TOGETHER):
            portion = rows[start : start + _TOGETHER]
            self.insert("chat_messages", MESSAGE_COLUMNS, portion, ignore=True)
            inserted = self.execute(queries.LAST_MESSAGE).fetchone()[0] - last
            if inserted < len(portion):
                insert_again(self, map(MessageRow._make, portion), last)
            last += len(portion)

    def changes(self) -> int:
        """Return the number of rows that the last statement changed."""
        return int(self.execute("SELECT changes()").fetchone()[0])


def _rows_of(key: str, messages: PlainMessages | Sequence[MessageRow]) -> Iterable[Row]:
    if not isinstance(messages, PlainMessages):
        return messages
    if messages.empty:
        return plain_message_rows(key, messages, 0, len(messages))
    ids, roles, contents, timestamps, instances = messages.columns(0, len(messages))
    return zip(ids, repeat(key), roles, contents, timestamps, instances, count(), repeat(None))
