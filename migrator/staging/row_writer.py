"""Inserts rows into a staging database, in batches of bounded size, under new keys if theirs are taken."""

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
from migrator.database.rows import ROLES, DocumentRows, Row, derived_key, free_key, message_rows, rekey_document
from migrator.documents.document import MESSAGE_MEMBERS
from migrator.staging import queries
from migrator.staging.connection import StagedConnection, staged_errors

_OVERHEAD = 1 << 10  # bytes of memory that even a short document takes
_WIDTH = len(MESSAGE_MEMBERS)
_ROLE, _CONTENT = MESSAGE_MEMBERS.index("role"), MESSAGE_MEMBERS.index("content")
_INSERT_SIZES = (32, 8, 2, 1)  # rows in one INSERT; 32 instances have 576 variables


def plain_instance_rows(key: str, instances: Sequence[tuple[Any, ...]]) -> list[Row] | None:
    """Make the rows of instances whose values are in the order of the app's struct; None if an instanceId repeats."""
    if len({instance[0] for instance in instances}) < len(instances):
        return None
    return [(key, *instance, position, None) for position, instance in enumerate(instances)]


class PlainMessages(NamedTuple):
    """A session's messages as plain values, from which rows are inserted directly.

    :ivar values: the values of all messages, concatenated, in the order of PLAIN_MESSAGE_COLUMNS
    :ivar empty: the positions of messages without content, which need a substitute value in the database
    """

    values: list[Any]
    empty: list[int]

    def __len__(self) -> int:
        return len(self.values) // _WIDTH

    def between(self, first: int, end: int) -> list[Any]:
        """Return the values of the messages from position ``first`` up to, but not including, ``end``."""
        return self.values[first * _WIDTH : end * _WIDTH]


def plain_messages(messages: Sequence[Any]) -> PlainMessages | None:
    """Return a session's messages as plain values, or None if one has an id or members that need rescuing.

    There are a hundred times more messages than sessions, so all messages of a session are checked at once.
    """
    if messages and set(map(tuple, messages)) != {MESSAGE_MEMBERS}:
        return None
    return plain_of_values(list(chain.from_iterable(map(dict.values, messages))))


def plain_of_values(values: list[Any]) -> PlainMessages | None:
    """Make plain messages from their concatenated values, or return None if an id needs rescuing."""
    names, roles, contents = values[::_WIDTH], values[_ROLE::_WIDTH], values[_CONTENT::_WIDTH]
    distinct = set(names)
    if len(distinct) < len(names) or "" in distinct or not ROLES.issuperset(roles):
        return None
    return PlainMessages(values, [] if all(contents) else [n for n, content in enumerate(contents) if not content])


def plain_message_rows(key: str, messages: PlainMessages, first: int, end: int) -> list[MessageRow]:
    """Make rows of the plain messages from position ``first`` up to ``end``; ``key`` is the session's key."""
    values = messages.between(first, end)
    columns = [values[number::_WIDTH] for number in range(_WIDTH)]
    each = (dict(zip(MESSAGE_MEMBERS, message, strict=True)) for message in zip(*columns, strict=True))
    return message_rows(key, each, first)


class _Waiting(NamedTuple):
    """The rows of a document that are not inserted yet; ``place`` is used to make a new key if its own is taken."""

    rows: DocumentRows
    messages: PlainMessages | None
    place: tuple[str, int]


class RowWriter:
    """Inserts the rows of one source after another; each begins with :meth:`begin_source`.

    :param connection: in a transaction of the caller, or without a journal
    :param path: the database's path, for messages
    :param batch: bytes of documents to collect in memory before inserting them
    """

    def __init__(self, connection: StagedConnection, path: Path, batch: int) -> None:
        self._batch = batch
        self._connection = connection
        self._path = path
        self._documents: list[_Waiting] = []
        self._quarantined: list[Row] = []
        self._size = 0  # bytes collected since the last flush, including those forgotten since
        self._begin = (0, 0)  # how many of the collected rows belong to sources before the current one
        self._mark: tuple[int, ...] | None = None  # where the current source begins, if some of its rows are written

    def begin_source(self) -> None:
        """Begin the next source."""
        self._begin = (len(self._documents), len(self._quarantined))
        self._mark = None

    def forget_source(self) -> None:
        """Remove all rows of the current source, written or not."""
        documents, quarantined = self._begin
        del self._documents[documents:], self._quarantined[quarantined:]
        if self._mark is not None:
            with staged_errors("remove a file's rows", self._path):
                for statement, rowid in zip(queries.FORGET_AFTER, self._mark, strict=True):
                    self._connection.execute(statement, (rowid,))

    def add(self, rows: DocumentRows, messages: PlainMessages | None, size: int, place: tuple[str, int]) -> None:
        """Add the rows of one document, which was ``size`` bytes of JSON.

        :param messages: its ``plain_messages``; None if ``rows`` has its messages
        :param place: the workspace's hash and the index in the file, to make a new key if its own is taken
        """
        self._documents.append(_Waiting(rows, messages, place))
        self._grow(size + _OVERHEAD)

    def quarantine(self, row: Row, size: int) -> None:
        """Add an invalid element: a row in the order of QUARANTINE_COLUMNS, of ``size`` bytes."""
        self._quarantined.append(row)
        self._grow(size + _OVERHEAD)

    def flush(self) -> None:
        """Write the collected rows."""
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
        """Return the documents in order; one whose key is taken gets a new key."""
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

    # Chat ids collide now and then. Messages are first inserted as if they did not; those that SQLite ignored are then
    # inserted under new keys.

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
        for end in (*messages.empty, total):  # all messages before it have content
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
        following = 0  # the inserted rows are in the order of ``rows``, without the ignored ones
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
    """Insert rows, whose values are in the order of the columns, as fast as possible."""
    for start, count in _portions(len(rows)):
        statement = insert(table, columns, count)
        connection.execute(statement, [*chain.from_iterable(rows[start : start + count])])


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
