"""The store on the SQLite tables that the migration fills."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from operator import eq
from typing import TypeAlias, TypeVar

from migrator.database import queries
from migrator.database.connection import snapshot
from migrator.database.documents import (
    append_document,
    append_message,
    delete_document,
    find_instance,
    keys_of,
    read_documents,
    read_workspace,
    replace_all,
    replace_document,
)
from migrator.documents.document import ChatMessage, WorktreeSession
from migrator.hints import NamesCommands
from migrator.storage import arguments, timestamps
from migrator.storage.arguments import SessionRef, WorkspaceRef
from migrator.storage.filtering import Filtering
from migrator.storage.lists import queries as list_queries
from migrator.storage.lists.paging import RowPlace, iterated_filtering, page_filtering, row_place
from migrator.storage.lists.rows import find_sessions, read_summaries
from migrator.storage.lists.summaries import SessionSummary, WorkspaceSummary
from migrator.storage.protocol import MirrorableStorage, SessionFilters
from migrator.storage.sqlite_access import Comparison, SqliteAccess, document_of
from migrator.workspace import is_placeholder

_T = TypeVar("_T")
_Read: TypeAlias = Callable[[sqlite3.Connection, str], _T]


class SqliteStorage(NamesCommands, SqliteAccess, MirrorableStorage):
    """Sessions in an SQLite database; its methods are described in SessionStorage, its parameters in SqliteAccess.

    Several threads and processes may use it, also after a fork. If another SQLite library in this process removes the
    log, a write that only that log has is made again. Missing schema steps are applied when the store is opened.
    """

    def create_session(self, workspace_path: str, session: WorktreeSession) -> WorktreeSession:
        return self._create(arguments.workspace_ref(workspace_path), [arguments.as_stored(session)])[0]

    def create_sessions(self, workspace_path: str, sessions: Iterable[WorktreeSession]) -> list[WorktreeSession]:
        workspace, stored = arguments.workspace_ref(workspace_path), arguments.all_as_stored(sessions)
        return self._create(workspace, stored) if stored else []

    def _create(self, workspace: WorkspaceRef, stored: list[WorktreeSession]) -> list[WorktreeSession]:
        def create(connection: sqlite3.Connection, workspace_id: int) -> None:
            for session in stored:
                if keys_of(connection, workspace_id, session["id"]):
                    raise arguments.session_exists(session["id"])
                append_document(connection, session, workspace_id=workspace_id, workspace_hash=workspace.hash)

        only = stored[0]["id"] if len(stored) == 1 else None
        self._write(workspace, only, "create a session", create, create=True)
        return stored

    def update_session(
        self,
        workspace_path: str,
        session: WorktreeSession,
        *,
        expected: WorktreeSession | None = None,
        ordinal: int = 0,
    ) -> WorktreeSession:
        stored = arguments.as_stored(session)
        found = arguments.session_ref(workspace_path, stored["id"], ordinal)
        before = arguments.expected_as_stored(expected, stored["id"])

        def update(connection: sqlite3.Connection, workspace_id: int) -> None:
            key = _key(connection, workspace_id, found)
            if before is not None:
                arguments.require_unchanged(before, document_of(connection, key))
            replace_document(connection, key, stored)

        self._write(found.workspace, found.id, "update a session", update)
        return stored

    def get_session(self, workspace_path: str, session_id: str, *, ordinal: int = 0) -> WorktreeSession:
        session = arguments.session_ref(workspace_path, session_id, ordinal)
        with self._reading(session.workspace, "read a session") as (connection, workspace_id):
            if workspace_id is None:
                raise arguments.workspace_not_found(session.workspace)
            return document_of(connection, _key(connection, workspace_id, session))

    def get_all_sessions(self, workspace_path: str) -> list[WorktreeSession]:
        workspace = arguments.workspace_ref_or_none(workspace_path)
        if workspace is None:
            return []
        with self._reading(workspace, "read sessions") as (connection, workspace_id):
            if workspace_id is None:
                return []
            return [stored.document for stored in read_workspace(connection, workspace_id)]

    def iter_sessions(self, workspace_path: str, filters: SessionFilters | None = None) -> Iterator[WorktreeSession]:
        workspace = arguments.workspace_ref(workspace_path)
        return self._each(workspace, iterated_filtering(filters))

    def _each(self, workspace: WorkspaceRef, filtering: Filtering) -> Iterator[WorktreeSession]:
        """Yield each session, read in a transaction of its own: the caller may take its time, and write meanwhile."""
        place: RowPlace | None = None
        newest = 0
        while True:
            with self._reading(workspace, "read a session") as (connection, workspace_id):
                if workspace_id is None:
                    return
                if place is None:
                    newest = connection.execute(list_queries.NEWEST_ROW).fetchone()[0]
                found = find_sessions(connection, workspace_id, filtering, place, 1)
                # A loop that creates sessions would never end if they came as well.
                documents = [document_of(connection, each.key) for each in found if each.row_id <= newest]
            if not found:
                return
            place = RowPlace(found[0].position, found[0].row_id)
            if documents:
                yield documents.pop()

    def list_sessions(
        self,
        workspace_path: str,
        filters: SessionFilters | None = None,
        *,
        after: str | None = None,
        limit: int | None = None,
    ) -> list[SessionSummary]:
        workspace = arguments.workspace_ref(workspace_path)
        filtering, place = page_filtering(filters, after, limit), row_place(workspace.hash, after)
        with self._reading(workspace, "list sessions") as (connection, workspace_id):
            if workspace_id is None:
                return []
            return read_summaries(connection, (workspace_id, workspace.hash), filtering, place, limit)

    def list_each(self, paths: Iterable[str], filters: SessionFilters | None = None) -> Iterator[list[SessionSummary]]:
        """Yield the list of each workspace, as list_sessions returns it; all are of one moment.

        One transaction for all takes a quarter of the time that one for each takes.
        """
        filtering = Filtering(filters)
        with self._pool.connection() as connection, snapshot(connection, self._path, "list sessions"):
            row_ids = {name: row_id for row_id, name, _ in connection.execute(queries.ALL_WORKSPACES)}
            for path in paths:
                name = arguments.workspace_ref(path).hash
                yield read_summaries(connection, (row_ids[name], name), filtering) if name in row_ids else []

    def list_workspaces(self) -> list[WorkspaceSummary]:
        with self._pool.connection() as connection, snapshot(connection, self._path, "list workspaces"):
            return [
                WorkspaceSummary(
                    name, None if is_placeholder(path) else path, timestamps.of_sqlite(accessed), count, "sqlite"
                )
                for name, path, accessed, count in connection.execute(list_queries.WORKSPACES)
            ]

    def search_sessions(self, workspace_path: str, filters: SessionFilters | None = None) -> list[WorktreeSession]:
        workspace = arguments.workspace_ref(workspace_path)
        filtering = Filtering(filters)
        with self._reading(workspace, "search sessions") as (connection, workspace_id):
            if workspace_id is None:
                return []
            chosen = find_sessions(connection, workspace_id, filtering)
            stored = read_documents(
                connection, queries.CHOSEN_DOCUMENTS, json.dumps([place.row_id for place in chosen])
            )
            found = {each.key: each.document for each in stored}
        return [found[place.key] for place in chosen]

    def delete_session(self, workspace_path: str, session_id: str, *, ordinal: int | None = None) -> None:
        session = arguments.session_ref(workspace_path, session_id, 0 if ordinal is None else ordinal)

        def delete(connection: sqlite3.Connection, workspace_id: int) -> None:
            first = _key(connection, workspace_id, session)
            for key in keys_of(connection, workspace_id, session_id) if ordinal is None else [first]:
                delete_document(connection, key)

        self._write(session.workspace, session_id, "delete a session", delete)

    def add_chat_message(
        self,
        workspace_path: str,
        session_id: str,
        message: ChatMessage,
        *,
        ordinal: int = 0,
        updated_at: str | None = None,
    ) -> WorktreeSession:
        session = arguments.session_ref(workspace_path, session_id, ordinal)
        return self._add_message(session, message, updated_at, document_of)

    def append_chat_message(
        self,
        workspace_path: str,
        session_id: str,
        message: ChatMessage,
        *,
        ordinal: int = 0,
        updated_at: str | None = None,
    ) -> None:
        session = arguments.session_ref(workspace_path, session_id, ordinal)
        self._add_message(session, message, updated_at, _nothing)  # the session is not read back

    def _add_message(self, session: SessionRef, message: ChatMessage, updated_at: str | None, read: _Read[_T]) -> _T:
        stored = arguments.message_as_stored(message)

        def add(connection: sqlite3.Connection, key: str) -> _T:
            append_message(connection, key, stored)
            return read(connection, key)

        has_it = partial(_has_last_message, session.ordinal)
        return self._edit(session, updated_at, "add a chat message", add, has_it)

    def update_instance_status(
        self,
        workspace_path: str,
        session_id: str,
        instance_id: int,
        status: str,
        *,
        ordinal: int = 0,
        updated_at: str | None = None,
    ) -> WorktreeSession:
        session = arguments.session_ref(workspace_path, session_id, ordinal)
        return self._set_status(session, instance_id, status, updated_at, document_of)

    def set_instance_status(
        self,
        workspace_path: str,
        session_id: str,
        instance_id: int,
        status: str,
        *,
        ordinal: int = 0,
        updated_at: str | None = None,
    ) -> None:
        session = arguments.session_ref(workspace_path, session_id, ordinal)
        self._set_status(session, instance_id, status, updated_at, _nothing)

    def _set_status(
        self, session: SessionRef, instance_id: int, status: str, updated_at: str | None, read: _Read[_T]
    ) -> _T:
        arguments.require_status(instance_id, status)

        def set_status(connection: sqlite3.Connection, key: str) -> _T:
            row_id = find_instance(connection, key, instance_id)
            if row_id is None:
                raise arguments.instance_not_found(session.id, instance_id)
            connection.execute(queries.SET_INSTANCE_STATUS, (status, row_id))
            return read(connection, key)

        return self._edit(session, updated_at, "set an instance's status", set_status)

    def replace_workspace(self, workspace_path: str, documents: Iterable[WorktreeSession]) -> None:
        workspace = arguments.workspace_ref(workspace_path)
        replacements = arguments.valid_sessions(documents)

        def replace(connection: sqlite3.Connection, workspace_id: int) -> None:
            replace_all(connection, replacements, workspace_id=workspace_id, workspace_hash=workspace.hash)

        self._write(workspace, None, "replace a workspace", replace, create=True)

    def _edit(
        self,
        session: SessionRef,
        updated_at: str | None,
        action: str,
        change: _Read[_T],
        has_it: Comparison = eq,
    ) -> _T:
        """Change one session in a transaction; ``change`` is called with the connection and the session's key."""
        if updated_at is not None:
            arguments.require_text(updated_at, "A timestamp")

        def edit(connection: sqlite3.Connection, workspace_id: int) -> _T:
            key = _key(connection, workspace_id, session)
            connection.execute(queries.SET_UPDATED_AT, (updated_at or timestamps.now(), key))
            return change(connection, key)

        return self._write(session.workspace, session.id, action, edit, has_it)


def _has_last_message(ordinal: int, written: list[WorktreeSession], found: list[WorktreeSession]) -> bool:
    """Return whether the message that was appended to a session is there, whatever was written after it."""
    ours = written[ordinal]["chatHistory"][-1]

    def count(sessions: list[WorktreeSession]) -> int:
        return sum(message == ours for one in sessions for message in one["chatHistory"])

    return count(found) >= count(written)


def _key(connection: sqlite3.Connection, workspace_id: int, session: SessionRef) -> str:
    """Return the primary key of a session; raise SessionNotFound if there is none."""
    keys = keys_of(connection, workspace_id, session.id)
    if session.ordinal >= len(keys):
        raise arguments.session_not_found(session)
    return keys[session.ordinal]


def _nothing(connection: sqlite3.Connection, key: str) -> None:
    """Read nothing: the caller does not ask for the session."""
