"""The tables of the search index: built in short transactions, kept up to date by triggers, dropped on demand.

``schemas/sql/search_index.sql`` creates them. The table ``search_index`` says how far the index is built. The triggers
take care of rows up to there, the builder of rows after it. So the app may write during a build, and a build that was
killed can be continued.
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
from migrator.errors import Message
from migrator.files.resources import schemas
from migrator.search import queries as search_queries
from migrator.search.excerpts import require_full_text
from migrator.search.query import is_unspaced, searched_text

TASKS, MESSAGES, OUTPUTS = 0, 1 << 40, 1 << 41  # added to the rowids of sessions, chat_messages, instances
# A pause after each transaction lets others write: SQLite retries a lock every tenth of a second.
_PAUSE = 0.11  # seconds
_ROWS = 500
UNFINISHED = ("pending", "building")
_REBUILD = "'migrator verify --repair' rebuilds it."


class Pace(NamedTuple):
    """How much is indexed at once.

    :ivar seconds: duration of one transaction
    :ivar portion: bytes of text that are indexed before the clock is checked again
    """

    seconds: float = 0.7
    portion: int = 250_000


PACE = Pace()


def index_state(connection: sqlite3.Connection) -> str | None:
    """Return ``pending``, ``building``, ``complete`` or ``left_out``; None if the schema has no index yet."""
    if not schema.has_table(connection, "search_index"):
        return None
    row = connection.execute(queries.INDEX_STATE).fetchone()
    return str(row[0]) if row else None


def index_differences(connection: sqlite3.Connection) -> list[str]:
    """Return the names of the index's tables, views and triggers that are missing or changed."""
    found = dict(connection.execute(search_queries.INDEX_OBJECTS).fetchall())
    return [name for name, sql in _expected().items() if found.get(name) != sql]


@cache
def _expected() -> dict[str, str]:
    """Return the statement that creates each of them, by name, in the form in which SQLite stores it."""
    statements = {}
    for statement in _script("search_index.sql"):
        begin = statement.index("CREATE ")
        words = statement[begin:].split()
        name = words[3] if words[1] == "VIRTUAL" else words[2]
        statements[name] = statement[begin:].rstrip(";").rstrip()
    return statements


def _script(name: str) -> list[str]:
    return schema.split_statements((schemas() / "sql" / name).read_text(encoding="utf-8"))


def create_tables(connection: sqlite3.Connection) -> None:
    """Create the empty index, with the triggers that keep it up to date."""
    for statement in _script("search_index.sql"):
        connection.execute(statement)


def build(connection: sqlite3.Connection, path: Path, advance: Callable[[int], None], pace: Pace = PACE) -> None:
    """Build the index, or continue to build it, until it is complete.

    :param advance: called with the number of bytes of text that were indexed
    :raises ConnectionFailed: the database stays locked, the disk is full, or SQLite has no FTS5
    :raises TransactionError: a statement failed; what is built so far is kept
    """
    require_full_text(connection)
    # Replaces the GLOB of the triggers on this connection: the same result, many times as fast.
    connection.create_function("glob", 2, lambda _, text: is_unspaced(text), deterministic=True)
    with transaction(connection, path, "create the search index"):
        state = index_state(connection)
        if state == "complete":
            return
        if state != "building" or index_differences(connection):
            _drop(connection)
            create_tables(connection)
            connection.execute(search_queries.SET_INDEX_STATE, ("building",))
    while not _build_some(connection, path, advance, pace):
        time.sleep(_PAUSE)


def _build_some(connection: sqlite3.Connection, path: Path, advance: Callable[[int], None], pace: Pace) -> bool:
    """Do the work of one transaction; return whether the index is complete."""
    until = time.monotonic() + pace.seconds
    with transaction(connection, path, "fill the search index"):
        reached = connection.execute(search_queries.INDEX_REACHED).fetchone()
        kinds = (search_queries.NEXT_ROWS, search_queries.PUT_ROWS, search_queries.REACH_ROWS)
        for first, next_rows, put, reach in zip(reached, *kinds, strict=True):
            after = first
            while (portion := _next_portion(connection, next_rows, after, pace.portion)) is not None:
                last, size = portion
                connection.execute(put, (after, last))
                after = last
                advance(size)
                if time.monotonic() >= until:
                    connection.execute(reach, (after,))
                    return False
            connection.execute(reach, (after,))
        connection.execute(search_queries.COMPLETE_INDEX)
    return True


def _next_portion(connection: sqlite3.Connection, next_rows: str, after: int, most: int) -> tuple[int, int] | None:
    """Return the last rowid and the bytes of the next rows that make up a portion; None if there are no more rows."""
    last, total = None, 0
    for last, size in connection.execute(next_rows, (after, _ROWS)):  # noqa: B007 - used after the loop
        total += size
        if total >= most:
            break
    return None if last is None else (last, total)


def bytes_to_do(connection: sqlite3.Connection) -> int:
    """Return how many bytes of text are not in the index yet."""
    return int(connection.execute(search_queries.BYTES_TO_INDEX).fetchone()[0])


def reopen(connection: sqlite3.Connection) -> None:
    """Let the builder, not the triggers, index the many rows that this transaction is going to insert."""
    if index_state(connection) == "complete":
        connection.execute(search_queries.REOPEN_INDEX)


def close_again(connection: sqlite3.Connection) -> None:
    """Call a reopened index complete if the transaction inserted nothing that the builder would have to index."""
    if index_state(connection) == "building" and not connection.execute(search_queries.HAS_ROWS_TO_INDEX).fetchone()[0]:
        connection.execute(search_queries.COMPLETE_INDEX)


def start_over(connection: sqlite3.Connection) -> None:
    """Drop the index, within a transaction that empties the tables; the next run builds it again."""
    if index_state(connection) in ("building", "complete"):
        discard(connection, "pending")


def discard(connection: sqlite3.Connection, state: str) -> None:
    """Drop the index, within a transaction.

    :param state: ``pending`` if the next run should build it again, ``left_out`` if no index is wanted
    """
    if index_state(connection) not in (None, state):
        _drop(connection)
        connection.execute(search_queries.SET_INDEX_STATE, (state,))


def _drop(connection: sqlite3.Connection) -> None:
    for statement in _script("search_index_drop.sql"):
        connection.execute(statement)


def index_problems(connection: sqlite3.Connection, path: Path) -> list[Message]:
    """Compare the index with every text; return what is wrong. Writes nothing to the database.

    FTS5's own check would lock out writers until it ends, so it is run on a copy in temporary tables.

    :param connection: may write temporary tables
    """
    state = index_state(connection)
    if state not in ("building", "complete"):
        return []
    differing = index_differences(connection)
    if differing:
        message = f"Parts of the search index are missing or changed: {', '.join(sorted(differing))}."
        return [Message(message, code="search_index.damaged", hint=_REBUILD)]
    connection.create_function("is_unspaced", 1, is_unspaced, deterministic=True)
    connection.create_function("searched_text", 1, searched_text, deterministic=True)
    problems: list[Message] = []
    connection.execute("PRAGMA query_only = OFF")  # it would also forbid temporary tables
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
                    message = f"The search index {name} does not match the texts."
                    problems.append(Message(message, code="search_index.damaged", hint=_REBUILD))
        finally:
            for statement in search_queries.DROP_INDEX_COPY:
                connection.execute(statement)
    return problems
