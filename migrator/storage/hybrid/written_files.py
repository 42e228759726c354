"""Which contents of the workspace files SQLite has, by their SHA-256.

The record is in the database itself: an older copy of the database that is put back does not know the newer files.
"""

from __future__ import annotations

import os
import sqlite3
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress

from migrator.errors import StorageIOError
from migrator.files import copying
from migrator.inventory.source_files import Source
from migrator.storage.hybrid import queries

Files = Mapping[str, frozenset[str]]
"""SHA-256 of files, by the workspace's hash."""


def known_files(connection: sqlite3.Connection) -> Files:
    """The files that SQLite has everything of: those that hybrid mode wrote last, and those that were merged."""
    return _by_workspace(connection, queries.KNOWN_FILES)


def written_files(connection: sqlite3.Connection) -> Files:
    """The files that hybrid mode wrote last."""
    return _by_workspace(connection, queries.WRITTEN_FILES)


def is_known(connection: sqlite3.Connection, workspace_hash: str, sha256: str) -> bool:
    """Whether SQLite has everything of the workspace's file with this SHA-256."""
    return bool(connection.execute(queries.IS_KNOWN, (workspace_hash, sha256)).fetchone()[0])


def was_written(source: Source, sha256: str | None, written: Files) -> bool:
    """Whether hybrid mode wrote what was read of a workspace's file, or has replaced it since.

    A store may write a file several times while it is migrated, and only its last versions are recorded. It replaces no
    file unless SQLite has everything in it.

    :param source: the file, as it was before it was read
    """
    known = written.get(source.workspace_hash or "", frozenset())
    if not known or sha256 in known:
        return bool(known)
    with suppress(OSError, StorageIOError):
        now = os.stat(source.place)
        if (now.st_size, now.st_mtime_ns) != (source.size, source.mtime_ns):
            return copying.sha256_of(source.place) in known
    return False


def record_written(connection: sqlite3.Connection, workspace_hash: str, sha256: str, in_place: str | None) -> None:
    """Record a file that is about to be written, within the caller's transaction.

    :param in_place: the SHA-256 of the file that it replaces, which stays known: the replacement may fail
    """
    connection.execute(queries.FORGET_WRITTEN, (workspace_hash, in_place))
    connection.execute(queries.RECORD_WRITTEN, (workspace_hash, sha256))


def _by_workspace(connection: sqlite3.Connection, statement: str) -> Files:
    found: defaultdict[str, set[str]] = defaultdict(set)
    for workspace_hash, sha256 in connection.execute(statement):
        found[workspace_hash].add(sha256)
    return {workspace_hash: frozenset(known) for workspace_hash, known in found.items()}
