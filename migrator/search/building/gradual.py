"""Indexes texts in the database itself: the few that a run adds, and those that the app adds while it is built."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

from migrator.errors import TransactionError
from migrator.search.building import queries
from migrator.search.building.turns import PACE, Pace, in_turns
from migrator.search.index import MESSAGES, OUTPUTS, TASKS
from migrator.search.queries import COMPLETE_INDEX
from migrator.search.query import indexed_parts

MOST_ROWS = 1 << 40  # of one kind
BASES = (TASKS, MESSAGES, OUTPUTS)
_EVERY_ROW = (1 << 63) - 1
Text = tuple[int, str | None]  # the rowid, and a text or nothing


def index_gradually(
    connection: sqlite3.Connection, path: Path, advance: Callable[[int], None], pace: Pace = PACE
) -> None:
    """Index all texts after the marks; afterwards the index is complete.

    :param advance: called with the number of bytes of text that were indexed
    """
    in_turns(connection, path, partial(index_some, connection, advance, pace.portion), pace)


def index_some(connection: sqlite3.Connection, advance: Callable[[int], None], portion: int) -> Iterator[None]:
    """Index texts after the marks, a portion in each step, and move the marks."""
    _, *reached = connection.execute(queries.MARKS).fetchone()
    for kind, after in enumerate(reached):
        while True:
            rows, size = take(connection.execute(queries.ROWS[kind], (after, _EVERY_ROW)), after, portion)
            if not rows:
                break
            put(connection, kind, rows)
            after = rows[-1][0]  # noqa: PLW2901 - continues there
            connection.execute(queries.REACH_ROWS[kind], (after,))
            advance(size)
            yield
    connection.execute(COMPLETE_INDEX)


def take(rows: Iterable[Text], after: int, most: int) -> tuple[list[Text], int]:
    """Take the first rows, until they have ``most`` bytes of text or more; return them and their bytes.

    :param after: the rowid before the first one
    :raises sqlite3.DatabaseError: a row comes again: with a damaged page, the rows may be a circle
    """
    taken, size = [], 0
    for row in rows:
        if row[0] <= after:
            error = sqlite3.DatabaseError("rows are out of order")
            error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
            raise error
        after = row[0]
        taken.append(row)
        text = row[1] or ""
        size += len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
        if size >= most or len(taken) >= most:
            break
    return taken, size


def put(connection: sqlite3.Connection, kind: int, rows: Iterable[Text]) -> None:
    """Put texts into the index, in order.

    :raises TransactionError: a row's number is too large
    """
    base = BASES[kind]
    words, grams = [], []
    for row_id, text in rows:
        if row_id >= MOST_ROWS:
            raise TransactionError(
                f"The search index cannot hold a row with the number {row_id}, which another program has set.",
                code="search_index.row_number",
                hint="Give the row a smaller number. Until then, searching reads every text.",
            )
        if text is not None:
            its_words, its_grams = indexed_parts(text)
            if its_words is not None:
                words.append((base + row_id, its_words))
            if its_grams is not None:
                grams.append((base + row_id, its_grams))
    connection.executemany(queries.PUT[0], words)
    connection.executemany(queries.PUT[1], grams)


def put_change(connection: sqlite3.Connection, row_id: int, before: str | None, now: str | None) -> None:
    """Replace a text in the index.

    :param row_id: in the index
    """
    for statements, text in ((queries.TAKE_OUT, before), (queries.PUT, now)):
        if text is not None:
            for table, part in enumerate(indexed_parts(text)):
                if part is not None:
                    connection.execute(statements[table], (row_id, part))
