"""The index for full-text search: made in short transactions, kept true by triggers, dropped when nobody wants it.

It is in the tables that ``schemas/sql/search_index.sql`` makes; ``search_index`` says how far it is. Rows up to there
are the triggers' business, rows behind it the builder's: so the app may write while it is built, and the next builder
goes on where a dead one stopped.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

from migrator.database import queries, schema
from migrator.database.connection import transaction
from migrator.database.errors import sqlite_errors
from migrator.resources import schemas
from migrator.search import queries as search_queries
from migrator.search.excerpts import require_full_text
from migrator.search.query import is_unspaced, searched_text

TASKS, MESSAGES, OUTPUTS = 0, 1 << 40, 1 << 41  # what is added to the rowids of sessions, chat_messages, instances
# One transaction, after which others get a turn: SQLite looks again for a lock every tenth of a second.
_PAUSE = 0.11  # seconds
_ROWS = 500
UNFINISHED = ("pending", "building")


class Pace(NamedTuple):
    """How much is indexed at once.

    :ivar seconds: of one transaction
    :ivar portion: bytes of text, between two looks at the clock
    """

    seconds: float = 0.7
    portion: int = 250_000


PACE = Pace()


def index_state(connection: sqlite3.Connection) -> str | None:
    """``pending``, ``building``, ``complete`` or ``left_out``; None for a database from before there was an index."""
    if not schema.has_table(connection, "search_index"):
        return None
    row = connection.execute(queries.INDEX_STATE).fetchone()
    return str(row[0]) if row else None


def index_differences(connection: sqlite3.Connection) -> list[str]:
    """The names of the index's tables, views and triggers that are missing or not as they were made."""
    found = dict(connection.execute(search_queries.INDEX_OBJECTS).fetchall())
    return [name for name, sql in _expected().items() if found.get(name) != sql]


@cache
def _expected() -> dict[str, str]:
    """What makes each of them, by name; as SQLite keeps it."""
    made = {}
    for statement in _script("search_index.sql"):
        begin = statement.index("CREATE ")
        words = statement[begin:].split()
        name = words[3] if words[1] == "VIRTUAL" else words[2]
        made[name] = statement[begin:].rstrip(";").rstrip()
    return made


def _script(name: str) -> list[str]:
    return schema.split_statements((schemas() / "sql" / name).read_text(encoding="utf-8"))


def create_tables(connection: sqlite3.Connection) -> None:
    """Make the empty index, with all that keeps it true."""
    for statement in _script("search_index.sql"):
        connection.execute(statement)


def build(connection: sqlite3.Connection, path: Path, advance: Callable[[int], None], pace: Pace = PACE) -> None:
    """Build the index, or go on with it, until it is complete.

    :param advance: told of so many bytes of text that are done
    :raises ConnectionFailed: the database stays locked or is full, or SQLite can't search texts
    :raises TransactionError: a statement failed; what is built so far stays
    """
    require_full_text(connection)
    # The GLOB of the triggers, on this connection alone: many times as fast, and the same.
    connection.create_function("glob", 2, lambda _, text: is_unspaced(text), deterministic=True)
    with transaction(connection, path, "make the search index"):
        state = index_state(connection)
        if state == "complete":
            return
        if state != "building":
            _drop(connection)
            create_tables(connection)
            connection.execute(search_queries.SET_INDEX_STATE, ("building",))
    while not _is_complete(connection, path, advance, pace):
        time.sleep(_PAUSE)


def _is_complete(connection: sqlite3.Connection, path: Path, advance: Callable[[int], None], pace: Pace) -> bool:
    """One transaction's work; whether nothing is left."""
    until = time.monotonic() + pace.seconds
    with transaction(connection, path, "fill the search index"):
        reached = connection.execute(search_queries.INDEX_REACHED).fetchone()
        kinds = (search_queries.NEXT_ROWS, search_queries.PUT_ROWS, search_queries.REACH_ROWS)
        for first, next_rows, put, reach in zip(reached, *kinds, strict=True):
            behind = first
            while (portion := _portion(connection, next_rows, behind, pace.portion)) is not None:
                last, size = portion
                connection.execute(put, (behind, last))
                behind = last
                advance(size)
                if time.monotonic() >= until:
                    connection.execute(reach, (behind,))
                    return False
            connection.execute(reach, (behind,))
        connection.execute(search_queries.COMPLETE_INDEX)
    return True


def _portion(connection: sqlite3.Connection, next_rows: str, behind: int, most: int) -> tuple[int, int] | None:
    """The last rowid, and the bytes, of the next rows that make up a portion; None where there are no more."""
    last, total = None, 0
    for last, size in connection.execute(next_rows, (behind, _ROWS)):  # noqa: B007 - where it ended
        total += size
        if total >= most:
            break
    return None if last is None else (last, total)


def bytes_to_do(connection: sqlite3.Connection) -> int:
    """How many bytes of text are not in the index yet."""
    return int(connection.execute(search_queries.BYTES_TO_INDEX).fetchone()[0])


def reopen(connection: sqlite3.Connection) -> None:
    """Say, within a transaction that inserts many rows, that the builder will index them, not the triggers."""
    if index_state(connection) == "complete":
        connection.execute(search_queries.REOPEN_INDEX)


def start_over(connection: sqlite3.Connection) -> None:
    """Drop, within a transaction that empties the tables, an index that the next run makes again."""
    if index_state(connection) in ("building", "complete"):
        forget(connection, "pending")


def forget(connection: sqlite3.Connection, state: str) -> None:
    """Drop the index, within a transaction.

    :param state: ``pending`` for one that the next run makes again, ``left_out`` for one that nobody wants
    """
    if index_state(connection) not in (None, state):
        _drop(connection)
        connection.execute(search_queries.SET_INDEX_STATE, (state,))


def _drop(connection: sqlite3.Connection) -> None:
    for statement in _script("search_index_drop.sql"):
        connection.execute(statement)


def index_problems(connection: sqlite3.Connection, path: Path) -> list[str]:
    """What is wrong with the index, compared with every text that it should have. Writes nothing to the database.

    FTS5's own check would hold off writers as long as it takes: it is done with a copy among the temporary tables.

    :param connection: one that may write temporary tables
    """
    state = index_state(connection)
    if state not in ("building", "complete"):
        return []
    differing = index_differences(connection)
    if differing:
        return [f"of the search index these are missing or changed: {', '.join(sorted(differing))}"]
    connection.create_function("is_unspaced", 1, is_unspaced, deterministic=True)
    connection.create_function("searched_text", 1, searched_text, deterministic=True)
    problems = []
    connection.execute("PRAGMA query_only = OFF")  # which would forbid temporary tables, too
    with sqlite_errors("check the search index", path):
        for statement in (*search_queries.CREATE_INDEX_COPY, *search_queries.COPY_INDEX):
            connection.execute(statement)
        try:
            for name, check in search_queries.CHECK_INDEX.items():
                try:
                    connection.execute(check)
                except sqlite3.DatabaseError as error:
                    if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_CORRUPT:
                        raise
                    problems.append(f"the search index {name} does not have what the texts have")
        finally:
            for statement in search_queries.DROP_INDEX_COPY:
                connection.execute(statement)
    return problems
