"""Reads sessions from the database for lists: without instances, messages and unknown members."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Generator, Iterator
from contextlib import closing
from typing import Any

from migrator.database.columns import LISTED_MEMBERS
from migrator.database.documents import keys_of
from migrator.database.rows import Row, session_summary, status_column, type_column
from migrator.errors import UnreadableSession
from migrator.storage.lists import queries

MEMBERS = slice(0, len(LISTED_MEMBERS))
_RESCUED, INSTANCES, MESSAGES, POSITION, ROW_ID, KEY, _AMBIGUOUS, _AGENTS = range(
    len(LISTED_MEMBERS), len(LISTED_MEMBERS) + 8
)
_SMALLEST = -1 << 63


def read_summaries(
    connection: sqlite3.Connection,
    workspace_id: int,
    *,
    statuses: Collection[str] | None = None,
    types: Collection[str] | None = None,
    after: tuple[int | None, int] | None = None,
    counted: bool = True,
    with_agents: bool = False,
) -> Generator[Row, None, None]:
    """Yield a row for each session of a workspace, in file order; close it before the transaction ends.

    A row begins with the document's LISTED_MEMBERS; INSTANCES and the other numbers are the places of the rest.

    :param statuses: leave out most sessions of other statuses; the caller must check the document's own status
    :param types: likewise for types
    :param after: position and rowid of the session before the first one
    :param counted: count the instances and messages, and find sessions that share an id
    :param with_agents: needed for :func:`members_of` with ``instances``
    """
    columns = [
        None if values is None else json.dumps(sorted({column_of(value) for value in values}))
        for values, column_of in ((statuses, status_column), (types, type_column))
    ]
    placed, unplaced = {
        (True, False): queries.LISTED,
        (True, True): queries.LISTED_WITH_AGENTS,
        (False, False): queries.SEARCHED,
        (False, True): queries.SEARCHED_WITH_AGENTS,
    }[counted, with_agents]
    position, row_id = (_SMALLEST, _SMALLEST) if after is None else after
    if position is not None:
        yield from _rows(connection, placed, workspace_id, *columns, position, row_id)
        row_id = _SMALLEST
    yield from _rows(connection, unplaced, workspace_id, *columns, row_id)


def _rows(connection: sqlite3.Connection, statement: str, *values: Any) -> Iterator[Row]:
    with closing(connection.execute(statement, values)) as rows:
        for row in rows:
            if row[_RESCUED] is None:
                yield row
                continue
            try:
                own = session_summary(row, LISTED_MEMBERS)
            except (ValueError, KeyError, TypeError, AttributeError) as error:  # another program wrote it
                raise UnreadableSession(row[KEY], error) from error
            yield (*own.values(), *row[_RESCUED:])


def members_of(row: Row) -> dict[str, Any]:
    """Return a row as a document that filters can be applied to, with ``instances`` if it was read with agents."""
    members = dict(zip(LISTED_MEMBERS, row, strict=False))
    if row[_AGENTS] is not None:
        members["instances"] = [{"agentName": name} for name in json.loads(row[_AGENTS])]
    return members


def ordinal_of(connection: sqlite3.Connection, workspace_id: int, row: Row) -> int:
    """Return how many sessions of the workspace come before this one and have the same id."""
    if not row[_AMBIGUOUS] and row[0] == row[KEY]:
        return 0
    return [*keys_of(connection, workspace_id, row[0]), row[KEY]].index(row[KEY])
