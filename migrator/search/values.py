"""Lists the statuses and types that there are, for a search by one that no session has."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from migrator.data_dir import DataDir
from migrator.database.connection import opened, snapshot
from migrator.database.schema import provide_value_views
from migrator.inventory.status import workspace_names
from migrator.search import queries
from migrator.search.sessions import read_lists
from migrator.storage.arguments import workspace_ref
from migrator.storage.factory import is_served_by_sqlite
from migrator.storage.migrated import failed_workspaces
from migrator.storage.protocol import SessionFilters
from migrator.text import counted
from migrator.workspace import placeholder

_MOST_SHOWN = 30
# Of the JSON files, which would all have to be read, those that the app writes.
_APPS_VALUES = (
    ("competition", "running"),
    ("ensemble", "completed"),
    ("debate", "failed"),
    ("debate", "paused"),
)


def notes_on_values(data_dir: DataDir, workspace: str | None, filters: SessionFilters) -> tuple[str, ...]:
    """Say which statuses or types there are, if no session has the one that the filters name.

    :param workspace: only this one; None for all
    """
    wanted = {"status": ("statuses", filters.status), "type": ("types", filters.session_type)}
    members = [member for member, (_, given) in wanted.items() if given]
    if not members:
        return ()
    found: dict[str, Counter[str]] = {member: Counter() for member in members}
    for kind, status, sessions in _counts(data_dir, workspace):
        for member in members:
            found[member][status if member == "status" else kind] += sessions
    return tuple(
        _note(noun, found[member])
        for member, (noun, given) in wanted.items()
        if given and not any(found[member][value] for value in ([given] if isinstance(given, str) else given))
    )


def types_and_statuses(data_dir: DataDir) -> tuple[list[str], list[str]]:
    """List the types and the statuses to suggest, quickly."""
    found: Iterable[Sequence[Any]] = _APPS_VALUES
    if is_served_by_sqlite(data_dir):
        with _values(data_dir) as connection:
            found = connection.execute(queries.TYPES_AND_STATUSES, (None,)).fetchall()
    return [str(row[0]) for row in found], [str(row[1]) for row in found]


def ids_that_begin(data_dir: DataDir, beginning: str) -> list[str]:
    """List ids of sessions to suggest, quickly: there are none while the JSON files are authoritative."""
    if not is_served_by_sqlite(data_dir):
        return []
    with _values(data_dir) as connection:
        return [str(row[0]) for row in connection.execute(queries.IDS_THAT_BEGIN, (beginning,))]


@contextmanager
def _values(data_dir: DataDir) -> Iterator[sqlite3.Connection]:
    path = data_dir.database
    with opened(path, read_only=True) as connection, snapshot(connection, path, "count sessions"):
        provide_value_views(connection)
        yield connection


def _note(noun: str, found: Counter[str]) -> str:
    if not found:
        return "No session matches: there are no sessions."
    shown = [f"{value or '(empty)'} ({counted(sessions, 'session')})" for value, sessions in found.most_common()]
    more = f" and {len(shown) - _MOST_SHOWN} more" if len(shown) > _MOST_SHOWN else ""
    return f"No session matches. These {noun} exist: {', '.join(shown[:_MOST_SHOWN])}{more}."


def _counts(data_dir: DataDir, workspace: str | None) -> Iterator[tuple[str, str, int]]:
    """Yield type, status and number of sessions in the authoritative store."""
    names: Iterable[str] = [workspace] if workspace else workspace_names(data_dir)
    if is_served_by_sqlite(data_dir):
        own = workspace_ref(workspace).hash if workspace else None
        with _values(data_dir) as connection:
            yield from connection.execute(queries.TYPES_AND_STATUSES, (own,)).fetchall()
        names = [placeholder(name) for name in failed_workspaces(data_dir) if own in (None, name)]

    for _, sessions in read_lists(data_dir, names, None, lambda _: None, alone=False):
        yield from ((session.type, session.status, 1) for session in sessions)
