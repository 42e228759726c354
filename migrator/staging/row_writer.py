"""Inserts rows into a staging database, in batches of bounded size, under new keys if theirs are taken."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from migrator.database.columns import (
    INSTANCE_COLUMNS,
    QUARANTINE_COLUMNS,
    RUNTIME_COLUMNS,
    SESSION_COLUMNS,
)
from migrator.database.queries import SESSION_KEY_TAKEN
from migrator.database.rows import DocumentRows, Row, derived_key, free_key, rekey_document
from migrator.staging import queries
from migrator.staging.connections.interface import StagedConnection
from migrator.staging.connections.opening import staged_errors
from migrator.staging.plain_messages import PlainMessages

_OVERHEAD = 1 << 10  # bytes of memory that even a short document takes


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
        fill = self._connection.insert
        fill("sessions", SESSION_COLUMNS, [row.session for row in rows])
        fill("session_runtime_mix", RUNTIME_COLUMNS, [*chain.from_iterable(row.runtimes for row in rows)])
        fill("instances", INSTANCE_COLUMNS, [*chain.from_iterable(row.instances for row in rows)])
        self._connection.insert_messages(
            (rows.session.id, rows.messages if messages is None else messages) for rows, messages, _ in documents
        )
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

    def _last_rowids(self) -> tuple[int, ...]:
        row: tuple[int, ...]
        [row] = self._connection.execute(queries.LAST_ROWIDS)
        return row
