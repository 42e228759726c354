"""The store on the app's JSON files: one file per workspace with the app's names and format, but locked and atomic.

A file that cannot be read, or contains an invalid session, is an error, never an empty list; it is not overwritten.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from migrator.data_dir import DataDir
from migrator.documents.app_format import Element, app_file
from migrator.documents.array_reader import read_array
from migrator.documents.document import ChatMessage, WorktreeInstance, WorktreeSession, normal_form
from migrator.documents.parsing import Reading, parse_session
from migrator.errors import ConnectionFailed, SourceFileError, StorageIOError, ValidationError
from migrator.files import durable
from migrator.files.locks import locked
from migrator.files.os_errors import os_errors
from migrator.storage import arguments, timestamps
from migrator.storage.arguments import WorkspaceRef
from migrator.storage.filtering import Filtering
from migrator.storage.protocol import MirrorableStorage, SessionFilters

LOCK_TIMEOUT = 3.0  # seconds


class JsonStorage(MirrorableStorage):
    """Sessions in ``sessions/<hash>.json``; its methods are described in SessionStorage.

    :param lock_timeout: seconds to wait for another program that changes the same workspace
    """

    def __init__(self, data_dir: DataDir, *, lock_timeout: float = LOCK_TIMEOUT) -> None:
        self._data_dir = data_dir
        self._lock_timeout = lock_timeout
        self._closed = False

    def create_session(self, workspace_path: str, session: WorktreeSession) -> WorktreeSession:
        workspace = arguments.workspace_ref(workspace_path)
        stored = arguments.as_stored(session)
        with self._changing(workspace, create=True) as documents:
            if any(document["id"] == stored["id"] for document in documents):
                raise arguments.session_exists(stored["id"])
            documents.append(stored)
        return stored

    def update_session(self, workspace_path: str, session: WorktreeSession) -> WorktreeSession:
        workspace = arguments.workspace_ref(workspace_path)
        stored = arguments.as_stored(session)
        with self._changing(workspace) as documents:
            documents[_first(documents, stored["id"])] = stored
        return stored

    def get_session(self, workspace_path: str, session_id: str) -> WorktreeSession:
        workspace = arguments.workspace_of_session(workspace_path, session_id)
        documents = self._read(workspace)
        if documents is None:
            raise arguments.workspace_not_found(workspace)
        return normal_form(documents[_first(documents, session_id)])

    def get_all_sessions(self, workspace_path: str) -> list[WorktreeSession]:
        workspace = arguments.workspace_ref_or_none(workspace_path)
        documents = self._read(workspace) if workspace else None
        return [normal_form(document) for document in documents or ()]

    def delete_session(self, workspace_path: str, session_id: str) -> None:
        workspace = arguments.workspace_of_session(workspace_path, session_id)
        with self._changing(workspace) as documents:
            _first(documents, session_id)
            documents[:] = [document for document in documents if document["id"] != session_id]

    def add_chat_message(
        self, workspace_path: str, session_id: str, message: ChatMessage, *, updated_at: str | None = None
    ) -> WorktreeSession:
        workspace = arguments.workspace_of_session(workspace_path, session_id)
        stored = arguments.message_as_stored(message)
        with self._editing(workspace, session_id, updated_at) as document:
            document["chatHistory"] = [*document["chatHistory"], stored]
        return normal_form(document)

    def append_chat_message(
        self, workspace_path: str, session_id: str, message: ChatMessage, *, updated_at: str | None = None
    ) -> None:
        self.add_chat_message(workspace_path, session_id, message, updated_at=updated_at)

    def update_instance_status(
        self, workspace_path: str, session_id: str, instance_id: int, status: str, *, updated_at: str | None = None
    ) -> WorktreeSession:
        workspace = arguments.workspace_of_session(workspace_path, session_id)
        arguments.require_status(instance_id, status)
        with self._editing(workspace, session_id, updated_at) as document:
            instances = document["instances"]
            index = next((at for at, each in enumerate(instances) if each["instanceId"] == instance_id), None)
            if index is None:
                raise arguments.instance_not_found(session_id, instance_id)
            changed: WorktreeInstance = {**instances[index], "status": status}
            document["instances"] = [*instances[:index], changed, *instances[index + 1 :]]
        return normal_form(document)

    def set_instance_status(
        self, workspace_path: str, session_id: str, instance_id: int, status: str, *, updated_at: str | None = None
    ) -> None:
        self.update_instance_status(workspace_path, session_id, instance_id, status, updated_at=updated_at)

    def search_sessions(self, workspace_path: str, filters: SessionFilters | None = None) -> list[WorktreeSession]:
        documents = self._read(arguments.workspace_ref(workspace_path))
        return [normal_form(document) for document in Filtering(filters).apply(documents or ())]

    def replace_workspace(self, workspace_path: str, documents: Iterable[WorktreeSession]) -> None:
        workspace = arguments.workspace_ref(workspace_path)
        replacements = arguments.valid_sessions(documents)
        with self._changing(workspace, create=True, discard=True) as present:
            present[:] = replacements

    def close(self) -> None:
        self._closed = True

    @contextmanager
    def _editing(self, workspace: WorkspaceRef, session_id: str, updated_at: str | None) -> Iterator[WorktreeSession]:
        """Let the block change the first session with this id, then write it."""
        if updated_at is not None:
            arguments.require_text(updated_at, "A timestamp")
        with self._changing(workspace) as documents:
            index = _first(documents, session_id)
            document: WorktreeSession = {**normal_form(documents[index])}  # a copy: the one in the list stays unchanged
            yield document
            document["updatedAt"] = updated_at or timestamps.now()
            documents[index] = normal_form(document)

    @contextmanager
    def _changing(
        self, workspace: WorkspaceRef, *, create: bool = False, discard: bool = False
    ) -> Iterator[list[WorktreeSession]]:
        """Let the block change the documents of a workspace, then write them, unless it raises.

        :param discard: the block replaces all documents
        """
        self._require_open()
        path = self._data_dir.locks / f"{workspace.hash}.lock"
        durable.make_private_folder(path.parent)
        with ExitStack() as stack:
            with os_errors("lock", path):
                is_held = stack.enter_context(locked(path, self._lock_timeout))
            if not is_held:
                raise ConnectionFailed(
                    f"Another program has been changing {self._path(workspace)} for {self._lock_timeout:g} seconds.",
                    code="workspace.locked",
                    hint="Nothing was changed. Try again in a moment, or close the other program.",
                )
            found = self._read_replaceable(workspace) if discard else self._read(workspace)
            if found is None and not create:
                raise arguments.workspace_not_found(workspace)
            documents = [*found] if found else []
            yield documents
            self._replace(workspace, found, documents)

    def _replace(
        self,
        workspace: WorkspaceRef,
        found: list[WorktreeSession] | None,  # noqa: ARG002 - the file's current documents, for subclasses
        documents: list[WorktreeSession],
    ) -> None:
        durable.replace(self._target(workspace), app_file(documents))

    def _read_replaceable(self, workspace: WorkspaceRef) -> list[WorktreeSession] | None:
        """Read the documents of a file that is about to be replaced."""
        return self._read(workspace)

    def _target(self, workspace: WorkspaceRef) -> Path:
        """Return the file to write, after creating its folder."""
        target = Path(os.path.realpath(self._path(workspace)))  # a symbolic link stays one
        durable.make_private_folder(target.parent)
        return target

    def _path(self, workspace: WorkspaceRef) -> Path:
        return self._data_dir.sessions / f"{workspace.hash}.json"

    def _read(self, workspace: WorkspaceRef) -> list[WorktreeSession] | None:
        """Read every document of a workspace's file, in order; None if there is no file."""
        self._require_open()
        path = self._path(workspace)
        with os_errors("read", path):
            try:
                with open(path, "rb", buffering=0) as file:
                    return [_session(element, path) for element in read_array(file)]
            except FileNotFoundError:
                return None
            except SourceFileError as error:
                raise StorageIOError(
                    f"Cannot read {path}: {error.message}",
                    code=error.code,
                    hint="The file was not changed. 'migrator migrate --salvage' migrates its complete sessions.",
                ) from error

    def _require_open(self) -> None:
        if self._closed:
            raise ConnectionFailed("This store is closed.", code="store.closed", hint="Open it again.")


def _session(element: Element, path: Path) -> WorktreeSession:
    parsed = parse_session(element.raw, element.value)
    if isinstance(parsed, Reading):
        session: WorktreeSession = parsed.value
        return session
    reasons = [reason._replace(pointer=f"/{element.position}{reason.pointer}") for reason in parsed.problems]
    raise ValidationError(
        f"The session at index {element.position} of {path} is invalid: {'; '.join(map(str, reasons[:5]))}.",
        reasons,
        code="session.invalid",
        hint="The file was not changed. 'migrator migrate' migrates the valid sessions and quarantines the others.",
    )


def _first(documents: list[WorktreeSession], session_id: str) -> int:
    """Return the index of the first document with this id."""
    for index, document in enumerate(documents):
        if document["id"] == session_id:
            return index
    raise arguments.session_not_found(session_id)
