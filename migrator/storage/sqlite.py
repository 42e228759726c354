"""The store on the SQLite tables that the migration fills."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from migrator.backups.database_copy import upgrade
from migrator.database import queries, schema
from migrator.database.connection import BUSY_TIMEOUT, MEMORY, connect, snapshot, transaction
from migrator.database.documents import (
    append_document,
    append_message,
    delete_document,
    ensure_workspace,
    find_instance,
    find_workspace,
    keys_of,
    read_document,
    read_documents,
    read_summaries,
    read_workspace,
    replace_all,
    replace_document,
)
from migrator.database.pool import ConnectionPool
from migrator.documents.document import ChatMessage, WorktreeSession
from migrator.errors import MigratorError, StaleStoreError
from migrator.storage import arguments, timestamps
from migrator.storage.arguments import WorkspaceRef
from migrator.storage.filtering import Filtering
from migrator.storage.protocol import MirrorableStorage, SessionFilters
from migrator.workspace import is_placeholder

POOL_SIZE = 5
ACQUIRE_TIMEOUT = 3.0  # seconds
CACHE_SIZE = -20_000  # KiB: 20 MB, enough for most workspaces


class SqliteStorage(MirrorableStorage):
    """Sessions in an SQLite database; its methods are described in SessionStorage.

    Several threads and processes may use it, also after a fork. Missing schema steps are applied when it is opened.

    :param path: the file, or ``:memory:`` for a store that exists as long as this object, on one connection
    :param backups: the folder for a copy made before schema steps change data; None: ``backups`` next to the file
    :param acquire_timeout: seconds to wait for a connection from the pool
    :param busy_timeout: seconds to wait for another process's lock
    :param cache_size: as in SQLite's PRAGMA: pages, or KiB if negative; None uses CACHE_SIZE
    :param mmap_size: bytes
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
    ) -> None:
        self._path = path
        self._backups = backups or Path(path).parent / "backups"
        self._busy_timeout = busy_timeout
        self._cache_size = CACHE_SIZE if cache_size is None else cache_size
        self._mmap_size = mmap_size
        self._unnameable: set[str] = set()
        size = 1 if str(path) == MEMORY else pool_size
        self._pool = ConnectionPool(self._connect, size=size, acquire_timeout=acquire_timeout)
        with self._pool.connection():
            pass  # so that problems with the database are reported now, not at the first use

    def _connect(self) -> sqlite3.Connection:
        connection = connect(
            self._path,
            create=True,
            timeout=self._busy_timeout,
            cache_size=self._cache_size,
            mmap_size=self._mmap_size,
            shared_between_threads=True,
        )
        try:
            if schema.require_known(connection, self._path) < schema.latest_version():
                upgrade(connection, self._path, self._backups)
        except BaseException:
            connection.close()
            raise
        return connection

    def create_session(self, workspace_path: str, session: WorktreeSession) -> WorktreeSession:
        workspace = arguments.workspace_ref(workspace_path)
        stored = arguments.as_stored(session)
        with self._writing(workspace, "create a session", create=True) as (connection, workspace_id):
            if keys_of(connection, workspace_id, stored["id"]):
                raise arguments.session_exists(stored["id"])
            append_document(connection, stored, workspace_id=workspace_id, workspace_hash=workspace.hash)
        return stored

    def update_session(self, workspace_path: str, session: WorktreeSession) -> WorktreeSession:
        workspace = arguments.workspace_ref(workspace_path)
        stored = arguments.as_stored(session)
        with self._writing(workspace, "update a session") as (connection, workspace_id):
            replace_document(connection, _keys(connection, workspace_id, stored["id"])[0], stored)
        return stored

    def get_session(self, workspace_path: str, session_id: str) -> WorktreeSession:
        workspace = arguments.workspace_of_session(workspace_path, session_id)
        with self._reading(workspace, "read a session") as (connection, workspace_id):
            if workspace_id is None:
                raise arguments.workspace_not_found(workspace)
            return _document(connection, _keys(connection, workspace_id, session_id)[0])

    def get_all_sessions(self, workspace_path: str) -> list[WorktreeSession]:
        workspace = arguments.workspace_ref_or_none(workspace_path)
        if workspace is None:
            return []
        with self._reading(workspace, "read sessions") as (connection, workspace_id):
            if workspace_id is None:
                return []
            return [stored.document for stored in read_workspace(connection, workspace_id)]

    def delete_session(self, workspace_path: str, session_id: str) -> None:
        workspace = arguments.workspace_of_session(workspace_path, session_id)
        with self._writing(workspace, "delete a session") as (connection, workspace_id):
            for key in _keys(connection, workspace_id, session_id):
                delete_document(connection, key)

    def add_chat_message(
        self, workspace_path: str, session_id: str, message: ChatMessage, *, updated_at: str | None = None
    ) -> WorktreeSession:
        with self._adding(workspace_path, session_id, message, updated_at) as (connection, key):
            return _document(connection, key)

    def append_chat_message(
        self, workspace_path: str, session_id: str, message: ChatMessage, *, updated_at: str | None = None
    ) -> None:
        with self._adding(workspace_path, session_id, message, updated_at):
            pass  # the session is not read back

    @contextmanager
    def _adding(
        self, workspace_path: str, session_id: str, message: ChatMessage, updated_at: str | None
    ) -> Iterator[tuple[sqlite3.Connection, str]]:
        workspace = arguments.workspace_of_session(workspace_path, session_id)
        stored = arguments.message_as_stored(message)
        with self._editing(workspace, session_id, updated_at, "add a chat message") as (connection, key):
            append_message(connection, key, stored)
            yield connection, key

    def update_instance_status(
        self, workspace_path: str, session_id: str, instance_id: int, status: str, *, updated_at: str | None = None
    ) -> WorktreeSession:
        with self._setting(workspace_path, session_id, instance_id, status, updated_at) as (connection, key):
            return _document(connection, key)

    def set_instance_status(
        self, workspace_path: str, session_id: str, instance_id: int, status: str, *, updated_at: str | None = None
    ) -> None:
        with self._setting(workspace_path, session_id, instance_id, status, updated_at):
            pass  # the session is not read back

    @contextmanager
    def _setting(
        self, workspace_path: str, session_id: str, instance_id: int, status: str, updated_at: str | None
    ) -> Iterator[tuple[sqlite3.Connection, str]]:
        workspace = arguments.workspace_of_session(workspace_path, session_id)
        arguments.require_status(instance_id, status)
        with self._editing(workspace, session_id, updated_at, "set an instance's status") as (connection, key):
            row_id = find_instance(connection, key, instance_id)
            if row_id is None:
                raise arguments.instance_not_found(session_id, instance_id)
            connection.execute(queries.SET_INSTANCE_STATUS, (status, row_id))
            yield connection, key

    def search_sessions(self, workspace_path: str, filters: SessionFilters | None = None) -> list[WorktreeSession]:
        workspace = arguments.workspace_ref(workspace_path)
        filtering = Filtering(filters)
        with self._reading(workspace, "search sessions") as (connection, workspace_id):
            if workspace_id is None:
                return []
            summaries = read_summaries(
                connection,
                workspace_id,
                statuses=filtering.statuses,
                types=filtering.types,
                with_agents=filtering.text is not None,
            )
            chosen = filtering.apply(summaries)
            row_ids = json.dumps([summary["row_id"] for summary in chosen])
            stored = read_documents(connection, queries.CHOSEN_DOCUMENTS, row_ids)
            found = {each.key: each.document for each in stored}
        return [found[summary["key"]] for summary in chosen]

    def replace_workspace(self, workspace_path: str, documents: Iterable[WorktreeSession]) -> None:
        workspace = arguments.workspace_ref(workspace_path)
        replacements = arguments.valid_sessions(documents)
        with self._writing(workspace, "replace a workspace", create=True) as (connection, workspace_id):
            replace_all(connection, replacements, workspace_id=workspace_id, workspace_hash=workspace.hash)

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

    @contextmanager
    def _writing(
        self, workspace: WorkspaceRef, action: str, *, create: bool = False
    ) -> Iterator[tuple[sqlite3.Connection, int]]:
        """Lend a connection in a write transaction, with the workspace's row id."""
        with self._pool.connection() as connection, transaction(connection, self._path, action):
            if connection.execute(queries.STATUS).fetchone() == ("rolled_back",):
                raise StaleStoreError(
                    f"Cannot {action}: since this store was opened, a rollback has made the JSON files authoritative.",
                    code="store.rolled_back",
                    hint="Open the store again: open_storage() opens the authoritative one.",
                )
            if not create and find_workspace(connection, workspace.hash) is None:
                raise arguments.workspace_not_found(workspace)
            workspace_id = ensure_workspace(connection, workspace.hash, workspace.path)
            yield connection, workspace_id
            connection.execute(queries.TOUCH_WORKSPACE, (workspace_id,))

    @contextmanager
    def _editing(
        self, workspace: WorkspaceRef, session_id: str, updated_at: str | None, action: str
    ) -> Iterator[tuple[sqlite3.Connection, str]]:
        """Lend a connection in a write transaction that changes one session, with the session's key."""
        if updated_at is not None:
            arguments.require_text(updated_at, "A timestamp")
        with self._writing(workspace, action) as (connection, workspace_id):
            key = _keys(connection, workspace_id, session_id)[0]
            connection.execute(queries.SET_UPDATED_AT, (updated_at or timestamps.now(), key))
            yield connection, key


def _keys(connection: sqlite3.Connection, workspace_id: int, session_id: str) -> list[str]:
    """Return the primary keys of the sessions with this id; raise SessionNotFound if there are none."""
    keys = keys_of(connection, workspace_id, session_id)
    if not keys:
        raise arguments.session_not_found(session_id)
    return keys


def _document(connection: sqlite3.Connection, key: str) -> WorktreeSession:
    stored = read_document(connection, key)
    if stored is None:
        raise AssertionError("the key that this transaction just found has no row")
    return stored.document
