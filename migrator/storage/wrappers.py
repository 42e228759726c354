"""Stores that forward every call to another store, chosen by the workspace."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from migrator.documents.document import ChatMessage, WorktreeSession
from migrator.errors import StaleStoreError
from migrator.storage.arguments import workspace_ref
from migrator.storage.protocol import SessionFilters, SessionStorage


class ForwardingStorage(SessionStorage):
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

    def update_session(self, workspace_path: str, session: WorktreeSession) -> WorktreeSession:
        return self.writer(workspace_path).update_session(workspace_path, session)

    def get_session(self, workspace_path: str, session_id: str) -> WorktreeSession:
        return self.reader(workspace_path).get_session(workspace_path, session_id)

    def get_all_sessions(self, workspace_path: str) -> list[WorktreeSession]:
        return self.reader(workspace_path).get_all_sessions(workspace_path)

    def delete_session(self, workspace_path: str, session_id: str) -> None:
        self.writer(workspace_path).delete_session(workspace_path, session_id)

    def add_chat_message(self, workspace_path: str, session_id: str, message: ChatMessage) -> WorktreeSession:
        return self.writer(workspace_path).add_chat_message(workspace_path, session_id, message)

    def append_chat_message(self, workspace_path: str, session_id: str, message: ChatMessage) -> None:
        self.writer(workspace_path).append_chat_message(workspace_path, session_id, message)

    def update_instance_status(
        self, workspace_path: str, session_id: str, instance_id: int, status: str
    ) -> WorktreeSession:
        return self.writer(workspace_path).update_instance_status(workspace_path, session_id, instance_id, status)

    def set_instance_status(self, workspace_path: str, session_id: str, instance_id: int, status: str) -> None:
        self.writer(workspace_path).set_instance_status(workspace_path, session_id, instance_id, status)

    def search_sessions(self, workspace_path: str, filters: SessionFilters) -> list[WorktreeSession]:
        return self.reader(workspace_path).search_sessions(workspace_path, filters)

    def close(self) -> None:
        for store in self._stores:
            store.close()


class FallbackStorage(ForwardingStorage):
    """Uses SQLite for migrated workspaces, and the JSON files for workspaces whose file could not be migrated.

    :param failed: returns whether a workspace's file failed, given its hash
    """

    def __init__(self, migrated: SessionStorage, json_files: SessionStorage, failed: Callable[[str], bool]) -> None:
        super().__init__(migrated, json_files)
        self._migrated = migrated
        self._json_files = json_files
        self._failed = failed

    def reader(self, workspace_path: str) -> SessionStorage:
        if workspace_path.strip() and self._failed(workspace_ref(workspace_path).hash):
            return self._json_files
        return self._migrated


class ReadOnly(ForwardingStorage):
    """A store that can only be read: it is not authoritative, or was opened read-only.

    :param refusal: why it cannot be written to, and what to do
    """

    def __init__(self, store: SessionStorage, refusal: StaleStoreError) -> None:
        super().__init__(store)
        self._refusal = refusal

    def reader(self, workspace_path: str) -> SessionStorage:  # noqa: ARG002 - one store for all
        return self._stores[0]

    def writer(self, workspace_path: str) -> NoReturn:
        raise StaleStoreError(
            f"Cannot write to {workspace_path!r}: {self._refusal.message}",
            code=self._refusal.code,
            hint=self._refusal.hint,
        )
