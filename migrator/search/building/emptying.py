"""Empties the tables of an index that is used no more: to drop them full would hold the write lock for long."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from migrator.search import queries as search_queries
from migrator.search.building import queries
from migrator.search.building.turns import PACE, Pace, in_turns
from migrator.search.index import index_state

_STEP = 2000  # rows, of some kilobytes each


def empty_unused(connection: sqlite3.Connection, path: Path, pace: Pace = PACE) -> None:
    """Empty the tables of an index that is to be built anew or left out, in short transactions."""
    if index_state(connection) not in (None, "building", "complete") and may_write(connection):
        in_turns(connection, path, lambda: _steps(connection), pace)


def may_write(connection: sqlite3.Connection) -> bool:
    """Return whether there is an index, and SQLite lets programs write to the tables of FTS5: some are set not to."""
    try:
        connection.execute(f"EXPLAIN {queries.WRITE_NOTHING}").close()
    except sqlite3.OperationalError:
        return False
    return True


def _steps(connection: sqlite3.Connection) -> Iterator[None]:
    there = {name for name, _ in connection.execute(search_queries.INDEX_OBJECTS)}
    for table, statement in queries.EMPTY.items():
        if table in there:
            while connection.execute(statement, (_STEP,)).rowcount == _STEP:
                yield
