"""A piece: an index of some texts in a file of its own, which no other program opens. Either process can build it.

A piece has its texts as they were when the build began: ``search_changed`` has the former text of what has changed
since.
"""

from __future__ import annotations

import heapq
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from migrator.database.connection import opened, remove_database, snapshot
from migrator.database.errors import sqlite_errors
from migrator.progress import OnProgress
from migrator.search.building import queries
from migrator.search.building.gradual import BASES, Text, put, take
from migrator.search.index import table_definitions
from migrator.staging.connections.opening import create_private
from migrator.worker.gc_pause import without_collector

_PORTION = 2 << 20  # bytes of text that are read at once


class Rows(NamedTuple):
    """The texts of one kind with rowids above ``after``, up to ``last``."""

    kind: int
    after: int
    last: int


class PieceJob(NamedTuple):
    """The job of building a piece.

    :ivar memory: bytes that FTS5 may collect for each of the two tables before it writes a segment
    """

    database: Path
    path: Path
    rows: Sequence[Rows]
    memory: int

    def run(self, on_progress: OnProgress) -> bool:
        """Build it anew."""
        remove_database(self.path)
        with (
            closing(create_private(self.path)) as piece,
            opened(self.database, read_only=True) as source,
            sqlite_errors("build the search index", self.path),
            without_collector(),
        ):
            self._prepare(piece)
            piece.execute("BEGIN")
            for rows in self.rows:
                for texts, size in self._read(source, rows):
                    put(piece, rows.kind, texts)
                    on_progress(self.database.name, size, 0)
            piece.execute("COMMIT")
        return True

    def _prepare(self, piece: sqlite3.Connection) -> None:
        for statement in table_definitions():
            piece.execute(statement)
        for set_option in queries.SET_OPTION:
            piece.execute(set_option, ("automerge", 0))
            piece.execute(set_option, ("crisismerge", 1999))
            piece.execute(set_option, ("hashsize", self.memory))

    def _read(self, source: sqlite3.Connection, rows: Rows) -> Iterator[tuple[list[Text], int]]:
        """Yield portions of the texts, each read in one transaction, so that the log of the database can be emptied."""
        after = rows.after
        while True:
            with snapshot(source, self.database, "read the texts"):
                portion, size = take(_as_they_were(source, rows._replace(after=after)), after, _PORTION)
            if not portion:
                return
            yield portion, size
            after = portion[-1][0]


def _as_they_were(source: sqlite3.Connection, rows: Rows) -> Iterator[Text]:
    base = BASES[rows.kind]
    before = dict(source.execute(queries.CHANGED, (base + rows.after, base + rows.last)).fetchall())
    found = source.execute(queries.ROWS[rows.kind], (rows.after, rows.last))
    if not before:
        yield from found
        return
    unchanged = ((row_id, text) for row_id, text in found if base + row_id not in before)
    yield from heapq.merge(unchanged, ((row_id - base, text) for row_id, text in before.items()))
