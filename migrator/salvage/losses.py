"""Finds out which sessions have lost rows: the indexes of a damaged table have its rowids and some of its columns."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from migrator.database import queries
from migrator.database.columns import CHILD_TABLES
from migrator.salvage import queries as salvage_queries
from migrator.salvage.copy import Databases
from migrator.workspace import is_hash, placeholder, workspace_hash


@dataclass
class Lost:
    """A session that cannot be read, or not whole.

    :ivar key: the primary key of its row
    :ivar tables: those with rows that are lost
    """

    key: str
    tables: set[str] = field(default_factory=set)
    workspace_id: int | None = None
    position: int | None = None
    source_id: int | None = None


def lost_sessions(both: Databases, damaged: Iterable[str]) -> list[Lost]:
    """Return the sessions that have lost rows in these tables, as far as the indexes or other rows mention them."""
    found: dict[str, Lost] = {}
    if "sessions" in damaged:
        places = _rows(both, "sessions", "workspace_id", "position")
        sources = _rows(both, "sessions", "source_id")
        keys = {key: row_id for row_id, key in _rows(both, "sessions", "id").items()}
        for key, row_id in keys.items():
            workspace_id, position = places.get(row_id, (None, None))
            found[key[0]] = Lost(key[0], {"sessions"}, workspace_id, position, *sources.get(row_id, (None,)))
        for table in CHILD_TABLES:
            statement = f"SELECT DISTINCT session_id FROM {table} WHERE session_id NOT IN (SELECT id FROM sessions)"
            for (key,) in both.copy.execute(statement).fetchall():
                found.setdefault(key, Lost(key, {"sessions"}))
    readable = {key for (key,) in both.copy.execute(queries.SESSION_KEYS)}
    for table in CHILD_TABLES:  # also one without errors: a page may have fewer rows than it had
        for (key,) in _rows(both, table, "session_id").values():
            if key in readable:
                found.setdefault(key, Lost(key)).tables.add(table)
            elif {"sessions", table} <= {*damaged}:  # only an index of lost rows mentions it
                found.setdefault(key, Lost(key, {"sessions"})).tables.add(table)
    return list(found.values())


def _rows(both: Databases, table: str, *columns: str) -> dict[int, tuple[Any, ...]]:
    """Return the columns of a table's lost rows, by rowid, from the first index that begins with these columns."""
    present = {row_id for (row_id,) in both.copy.execute(f"SELECT rowid FROM {table}")}
    for _, index, _, _, partial in both.damaged.execute(f"PRAGMA index_list({table})").fetchall():
        names = tuple(row[2] for row in both.damaged.execute(f'PRAGMA index_info("{index}")').fetchall())
        if names[: len(columns)] != columns:
            continue
        condition = f" WHERE {columns[0]} IS NOT NULL" if partial else ""
        statement = f'SELECT rowid, {", ".join(columns)} FROM {table} INDEXED BY "{index}"{condition}'
        with suppress(sqlite3.DatabaseError):
            return {row[0]: row[1:] for row in both.damaged.execute(statement) if row[0] not in present}
    return {}


def restore_workspaces(both: Databases) -> None:
    """Make the rows of lost workspaces again, from the indexes of the table and from the ledger."""
    both.copy.execute(salvage_queries.REMOVE_INVALID_WORKSPACES)
    paths = _rows(both, "workspaces", "workspace_path")
    hashes = _rows(both, "workspaces", "workspace_hash")
    by_source: defaultdict[int, set[str]] = defaultdict(set)
    for workspace_id, name in both.copy.execute(salvage_queries.WORKSPACES_BY_FILE).fetchall():
        by_source[workspace_id] |= {name} if name else set()
    for workspace_id in sorted({*by_source, *paths, *hashes}):
        path = paths.get(workspace_id, (None,))[0]
        if not isinstance(path, str):  # not of this index
            path = None
        known = hashes.get(workspace_id, (None,))[0]
        if not is_hash(known):
            known = next(iter(by_source[workspace_id]), None)
        name = known or workspace_hash(path or f"workspace {workspace_id}")
        row = (workspace_id, path or placeholder(name), name)
        try:
            both.copy.execute(salvage_queries.INSERT_LOST_WORKSPACE, row)
        except sqlite3.IntegrityError:  # it is there, under another number
            [number] = both.copy.execute(salvage_queries.WORKSPACE_LIKE, (row[2], row[1])).fetchone()
            both.copy.execute(salvage_queries.MOVE_SESSIONS, (number, workspace_id))


def workspace_of(connection: sqlite3.Connection, workspace_id: int | None) -> tuple[str, str] | None:
    """Return hash and path of a workspace in the copy; None if it is unknown."""
    row = connection.execute(queries.WORKSPACE_BY_ID, (workspace_id,)).fetchone()
    return (row[0], row[1]) if row else None
