"""The database under construction: rows in, in batches bounded in bytes, with indexes built late.

It has the schema of the real one and is published as a whole, or thrown away as a whole. SQLite lets go of Python's
interpreter lock while it inserts, so that one thread writes a batch while the caller reads and checks the next one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sqlite_utils import Database

from migrator.database import queries, schema
from migrator.database.columns import (
    INSTANCE_COLUMNS,
    LEDGER_COLUMNS,
    MESSAGE_COLUMNS,
    QUARANTINE_COLUMNS,
    RUNTIME_COLUMNS,
    SESSION_COLUMNS,
)
from migrator.database.connection import connect_staging, remove_database
from migrator.database.documents import ensure_workspace, insert_message
from migrator.database.rows import DocumentRows, Row, rekey_document
from migrator.errors import sqlite_errors
from migrator.workspace import is_placeholder

BATCH_BYTES = 4 << 20
_OVERHEAD = 1 << 10  # bytes that a document takes in memory however short it is
# sqlite-utils writes INSERTs of many rows, up to SQLite's oldest limit of 999 variables.
_VARIABLES = 999
_MESSAGES_AT_ONCE = _VARIABLES // len(MESSAGE_COLUMNS)


@dataclass
class _Batch:
    """Rows that wait in memory; of each document also the key that it takes where its own is taken."""

    documents: list[tuple[DocumentRows, str]] = field(default_factory=list)
    quarantined: list[Row] = field(default_factory=list)
    size: int = 0


class Staging:
    """A staging database that is open for loading; a context manager that closes it.

    Sources are added one after the other, each begun with :meth:`begin_source`. One transaction covers the whole load:
    without a journal there is nothing to commit. The connection is the caller's after :meth:`finish`.
    """

    def __init__(self, path: Path) -> None:
        remove_database(path)
        self.path = path
        self.connection = connect_staging(path)
        self._database = Database(self.connection, recursive_triggers=False, execute_plugins=False)
        schema.apply(self.connection, path)
        with sqlite_errors("prepare the load", path):
            self._indexes = schema.set_indexes_aside(self.connection)
            self.connection.execute("BEGIN")
        self._workspaces: dict[str, tuple[int, str]] = {}
        self._earlier = _Batch()  # of the sources that are whole
        self._current = _Batch()  # of the source at work
        self._mark: Future[tuple[int, ...]] | None = None  # where the source at work begins, if rows of it are written
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="staging")
        self._writing: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.shutdown(cancel_futures=True)
        self.connection.close()

    def workspace_id(self, workspace_hash: str, path: str) -> int:
        """The row id that a workspace will have."""
        number, known = self._workspaces.get(workspace_hash, (len(self._workspaces) + 1, path))
        # A later file may show the path that the first one did not.
        self._workspaces[workspace_hash] = (number, path if is_placeholder(known) else known)
        return number

    def begin_source(self) -> None:
        """What is added from here on belongs to another source."""
        self._earlier.documents += self._current.documents
        self._earlier.quarantined += self._current.quarantined
        self._earlier.size += self._current.size
        self._current = _Batch()
        self._mark = None

    def forget_source(self) -> None:
        """Take back everything of the source at work."""
        self._current = _Batch()
        if self._mark is not None:
            self._wait()
            with sqlite_errors("take back a file", self.path):
                for statement, rowid in zip(queries.FORGET_AFTER, self._mark.result(), strict=True):
                    self.connection.execute(statement, (rowid,))

    def add(self, rows: DocumentRows, size: int, spare_key: str) -> None:
        """Take the rows of one document, which was ``size`` bytes of JSON.

        :param spare_key: the session's primary key where its own is taken
        """
        self._current.documents.append((rows, spare_key))
        self._grow(size + _OVERHEAD)

    def quarantine(self, row: Row, size: int) -> None:
        """Take what is no session: a row in the order of QUARANTINE_COLUMNS, ``size`` bytes large."""
        self._current.quarantined.append(row)
        self._grow(size + _OVERHEAD)

    def _grow(self, size: int) -> None:
        self._current.size += size
        if self._earlier.size + self._current.size >= BATCH_BYTES:
            self._flush()

    def _flush(self) -> None:
        """Hand what waits to the writer; at most one batch is being written while the next one grows."""
        self._wait()
        if self._mark is None:
            earlier, self._earlier = self._earlier, _Batch()
            self._writer.submit(self._write, earlier)
            self._mark = self._writer.submit(self._last_rowids)
        current, self._current = self._current, _Batch()
        self._writing = self._writer.submit(self._write, current)

    def _wait(self) -> None:
        """Let the writer come to an end; raises what went wrong there."""
        if self._mark is not None:
            self._mark.result()
        if self._writing is not None:
            self._writing.result()

    def finish(self) -> None:
        """Write the rest, build the indexes, gather the statistics that the query planner wants."""
        self.begin_source()
        self._flush()
        self._wait()
        with sqlite_errors("build the indexes", self.path):
            for workspace_hash, (number, path) in self._workspaces.items():
                if ensure_workspace(self.connection, workspace_hash, path) != number:
                    raise AssertionError("workspaces are numbered in the order of their appearance")
            for statement in self._indexes:
                self.connection.execute(statement)
            self.connection.execute("COMMIT")
            self.connection.execute("PRAGMA analysis_limit = 1000")
            self.connection.execute("ANALYZE")

    def _write(self, batch: _Batch) -> None:
        with sqlite_errors("load sessions", self.path):
            documents = self._with_free_keys(batch.documents)
            self._insert("sessions", SESSION_COLUMNS, [rows.session for rows in documents])
            self._insert("session_runtime_mix", RUNTIME_COLUMNS, chain.from_iterable(d.runtimes for d in documents))
            self._insert("instances", INSTANCE_COLUMNS, chain.from_iterable(d.instances for d in documents))
            self._insert_messages(list(chain.from_iterable(d.messages for d in documents)))
            self._insert("quarantine", QUARANTINE_COLUMNS, batch.quarantined)

    def _with_free_keys(self, documents: Iterable[tuple[DocumentRows, str]]) -> list[DocumentRows]:
        """The documents in order, those whose key an earlier one has under their spare key."""
        taken: set[str] = set()
        free = []
        for rows, spare_key in documents:
            key = rows.session[0]
            if self._is_taken(key, taken):
                key = spare_key
                while self._is_taken(key, taken):
                    key += "#"
                free.append(rekey_document(rows, key))
            else:
                free.append(rows)
            taken.add(key)
        return free

    def _is_taken(self, key: str, taken: set[str]) -> bool:
        return key in taken or self.connection.execute(queries.SESSION_KEY_TAKEN, (key,)).fetchone() is not None

    def _insert(self, table: str, columns: Sequence[str], rows: Iterable[Row]) -> None:
        self._database.table(table).insert_all(chain([columns], rows), batch_size=_VARIABLES // len(columns))

    def _insert_messages(self, rows: list[Row]) -> None:
        """Chat ids collide now and then: insert as if they did not, then those that SQLite ignored under other keys."""
        before, last = self.connection.total_changes, self._last_rowids()[3]
        # insert_all looks at every value for something to convert; over a million rows that costs more than SQLite.
        for start in range(0, len(rows), _MESSAGES_AT_ONCE):
            chunk = rows[start : start + _MESSAGES_AT_ONCE]
            statement = queries.insert_messages_or_ignore(len(chunk))
            self._database.execute(statement, list(chain.from_iterable(chunk)))
        if self.connection.total_changes - before == len(rows):
            return
        # What was inserted is what was asked for, in the same order, less what was ignored.
        inserted = self.connection.execute(queries.MESSAGE_KEYS_AFTER, (last,))
        following = next(inserted, None)
        ignored = []
        for row in rows:
            if following is not None and following[0] == row[0]:
                following = next(inserted, None)
            else:
                ignored.append(row)
        for row in ignored:
            insert_message(self.connection, row)

    def _last_rowids(self) -> tuple[int, ...]:
        row: tuple[int, ...] = self.connection.execute(queries.LAST_ROWIDS).fetchone()
        return row

    def record(self, entry: dict[str, Any], number: int) -> None:
        """Write a file's row of the ledger under the number that its sessions refer to."""
        values = [number, *(entry[name] for name in LEDGER_COLUMNS)]
        with sqlite_errors("write the ledger", self.path):
            self.connection.execute(queries.RECORD_STAGED_SOURCE, values)
