"""Indexes many texts: in pieces, in files of their own and by two processes, which are then brought into the database.

While it works, the triggers of ``search_index_build.sql`` log what the app changes: the text that each row had when the
build began. The pieces have these texts. In the transaction that makes the pieces part of the index, every logged text
is replaced by the one that the row has then, and the marks move. So it is in the index once, whenever it was written.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from bisect import bisect
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from migrator.data_dir import DataDir
from migrator.database.connection import opened, remove_database, transaction
from migrator.database.errors import sqlite_errors
from migrator.errors import MigratorError, StorageIOError, TransactionError
from migrator.search.building import queries, segments
from migrator.search.building.emptying import may_write
from migrator.search.building.gradual import BASES, MOST_ROWS, put_change
from migrator.search.building.pieces import PieceJob, Rows
from migrator.search.building.segments import Segment, Structure
from migrator.search.building.turns import PACE, Pace, in_turns, wait_for_others_to_read_the_schema
from migrator.search.index import drop_log, start_log
from migrator.search.queries import INDEX_TABLES
from migrator.staging.connections.opening import as_uri
from migrator.text import size
from migrator.worker.limits import LIMITS, Limits
from migrator.worker.process import WorkerProcess, worker_if_worthwhile
from migrator.worker.sharing import OrderedJobs

_MOST_PIECES = 12  # of large histories, which have larger ones: each search looks into every segment
_MEMORY = 8 << 20  # bytes that FTS5 collects in memory for a table
_LARGER_MEMORY = 20 << 20  # for histories whose pieces are larger
_STEP = 1000  # pages that are copied before the clock is checked
_SIZES_STEP = 20_000  # sizes of texts
_COUNTS_AS = 3  # bytes of files, for whether a worker is worthwhile: from 8 MB of text on it was measured to be
_SPARE = 50_000_000  # bytes of the disk that stay free; fewer for a small index


@dataclass(frozen=True)
class BulkOptions:
    """How much is done at once.

    :ivar worthwhile: bytes of text from which on it is faster than one by one
    :ivar piece: bytes of text in a piece
    """

    limits: Limits = LIMITS
    worker: type[WorkerProcess] = WorkerProcess
    pace: Pace = PACE
    worthwhile: int = 4 << 20
    piece: int = 24 << 20


BULK = BulkOptions()


def require_space(path: Path, needed: int, described: str) -> None:
    """Check that the disk has space for a part of the index.

    :param needed: bytes
    :raises StorageIOError: it has not; the message has the numbers
    """
    free = shutil.disk_usage(path.parent).free
    spare = min(_SPARE, 1_000_000 + 10 * needed)
    if free < needed + spare:
        raise StorageIOError(
            f"There is not enough space for the search index in {path.parent}: {described} {size(needed)}, and "
            f"{size(spare)} must stay free, but only {size(free)} are free.",
            code="disk.full",
            hint="Free some space, then run 'migrator search-index build'.",
        )


def index_in_bulk(data_dir: DataDir, options: BulkOptions, advance: Callable[[int], None]) -> None:
    """Index the texts after the marks as they are now, if they are many; afterwards, only later rows are left.

    :param advance: called with the number of bytes of text that were indexed
    :raises MigratorError: the database contains what it contained before
    """
    path = data_dir.database
    with opened(path) as connection:  # its FTS5 must not remember what the index consisted of
        if not may_write(connection):
            return
        remove_remains(connection, path, options.pace)
        with sqlite_errors("read the texts", path):
            sizes = [int(connection.execute(statement).fetchone()[0]) for statement in queries.SIZES]
        total = sum(sizes)
        if total < options.worthwhile:
            return
        require_space(path, total, "it may need")
        build = BulkBuild(connection, data_dir, options, advance, sizes)
        wait_for_others_to_read_the_schema()  # which has just got the tables of the index
        try:
            with transaction(connection, path, "begin the search index"):
                build.begin()
            build.copy_pieces()
            with transaction(connection, path, "complete the search index"):
                build.make_live()
        except BaseException as error:
            build.give_up(remove=isinstance(error, Exception))
            raise


def remove_remains(connection: sqlite3.Connection, path: Path, pace: Pace = PACE) -> None:
    """Remove what a bulk build that did not end has left in the database."""
    with transaction(connection, path, "clean the search index"):
        drop_log(connection)
    in_turns(connection, path, partial(_remove_unused, connection), pace)


def _remove_unused(connection: sqlite3.Connection) -> Iterator[None]:
    for table in INDEX_TABLES:
        unused = set(_structure(connection, queries.RECORD[table]).free_numbers())
        at = min(unused) << segments.SHIFT
        while (page := connection.execute(queries.NEXT_PAGE[table], (at,)).fetchone()[0]) is not None:
            number = page >> segments.SHIFT
            at = (number + 1) << segments.SHIFT
            if number not in unused:
                continue
            connection.execute(queries.DROP_TERMS[table], (number,))
            while connection.execute(queries.DROP_PAGES[table], (page, at, _STEP)).rowcount == _STEP:
                yield
        _, *marks = connection.execute(queries.MARKS).fetchone()
        for kind, base in enumerate(BASES):
            bounds = (base + min(marks[kind], MOST_ROWS), base + MOST_ROWS, _SIZES_STEP)
            while connection.execute(queries.DROP_SIZES[table], bounds).rowcount == _SIZES_STEP:
                yield


def _structure(connection: sqlite3.Connection, statement: str) -> Structure:
    return Structure.read(connection.execute(statement, (segments.STRUCTURE,)).fetchone()[0])


@dataclass
class BulkBuild:
    """One build.

    :ivar sizes: about how many bytes the texts of each kind have
    :ivar marks: the state and the marks of the index when it began
    :ivar brought: for each table the copied segments
    :ivar averages: for each table the records of the pieces
    """

    connection: sqlite3.Connection
    data_dir: DataDir
    options: BulkOptions
    advance: Callable[[int], None]
    sizes: Sequence[int]
    marks: tuple[str, int, int, int] = ("", 0, 0, 0)
    jobs: list[PieceJob] = field(default_factory=list)
    free: dict[str, list[int]] = field(default_factory=dict)
    brought: dict[str, list[Segment]] = field(default_factory=lambda: {table: [] for table in INDEX_TABLES})
    averages: dict[str, list[bytes]] = field(default_factory=lambda: {table: [] for table in INDEX_TABLES})

    def begin(self) -> None:
        """Begin to log changes, in a transaction: the pieces will have the texts of this moment."""
        start_log(self.connection)
        self.connection.execute(queries.SET_AHEAD)
        self.marks = self.connection.execute(queries.MARKS).fetchone()
        for table in INDEX_TABLES:
            self.free[table] = _structure(self.connection, queries.RECORD[table]).free_numbers()
        self.jobs = self.plan()

    def copy_pieces(self) -> None:
        """Build the pieces, with the worker's help, and copy each to where FTS5 does not look yet."""
        options, jobs = self.options, self.jobs
        shared: OrderedJobs | None

        def advance(_name: str, size: int, _sessions: int) -> None:
            nonlocal shared
            self.advance(size)
            if shared is not None:  # look after the worker, but not while that reports progress
                current, shared = shared, None
                current.submit_more()
                shared = current

        with worker_if_worthwhile(options.limits, [PieceJob.__module__], options.worker) as worker_for:
            worker = worker_for(_COUNTS_AS * sum(self.sizes), 0) if len(jobs) > 1 else None
            shared = OrderedJobs(len(jobs), jobs.__getitem__, worker, advance)
            results = shared.results()
            for job in jobs:
                if next(results) is None:
                    job.run(advance)
                self.copy(job.path)
                remove_database(job.path)

    def plan(self) -> list[PieceJob]:
        """Divide the texts into pieces of about the same size, at least one for each process."""
        ahead = self.connection.execute(queries.AHEAD).fetchone()
        total, most = sum(self.sizes), self.options.piece
        processes = 2 if self.options.limits.is_worth_a_worker(_COUNTS_AS * total) else 1
        size = max(min(most, -(-total // processes)), -(-total // _MOST_PIECES))
        memory = _MEMORY if size <= most else _LARGER_MEMORY
        pieces: list[list[Rows]] = [[]]
        room = size
        for kind, left in enumerate(self.sizes):
            after, last = self.marks[1:][kind], ahead[kind]
            while after < last:
                share = min(1.0, room / max(1, left))
                upto = min(last, after + max(1, round((last - after) * share)))
                pieces[-1].append(Rows(kind, after, upto))
                taken = round(left * share)
                left, room, after = left - taken, room - taken, upto  # noqa: PLW2901 - continues there
                if room < size // 8:
                    pieces.append([])
                    room = size
        return [
            PieceJob(self.data_dir.database, self.data_dir.index_piece(number), rows, memory)
            for number, rows in enumerate(filter(None, pieces))
        ]

    def copy(self, piece: Path) -> None:
        """Copy the segments of a piece into the database."""
        path, connection = self.data_dir.database, self.connection
        require_space(path, 2 * os.path.getsize(piece), "the next part needs")  # the log may grow as much
        with sqlite_errors("attach a part of the search index", path):
            connection.execute(queries.ATTACH, (f"{as_uri(piece)}?immutable=1",))
        try:
            steps = self.copy_steps()
            in_turns(connection, path, lambda: steps, self.options.pace)
        finally:
            with suppress(sqlite3.Error):
                connection.execute(queries.DETACH)

    def copy_steps(self) -> Iterator[None]:
        """Copy the attached piece."""
        connection = self.connection
        for table in INDEX_TABLES:
            averages = connection.execute(queries.PIECE_RECORD[table], (segments.AVERAGES,)).fetchone()[0]
            for segment in _structure(connection, queries.PIECE_RECORD[table]).segments:
                number = self.free[table].pop(0)
                at, end = segment.number << segments.SHIFT, (segment.number + 1) << segments.SHIFT
                moved = (number - segment.number) << segments.SHIFT
                page = queries.END_OF_PAGES[table]
                while (last := connection.execute(page, (at, end, _STEP)).fetchone()[0]) is not None:
                    connection.execute(queries.COPY_PAGES[table], (moved, at, last))
                    at = last
                    yield
                connection.execute(queries.COPY_TERMS[table], (number, segment.number))
                self.brought[table].append(segment._replace(number=number))
                yield
            self.averages[table].append(averages)
            at = 0
            while (
                last := connection.execute(queries.END_OF_SIZES[table], (at, _SIZES_STEP)).fetchone()[0]
            ) is not None:
                connection.execute(queries.COPY_SIZES[table], (at, last))
                at = last
                yield

    def make_live(self) -> None:
        """Make the pieces part of the index, in a transaction, and replace what has changed meanwhile.

        :raises TransactionError: something else has changed the index
        """
        connection = self.connection
        if connection.execute(queries.MARKS).fetchone() != self.marks:
            raise TransactionError("The search index was changed by another program.", code="search_index.changed")
        for table in INDEX_TABLES:
            structure = _structure(connection, queries.RECORD[table]).with_segments(self.brought[table])
            [averages] = connection.execute(queries.RECORD[table], (segments.AVERAGES,)).fetchone()
            added = segments.add_averages([averages, *self.averages[table]])
            connection.execute(queries.SET_RECORD[table], (segments.STRUCTURE, structure.block()))
            connection.execute(queries.SET_RECORD[table], (segments.AVERAGES, added))
        self.replace_changed()
        connection.execute(queries.REACH_AHEAD)
        drop_log(connection)

    def replace_changed(self) -> None:
        """Replace the logged texts, which the pieces have, by what is there now."""
        for row_id, before in self.connection.execute(queries.EVERY_CHANGE).fetchall():
            kind = bisect(BASES, row_id) - 1
            now = self.connection.execute(queries.TEXT_NOW[kind], (row_id - BASES[kind],)).fetchone()
            put_change(self.connection, row_id, before, now and now[0])

    def give_up(self, *, remove: bool) -> None:
        """Leave nothing behind.

        :param remove: also remove what was copied, which may take a moment; otherwise the next build does
        """
        for job in self.jobs:
            remove_database(job.path)
        with suppress(MigratorError):
            if remove:
                remove_remains(self.connection, self.data_dir.database, self.options.pace)
            else:
                with transaction(self.connection, self.data_dir.database, "clean the search index"):
                    drop_log(self.connection)
