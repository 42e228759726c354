"""Reads sessions in the order that filters name, as few of them as possible."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any, NamedTuple

from migrator.database.rows import session_summary
from migrator.search import queries as search_queries
from migrator.search.results import sort_by_filters
from migrator.storage.filtering import Filtering
from migrator.storage.lists.rows import allowed_in_columns
from migrator.storage.protocol import SessionFilters
from migrator.storage.timestamps import instant

_TIMES = ("createdAt", "updatedAt")
_SECOND = 19  # characters of a timestamp before its fraction
_BATCH = 20  # sessions


class StoredSession(NamedTuple):
    """The summary of a session, with the primary key of its row."""

    key: str
    row_id: int
    workspace: str
    workspace_hash: str
    summary: dict[str, Any]


def read_sessions(connection: sqlite3.Connection, statement: str, *parameters: str | None) -> Iterator[StoredSession]:
    """Yield the sessions that a statement finds."""
    for row in connection.execute(statement, parameters):
        yield StoredSession(row[0], row[-3], row[-2], row[-1], session_summary(row))


def sessions_in_order(
    connection: sqlite3.Connection, filters: SessionFilters, workspace_hash: str | None
) -> Iterator[StoredSession]:
    """Yield the sessions that may match filters, in their order, or the newest first; none is read before it is needed.

    :param workspace_hash: only those of this workspace; None for all
    """
    filtering = Filtering(filters)
    of_one = workspace_hash is not None
    chosen = (workspace_hash, *allowed_in_columns(filtering))
    if filters.sort_by is None:
        yield from read_sessions(connection, search_queries.IN_TIME_ORDER["updatedAt", True, of_one], *chosen)
    elif (
        filters.sort_by in _TIMES and connection.execute(search_queries.ARE_PLAIN_TIMES[filters.sort_by]).fetchone()[0]
    ):
        statement = search_queries.IN_TIME_ORDER[filters.sort_by, filters.descending, of_one]
        yield from _in_time_order(read_sessions(connection, statement, *chosen), filters)
    else:
        keys = ordered_keys(connection, filters, workspace_hash)
        if keys is None:
            statement = search_queries.IN_TIME_ORDER["updatedAt", True, of_one]
            every = ((session.summary, session) for session in read_sessions(connection, statement, *chosen))
            yield from sort_by_filters(every, filtering)
            return
        for at in range(0, len(keys), _BATCH):
            batch = keys[at : at + _BATCH]
            found = read_sessions(connection, search_queries.INFO_OF_SESSIONS, json.dumps(batch))
            by_key = {session.key: session for session in found}
            yield from (by_key[key] for key in batch)


def _in_time_order(sessions: Iterator[StoredSession], filters: SessionFilters) -> Iterator[StoredSession]:
    """Sort sessions that come in the order of their seconds; those without a valid time come last."""
    by, invalid = str(filters.sort_by), list[StoredSession]()
    for _, same_second in groupby(sessions, key=lambda session: session.summary[by][:_SECOND]):
        timed = []
        for session in _newest_first(same_second):
            time = instant(session.summary[by])
            if time is None:
                invalid.append(session)
            else:
                timed.append((time, session))
        timed.sort(key=lambda pair: pair[0], reverse=filters.descending)  # reverse keeps the order of ties
        yield from (session for _, session in timed)
    yield from _newest_first(invalid)


def _newest_first(sessions: Iterable[StoredSession]) -> list[StoredSession]:
    in_order = sorted(sessions, key=lambda session: session.row_id)
    return sorted(in_order, key=lambda session: session.summary["updatedAt"], reverse=True)


def ordered_keys(
    connection: sqlite3.Connection, filters: SessionFilters, workspace_hash: str | None
) -> list[str] | None:
    """Return the primary keys of all sessions in the order of ``sort_by``.

    None if a session has another value than the column that is compared.

    :param workspace_hash: only those of this workspace; None for all
    """
    statement = search_queries.KEYS_TO_SORT[str(filters.sort_by)]
    rows = connection.execute(statement, (workspace_hash,)).fetchall()
    if any(differs for _, _, differs in rows):
        return None
    is_time = filters.sort_by in _TIMES
    keyed: list[tuple[Any, str]] = [(instant(value) if is_time else value, key) for key, value, _ in rows]
    with_value = [pair for pair in keyed if pair[0] is not None]
    with_value.sort(key=lambda pair: pair[0], reverse=filters.descending)
    return [key for _, key in with_value] + [key for value, key in keyed if value is None]
