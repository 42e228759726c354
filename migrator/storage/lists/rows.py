"""Reads sessions from the database for lists: without instances, messages and unknown members."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from operator import itemgetter
from typing import Any, NamedTuple

from migrator.database.columns import LISTED_MEMBERS
from migrator.database.documents import keys_of
from migrator.database.rows import Row, only_runtimes, session_summary, status_column, type_column
from migrator.errors import UnreadableSession
from migrator.storage.filtering import Filtering, first
from migrator.storage.lists import queries
from migrator.storage.lists.paging import RowPlace, row_cursors
from migrator.storage.lists.summaries import SessionSummary, ordinals_of

_WIDTH = len(LISTED_MEMBERS)
_ORDINAL, _CURSOR, _RESCUED, _AGENTS = range(_WIDTH + 2, _WIDTH + 6)
_PLACE = itemgetter(_WIDTH, _WIDTH + 1, _CURSOR)  # a row of PLACES has other values in the columns up to there
_SMALLEST = -1 << 63
_BEGINNING = RowPlace(_SMALLEST, _SMALLEST)


class Found(NamedTuple):
    """A session in the order of the table."""

    key: str
    position: int | None
    row_id: int


def read_summaries(
    connection: sqlite3.Connection,
    workspace: tuple[int, str],
    filtering: Filtering,
    after: RowPlace | None = None,
    limit: int | None = None,
) -> list[SessionSummary]:
    """Return the summaries of the sessions that match, after a place.

    :param workspace: its row id and its hash
    """
    is_whole = filtering.is_empty and after is None  # up to its end: then all sessions with the same id are in it
    bound: Row = (workspace[0], *(after or _BEGINNING), row_cursors(workspace[1]))
    if filtering.is_empty:
        statements = queries.ALL_SUMMARIES if is_whole else queries.PAGE_OF_SUMMARIES
    else:
        statements = queries.SUMMARIES if filtering.text is None else queries.SUMMARIES_WITH_AGENTS
        bound += allowed_in_columns(filtering)
    rows = _chosen(connection, statements, bound, filtering, limit)
    found = [SessionSummary._make(row[:_RESCUED]) for row in rows]
    if is_whole and len({summary.id for summary in found}) < len(found):
        for index, ordinal in enumerate(ordinals_of(summary.id for summary in found)):
            if ordinal:
                found[index] = found[index]._replace(ordinal=ordinal)
    return found


def find_sessions(
    connection: sqlite3.Connection,
    workspace_id: int,
    filtering: Filtering,
    after: RowPlace | None = None,
    limit: int | None = None,
) -> list[Found]:
    """Return where the sessions are that match, after a place."""
    statements = queries.PLACES if filtering.text is None else queries.PLACES_WITH_AGENTS
    bound = (workspace_id, *(after or _BEGINNING), 0, *allowed_in_columns(filtering))
    rows = _chosen(connection, statements, bound, filtering, limit)
    return [Found._make(_PLACE(row)) for row in rows]


def allowed_in_columns(filtering: Filtering) -> tuple[str | None, str | None]:
    """Return which values the columns status and type may have if the session matches, as JSON arrays; None for any."""
    return _as_columns(filtering.statuses, status_column), _as_columns(filtering.types, type_column)


def _as_columns(values: Iterable[str] | None, column_of: Callable[[str], str]) -> str | None:
    return None if values is None else json.dumps(sorted({column_of(value) for value in values}))


def _chosen(
    connection: sqlite3.Connection, statements: tuple[str, ...], bound: Row, filtering: Filtering, limit: int | None
) -> list[Row]:
    """Return the rows that match, each with the document's own values; no more are read than needed."""
    with closing(_rows(connection, statements, bound)) as rows:  # before the transaction ends
        if filtering.is_empty:
            return first(rows, limit)
        described = ({**_members(row), "row": row} for row in rows)
        return [each["row"] for each in filtering.apply(described, limit)]


def _rows(connection: sqlite3.Connection, statements: tuple[str, ...], bound: Row) -> Generator[Row, None, None]:
    placed, unplaced = statements
    parts = [(placed, bound), (unplaced, (*bound[:2], _SMALLEST, *bound[3:]))]
    if bound[1] is None:  # the position after which to begin
        parts = [(unplaced, bound)]
    for statement, values in parts:
        with closing(connection.execute(statement, values)) as rows:
            for row in rows:
                rescued = row[_RESCUED]
                if (rescued is None or only_runtimes(rescued)) and not row[_ORDINAL]:
                    yield row
                else:
                    yield _restored(connection, bound[0], row)


def _restored(connection: sqlite3.Connection, workspace_id: int, row: Row) -> Row:
    """Return a row with the document's own values, and with its ordinal if it is one of a summary."""
    key = row[0]
    try:
        own = session_summary((*row[:_WIDTH], row[_RESCUED]), LISTED_MEMBERS)
    except (ValueError, KeyError, TypeError, AttributeError) as error:  # another program wrote it
        raise UnreadableSession(key, error) from error
    ordinal = 0
    if row[_ORDINAL] or own["id"] != key:  # needless for a place, and seldom
        ordinal = [*keys_of(connection, workspace_id, own["id"]), key].index(key)
    return (*own.values(), *row[_WIDTH:_ORDINAL], ordinal, *row[_ORDINAL + 1 :])


def _members(row: Row) -> dict[str, Any]:
    """Return a row as a document that filters can be applied to; ``instances`` is empty if it was read without."""
    members: dict[str, Any] = dict(zip(LISTED_MEMBERS, row, strict=False))
    names = [] if row[_AGENTS] is None else row[_AGENTS].split(" ")
    return members | {"instances": [{"agentName": bytes.fromhex(name).decode(errors="replace")} for name in names]}
