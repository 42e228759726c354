"""Puts sessions in the order that filters name, reading as little of them as possible."""

from __future__ import annotations

import re
import sqlite3
from typing import Any

from migrator.search import queries as search_queries
from migrator.storage.protocol import SessionFilters
from migrator.storage.timestamps import instant

_DAY = r"(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\d|30)|02-(?:0[1-9]|[12]\d))"
_UTC = re.compile(rf"(?a:[1-9]\d{{3}}-{_DAY}T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d+)?(?:Z|\+00:00))")
_WHOLE = 19  # characters of a timestamp without its fraction


def ordered_keys(
    connection: sqlite3.Connection, filters: SessionFilters, workspace_hash: str | None
) -> list[str] | None:
    """Return the primary keys of all sessions in the order of ``sort_by``.

    None if a session has another value than the column that is compared.

    :param workspace_hash: only those of this workspace; None for all
    """
    statement = search_queries.KEYS_TO_SORT[str(filters.sort_by)]
    rows = connection.execute(statement, (workspace_hash,)).fetchall()
    if any(rescued for _, _, rescued in rows):
        return None
    values: list[Any] = [value for _, value, _ in rows]
    if filters.sort_by in ("createdAt", "updatedAt"):
        plain = [_in_time_order(value) for value in values]
        values = plain if None not in plain else [instant(value) for value in values]
    keyed = [(value, key) for value, (key, _, _) in zip(values, rows, strict=True)]
    with_value = [pair for pair in keyed if pair[0] is not None]
    with_value.sort(key=lambda pair: pair[0], reverse=filters.descending)  # reverse keeps the order of ties
    return [key for _, key in with_value] + [key for value, key in keyed if value is None]


def _in_time_order(timestamp: str) -> str | None:
    """Return a text that sorts like the timestamp; None for one that is not plain."""
    found = _UTC.fullmatch(timestamp)
    if found is None or (timestamp[5:10] == "02-29" and instant(timestamp) is None):
        return None
    return timestamp[:_WHOLE] + found[1].rstrip("0").rstrip(".") if found[1] else timestamp[:_WHOLE]
