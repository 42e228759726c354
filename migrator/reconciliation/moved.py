"""Finds sessions that another program's SQL moved to another workspace than that of their file.

The app may change ``sessions.workspace_id``, or ``workspaces.workspace_hash`` if a folder was renamed. Such a session
counts as created in SQLite, in the workspace where it is now: its file does not have it there.
"""

from __future__ import annotations

import os
import sqlite3
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from migrator.reconciliation import queries
from migrator.workspace import prove_path, workspace_of_source


class _Place(NamedTuple):
    """Where sessions of one source are: in this workspace."""

    source_id: int
    source: str
    source_hash: str | None
    workspace_id: int
    workspace_hash: str
    workspace_path: str


def detach_moved(connection: sqlite3.Connection) -> None:
    """Make moved sessions count as created in SQLite, within the caller's transaction.

    They come after the other sessions of their new workspace; if there are no others, they keep their order.
    """
    moved = moved_sessions(connection)
    if not moved:
        return
    arrived = Counter(workspace_id for _, workspace_id in moved)
    joined = {
        workspace_id
        for workspace_id, number in arrived.items()
        if connection.execute(queries.SESSIONS_IN_WORKSPACE, (workspace_id,)).fetchone()[0] > number
    }
    for key, workspace_id in moved:
        statement = queries.DETACH_TO_THE_END if workspace_id in joined else queries.DETACH
        connection.execute(statement, (key,))


def moved_sessions(connection: sqlite3.Connection) -> list[tuple[str, int]]:
    """Return the key and the workspace's row id of each session that was moved. Changes nothing."""
    places = [_Place(*row) for row in connection.execute(queries.PLACES_OUTSIDE_THEIR_SOURCE).fetchall()]
    return [(key, place.workspace_id) for place in places for key in _moved_from(connection, place)]


def _moved_from(connection: sqlite3.Connection, place: _Place) -> Iterator[str]:
    """Yield the sessions of a source in one place that were moved there."""
    keys = connection.execute(queries.KEYS_OF_SOURCE_IN_WORKSPACE, (place.source_id, place.workspace_id)).fetchall()
    if place.source_hash is None:  # the shared file: its sessions show themselves where they belong
        if place.workspace_hash == workspace_of_source(place.source)[0]:
            return
        for (key,) in keys:
            paths = connection.execute(queries.WORKTREES_OF_SESSION, (key,))
            worktrees = [path for (path,) in paths if path is not None]  # rows of a damaged page have none
            if prove_path(place.workspace_hash, worktrees) is None:
                yield key
    elif not _is_older_file_of(place.source, place.workspace_path):
        yield from (key for (key,) in keys)


def _is_older_file_of(source: str, workspace_path: str) -> bool:
    """Whether this is a file inside the workspace; its path and a link to it have different hashes."""
    if not os.path.isabs(source):
        return False
    return os.path.realpath(os.path.dirname(os.path.dirname(source))) == os.path.realpath(workspace_path)
