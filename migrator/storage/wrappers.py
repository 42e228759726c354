"""Stores that forward every call to another store, chosen by the workspace."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NoReturn

from migrator.documents.document import ChatMessage, WorktreeSession
from migrator.errors import StaleStoreError
from migrator.hints import NamesCommands
from migrator.storage.arguments import workspace_ref_or_none
from migrator.storage.json_files import JsonStorage
from migrator.storage.lists.summaries import SessionSummary, WorkspaceSummary
from migrator.storage.protocol import SessionFilters, SessionStorage


class ForwardingStorage(NamesCommands, SessionStorage):
    """Forwards each operation to the store that :meth:`reader` or :meth:`writer` returns for the workspace."""

    def __init__(self, *stores: SessionStorage) -> None:
        self._stores = stores

    def reader(self, workspace_path: str) -> SessionStorage:
        """Return the store to read this workspace from."""
        raise NotImplementedError

    def writer(self, workspace_path: str) -> SessionStorage:
        """Return the store to write this workspace to."""
        return self.reader(workspace_path)

    def create_session(self, workspace_path: str, session: WorktreeSession) -> WorktreeSession:
        return self.writer(workspace_path).create_session(workspace_path, session)

    def create_sessions(self, workspace_path: str, sessions: Iterable[WorktreeSession]) -> list[WorktreeSession]:
        return self.writer(workspace_path).create_sessions(workspace_path, sessions)

    def update_session(
        self,
        workspace_path: str,
        session: WorktreeSession,
        *,
        expected: WorktreeSession | None = None,
        ordinal: int = 0,
    ) -> WorktreeSession:
        store = self.writer(workspace_path)
        return store.update_session(workspace_path, session, expected=expected, ordinal=ordinal)

    def get_session(self, workspace_path: str, session_id: str, *, ordinal: int = 0) -> WorktreeSession:
        return self.reader(workspace_path).get_session(workspace_path, session_id, ordinal=ordinal)

    def get_all_sessions(self, workspace_path: str) -> list[WorktreeSession]:
        return self.reader(workspace_path).get_all_sessions(workspace_path)

    def iter_sessions(self, workspace_path: str, filters: SessionFilters | None = None) -> Iterator[WorktreeSession]:
        return self.reader(workspace_path).iter_sessions(workspace_path, filters)

    def list_sessions(
        self,
        workspace_path: str,
        filters: SessionFilters | None = None,
        *,
        after: str | None = None,
        limit: int | None = None,
    ) -> list[SessionSummary]:
        return self.reader(workspace_path).list_sessions(workspace_path, filters, after=after, limit=limit)

    def delete_session(self, workspace_path: str, session_id: str, *, ordinal: int | None = None) -> None:
        self.writer(workspace_path).delete_session(workspace_path, session_id, ordinal=ordinal)

    def add_chat_message(
        self, workspace_path: str, session_id: str, message: ChatMessage, *, ordinal: int = 0
    ) -> WorktreeSession:
        return self.writer(workspace_path).add_chat_message(workspace_path, session_id, message, ordinal=ordinal)

    def append_chat_message(
        self, workspace_path: str, session_id: str, message: ChatMessage, *, ordinal: int = 0
    ) -> None:
        self.writer(workspace_path).append_chat_message(workspace_path, session_id, message, ordinal=ordinal)

    def update_instance_status(
        self, workspace_path: str, session_id: str, instance_id: int, status: str, *, ordinal: int = 0
    ) -> WorktreeSession:
        store = self.writer(workspace_path)
        return store.update_instance_status(workspace_path, session_id, instance_id, status, ordinal=ordinal)

    def set_instance_status(
        self, workspace_path: str, session_id: str, instance_id: int, status: str, *, ordinal: int = 0
    ) -> None:
        store = self.writer(workspace_path)
        store.set_instance_status(workspace_path, session_id, instance_id, status, ordinal=ordinal)

    def search_sessions(self, workspace_path: str, filters: SessionFilters | None = None) -> list[WorktreeSession]:
        return self.reader(workspace_path).search_sessions(workspace_path, filters)

    def close(self) -> None:
        for store in self._stores:
            store.close()


def reader_of(store: SessionStorage, workspace_path: str) -> SessionStorage:
    """Return the store that a workspace is read from in the end."""
    while isinstance(store, ForwardingStorage):
        store = store.reader(workspace_path)
    return store


class FallbackStorage(ForwardingStorage):
    """Uses SQLite for migrated workspaces, and the JSON files for workspaces whose file could not be migrated.

    :param failed: returns whether a workspace's file failed, given its hash
    """

    def __init__(self, migrated: SessionStorage, json_files: JsonStorage, failed: Callable[[str], bool]) -> None:
        super().__init__(migrated, json_files)
        self._migrated = migrated
        self._json_files = json_files
        self._failed = failed

    def list_workspaces(self) -> list[WorkspaceSummary]:
        migrated = [each for each in self._migrated.list_workspaces() if not self._failed(each.hash)]
        return sorted([*migrated, *self._json_files.list_workspaces(self._failed)])

    def reader(self, workspace_path: str) -> SessionStorage:
        workspace = workspace_ref_or_none(workspace_path)  # a store decides what a blank path means
        return self._json_files if workspace and self._failed(workspace.hash) else self._migrated


class ReadOnly(ForwardingStorage):
    """A store that can only be read: it is not authoritative, or was opened read-only.

    :param refusal: why it cannot be written to, and what to do
    """

    def __init__(self, store: SessionStorage, refusal: StaleStoreError) -> None:
        super().__init__(store)
        self._refusal = refusal

    def list_workspaces(self) -> list[WorkspaceSummary]:
        return self._stores[0].list_workspaces()

    def reader(self, workspace_path: str) -> SessionStorage:  # noqa: ARG002 - one store for all
        return self._stores[0]

    def writer(self, workspace_path: str) -> NoReturn:
        raise StaleStoreError(
            f"Cannot write to {workspace_path!r}: {self._refusal.message}",
            code=self._refusal.code,
            hint=self._refusal.hint,
        )
