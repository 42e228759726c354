"""Rows into a database under construction, in batches bounded in bytes, under other keys where theirs are taken."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from migrator.database.columns import (
    INSTANCE_COLUMNS,
    QUARANTINE_COLUMNS,
    RUNTIME_COLUMNS,
    SESSION_COLUMNS,
    MessageRow,
)
from migrator.database.documents import insert_message
from migrator.database.queries import SESSION_KEY_TAKEN, insert, insert_messages_or_ignore
from migrator.database.rows import DocumentRows, Row, derived_key, free_key, message_rows, rekey_document
from migrator.documents.document import MESSAGE_MEMBERS
from migrator.staging import queries
from migrator.staging.connection import StagedConnection, staged_errors

_OVERHEAD = 1 << 10  # bytes that a document takes in memory however short it is
_WIDTH = len(MESSAGE_MEMBERS)
_CONTENT = MESSAGE_MEMBERS.index("content")
_AT_ONCE = (32, 8, 2, 1)  # rows in one INSERT; 32 instances have 576 variables


def plain_instance_rows(key: str, instances: Sequence[tuple[Any, ...]]) -> list[Row] | None:
    """The rows of instances whose values stand in the order of the app's struct; None where a number repeats."""
    if len({instance[0] for instance in instances}) < len(instances):
        return None
    return [(key, *instance, position, None) for position, instance in enumerate(instances)]


class PlainMessages(NamedTuple):
    """A session's messages as the app writes them, which needs no row to be made of any.

    :ivar values: those of all messages, one behind the other, in the order of PLAIN_MESSAGE_COLUMNS
    :ivar empty: the positions of those that have no content, for which a stand-in is needed all the same
    """

    values: list[Any]
    empty: list[int]

    def __len__(self) -> int:
        return len(self.values) // _WIDTH

    def between(self, first: int, end: int) -> list[Any]:
        """The values of the messages from a position to before another one."""
        return self.values[first * _WIDTH : end * _WIDTH]


def plain_messages(messages: Sequence[Any]) -> PlainMessages | None:
    """The messages of a session without their rows, or None where one has ids or members to be rescued.

    There are a hundred times more messages than sessions: what is asked here is asked of all of a session at once.
    """
    if messages and set(map(tuple, messages)) != {MESSAGE_MEMBERS}:
        return None
    return plain_of_values(list(chain.from_iterable(map(dict.values, messages))))


def plain_of_values(values: list[Any]) -> PlainMessages | None:
    """The messages whose values stand one behind the other, or None where an id has to be rescued."""
    names, contents = values[::_WIDTH], values[_CONTENT::_WIDTH]
    distinct = set(names)
    if len(distinct) < len(names) or "" in distinct:
        return None
    return PlainMessages(values, [] if all(contents) else [n for n, content in enumerate(contents) if not content])


def plain_message_rows(key: str, messages: PlainMessages, first: int, end: int) -> list[MessageRow]:
    """The rows of plain messages after all, from a position to before another one; ``key`` is the session's."""
    values = messages.between(first, end)
    columns = [values[number::_WIDTH] for number in range(_WIDTH)]
    each = (dict(zip(MESSAGE_MEMBERS, message, strict=True)) for message in zip(*columns, strict=True))
    return message_rows(key, each, first)


class _Waiting(NamedTuple):
    """The rows of a document that wait in memory; what another key is made of where its own is taken."""

    rows: DocumentRows
    messages: PlainMessages | None
    place: tuple[str, int]


class RowWriter:
    """Takes the rows of one source after the other, each begun with :meth:`begin_source`.

    :param connection: in a transaction of the caller's, or without a journal to need one
    :param path: of the database, for messages
    :param batch: bytes of documents that wait in memory to be inserted together
    """

    def __init__(self, connection: StagedConnection, path: Path, batch: int) -> None:
        self._batch = batch
        self._connection = connection
        self._path = path
        self._documents: list[_Waiting] = []
        self._quarantined: list[Row] = []
        self._size = 0  # bytes of what waits, or was forgotten meanwhile
        self._begin = (0, 0)  # how much of what waits is of the sources before the one at work
        self._mark: tuple[int, ...] | None = None  # where the source at work begins, if rows of it are written

    def begin_source(self) -> None:
        """What is added from here on belongs to another source."""
        self._begin = (len(self._documents), len(self._quarantined))
        self._mark = None

    def forget_source(self) -> None:
        """Take back everything of the source at work."""
        documents, quarantined = self._begin
        del self._documents[documents:], self._quarantined[quarantined:]
        if self._mark is not None:
            with staged_errors("take back a file", self._path):
                for statement, rowid in zip(queries.FORGET_AFTER, self._mark, strict=True):
                    self._connection.execute(statement, (rowid,))

    def add(self, rows: DocumentRows, messages: PlainMessages | None, size: int, place: tuple[str, int]) -> None:
        """Take the rows of one document, which was ``size`` bytes of JSON.

        :param messages: its ``plain_messages``; None where ``rows`` has them
        :param place: the workspace's hash and the index in the file, to make a key of where its own is taken
        """
        self._documents.append(_Waiting(rows, messages, place))
        self._grow(size + _OVERHEAD)

    def quarantine(self, row: Row, size: int) -> None:
        """Take what is no session: a row in the order of QUARANTINE_COLUMNS, ``size`` bytes large."""
        self._quarantined.append(row)
        self._grow(size + _OVERHEAD)

    def flush(self) -> None:
        """Write what waits."""
        with staged_errors("load sessions", self._path):
            documents, quarantined = self._begin
            if self._mark is None:
                self._write(self._documents[:documents], self._quarantined[:quarantined])
                self._mark = self._last_rowids()
            self._write(self._documents[documents:], self._quarantined[quarantined:])
            self._documents, self._quarantined, self._size, self._begin = [], [], 0, (0, 0)

    def _grow(self, size: int) -> None:
        self._size += size
        if self._size >= self._batch:
            self.flush()

    def _write(self, waiting: Iterable[_Waiting], quarantined: Sequence[Row]) -> None:
        documents = self._with_free_keys(waiting)
        rows = [document.rows for document in documents]
        fill = partial(insert_many, self._connection)
        fill("sessions", SESSION_COLUMNS, [row.session for row in rows])
        fill("session_runtime_mix", RUNTIME_COLUMNS, [*chain.from_iterable(row.runtimes for row in rows)])
        fill("instances", INSTANCE_COLUMNS, [*chain.from_iterable(row.instances for row in rows)])
        for document in documents:
            if document.messages is not None:
                self._insert_plain_messages(document.rows.session.id, document.messages)
            else:
                self._insert_messages(document.rows.messages)
        fill("quarantine", QUARANTINE_COLUMNS, quarantined)

    def _with_free_keys(self, documents: Iterable[_Waiting]) -> list[_Waiting]:
        """The documents in order, those whose key an earlier one has under their spare key."""
        taken: set[str] = set()
        free = []

        def is_taken(key: str) -> bool:
            found = key in taken or self._connection.execute(SESSION_KEY_TAKEN, (key,)).fetchone()
            return bool(found)

        for document in documents:
            key = document.rows.session.id
            if not is_taken(key):
                free.append(document)
            else:
                key = free_key("", derived_key(key, *document.place), is_taken)
                free.append(document._replace(rows=rekey_document(document.rows, key)))
            taken.add(key)
        return free

    # Chat ids collide now and then: what is inserted is inserted as if they did not, then what SQLite ignored under
    # other keys.

    def _insert_messages(self, rows: Sequence[MessageRow]) -> None:
        for start, count in _portions(len(rows)):
            portion = rows[start : start + count]
            statement = insert_messages_or_ignore(count)
            self._connection.execute(statement, [*chain.from_iterable(portion)])
            inserted = self._connection.changes()
            if inserted < count:
                self._insert_ignored(portion, inserted)

    def _insert_plain_messages(self, key: str, messages: PlainMessages) -> None:
        first, total = 0, len(messages)
        for end in (*messages.empty, total):  # before it, all have a content
            for start, count in _portions(end - first):
                position = first + start
                values = messages.between(position, position + count)
                self._connection.execute(queries.insert_plain_messages(count), [key, position, *values])
                inserted = self._connection.changes()
                if inserted < count:
                    self._insert_ignored(plain_message_rows(key, messages, position, position + count), inserted)
            if end < total:
                self._insert_messages(plain_message_rows(key, messages, end, end + 1))
            first = end + 1

    def _insert_ignored(self, rows: Sequence[MessageRow], inserted: int) -> None:
        last = self._last_rowids()[3] - inserted
        names = [name for (name,) in self._connection.execute(queries.MESSAGE_KEYS_AFTER, (last,))]
        following = 0  # what was inserted is what was asked for, in the same order, less what was ignored
        for row in rows:
            if following < len(names) and names[following] == row.id:
                following += 1
            else:
                insert_message(self._connection, row)

    def _last_rowids(self) -> tuple[int, ...]:
        row: tuple[int, ...]
        [row] = self._connection.execute(queries.LAST_ROWIDS)
        return row


def insert_many(connection: StagedConnection, table: str, columns: tuple[str, ...], rows: Sequence[Row]) -> None:
    """Insert rows, in the order of the columns, as fast as it goes."""
    for start, count in _portions(len(rows)):
        statement = insert(table, columns, count)
        connection.execute(statement, [*chain.from_iterable(rows[start : start + count])])


def _portions(count: int) -> Iterator[tuple[int, int]]:
    """The beginnings and the sizes of the portions that so many rows are inserted in.

    Few sizes, and none large: the compiled statements, of some hundred bytes a row, have to stay in the processor's
    cache.
    """
    start = 0
    for size in _AT_ONCE:
        while count - start >= size:
            yield start, size
            start += size
