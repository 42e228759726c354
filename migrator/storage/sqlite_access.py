"""Opens the database of the SQLite store, and runs its transactions."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from operator import eq
from pathlib import Path
from typing import TypeAlias, TypeVar

from migrator.backups.database_copy import upgrade
from migrator.database import queries, schema
from migrator.database.connection import BUSY_TIMEOUT, MEMORY, connect, snapshot, transaction
from migrator.database.documents import ensure_workspace, find_workspace, keys_of, read_document, read_workspace
from migrator.database.pool import ConnectionPool
from migrator.database.registry import log_replaced, lost_its_log
from migrator.documents.document import WorktreeSession
from migrator.errors import MigratorError, SchemaError, StaleStoreError
from migrator.storage import arguments
from migrator.storage.arguments import WorkspaceRef
from migrator.workspace import is_placeholder

POOL_SIZE = 5
ACQUIRE_TIMEOUT = 3.0  # seconds
CACHE_SIZE = -20_000  # KiB: 20 MB, enough for most workspaces
_ATTEMPTS = 3  # to write to a log that stays

_T = TypeVar("_T")
Comparison: TypeAlias = Callable[[list[WorktreeSession], list[WorktreeSession]], object]


class SqliteAccess:
    """The connections of an SQLite store.

    :param path: the file, or ``:memory:`` for a store that exists as long as this object, on one connection
    :param backups: the folder for a copy made before schema steps change data; None: ``backups`` next to the file
    :param acquire_timeout: seconds to wait for a connection from the pool
    :param busy_timeout: seconds to wait for another process's lock
    :param cache_size: as in SQLite's PRAGMA: pages, or KiB if negative; None uses CACHE_SIZE
    :param mmap_size: bytes
    :param read_only: write nothing, so that a read-only medium and a full disk are no obstacle; also so where this user
        cannot write to the file
    :raises ConnectionFailed: the file cannot be opened, or is not a database
    :raises SchemaError: the database is newer than this program, or has different tables
    """

    def __init__(
        self,
        path: Path | str,
        *,
        backups: Path | None = None,
        pool_size: int = POOL_SIZE,
        acquire_timeout: float = ACQUIRE_TIMEOUT,
        busy_timeout: float = BUSY_TIMEOUT,
        cache_size: int | None = None,
        mmap_size: int | None = None,
        read_only: bool = False,
    ) -> None:
        self._path = path
        self._backups = backups or Path(path).parent / "backups"
        self._busy_timeout = busy_timeout
        self._cache_size = CACHE_SIZE if cache_size is None else cache_size
        self._mmap_size = mmap_size
        self._read_only = read_only
        self._unnameable: set[str] = set()
        size = 1 if str(path) == MEMORY else pool_size
        self._pool = ConnectionPool(self._connect, size=size, acquire_timeout=acquire_timeout)
        with self._pool.connection():
            pass  # so that problems with the database are reported now, not at the first use

    def _connect(self) -> sqlite3.Connection:
        is_writable = not os.path.exists(self._path) or os.access(self._path, os.W_OK)
        if self._read_only or not is_writable:
            connection = self._open(read_only=True)
            if self._version_of(connection) == schema.latest_version():
                return connection
            connection.close()
            if not is_writable:
                raise SchemaError(
                    f"The tables of {self._path} are of an older version, and cannot be changed there.",
                    code="schema.outdated",
                    hint="Copy the data directory to where you can write, and open the copy.",
                )
        connection = self._open(read_only=False)
        if self._version_of(connection) < schema.latest_version():
            try:
                upgrade(connection, self._path, self._backups)
            except BaseException:
                connection.close()
                raise
        return connection

    def _open(self, *, read_only: bool) -> sqlite3.Connection:
        return connect(
            self._path,
            create=not read_only,
            read_only=read_only,
            timeout=self._busy_timeout,
            cache_size=self._cache_size,
            mmap_size=self._mmap_size,
            shared_between_threads=True,
        )

    def _version_of(self, connection: sqlite3.Connection) -> int:
        try:
            return schema.require_known(connection, self._path)
        except BaseException:
            connection.close()
            raise

    def close(self) -> None:
        self._pool.close()

    @contextmanager
    def _reading(self, workspace: WorkspaceRef, action: str) -> Iterator[tuple[sqlite3.Connection, int | None]]:
        """Lend a connection in a read transaction, with the workspace's row id (None if it is unknown)."""
        with self._pool.connection() as connection:
            with snapshot(connection, self._path, action):
                found = find_workspace(connection, workspace.hash)
                yield connection, found[0] if found else None
            if found and workspace.path and is_placeholder(found[1]) and workspace.hash not in self._unnameable:
                self._unnameable.add(workspace.hash)  # filling in the path is tried once, and may fail
                with suppress(MigratorError), transaction(connection, self._path, "set a workspace's path"):
                    ensure_workspace(connection, workspace.hash, workspace.path)

    def _write(
        self,
        workspace: WorkspaceRef,
        session_id: str | None,
        action: str,
        change: Callable[[sqlite3.Connection, int], _T],
        has_it: Comparison = eq,
        *,
        create: bool = False,
    ) -> _T:
        """Make a change in a transaction; return its result once the change is where other processes see it.

        Another SQLite library in this process may remove the log meanwhile. Then the change is looked for in the
        database as it is now, and made again if it is missing.

        :param session_id: the session that is changed; None for the whole workspace
        :param change: called with the connection and the workspace's row id
        :param has_it: whether the sessions as they are now (second) have the change that the first have
        """
        for _ in range(_ATTEMPTS):
            with self._pool.connection() as connection:
                result = self._change(connection, workspace, action, change, create=create)
                if not lost_its_log(connection):
                    return result
                written = self._sessions(connection, workspace, session_id)
            with self._pool.connection() as connection:  # another one: the pool lends none without its log
                if has_it(written, self._sessions(connection, workspace, session_id)):
                    return result
        raise log_replaced(self._path)

    def _change(
        self,
        connection: sqlite3.Connection,
        workspace: WorkspaceRef,
        action: str,
        change: Callable[[sqlite3.Connection, int], _T],
        *,
        create: bool,
    ) -> _T:
        with transaction(connection, self._path, action):
            if connection.execute(queries.STATUS).fetchone() == ("rolled_back",):
                raise StaleStoreError(
                    f"Cannot {action}: since this store was opened, a rollback has made the JSON files authoritative.",
                    code="store.rolled_back",
                    hint="Open the store again: open_storage() opens the authoritative one.",
                )
            if not create and find_workspace(connection, workspace.hash) is None:
                raise arguments.workspace_not_found(workspace)
            workspace_id = ensure_workspace(connection, workspace.hash, workspace.path)
            result = change(connection, workspace_id)
            connection.execute(queries.TOUCH_WORKSPACE, (workspace_id,))
            return result

    def _sessions(
        self, connection: sqlite3.Connection, workspace: WorkspaceRef, session_id: str | None
    ) -> list[WorktreeSession]:
        """Return the sessions with this id, or all of the workspace."""
        with snapshot(connection, self._path, "look for a change"):
            found = find_workspace(connection, workspace.hash)
            if found is None:
                return []
            if session_id is None:
                return [stored.document for stored in read_workspace(connection, found[0])]
            return [document_of(connection, key) for key in keys_of(connection, found[0], session_id)]


def document_of(connection: sqlite3.Connection, key: str) -> WorktreeSession:
    """Return the document with a key that this transaction has just found."""
    stored = read_document(connection, key)
    if stored is None:
        raise AssertionError("the key that this transaction just found has no row")
    return stored.document
