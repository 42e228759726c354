"""The store on the app's JSON files: one file per workspace with the app's names and format, but locked and atomic.

A file that cannot be read, or contains an invalid session, is an error, never an empty list; it is not overwritten.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from migrator.data_dir import DataDir
from migrator.documents.app_format import Element, app_file
from migrator.documents.array_reader import read_array
from migrator.documents.document import ChatMessage, WorktreeInstance, WorktreeSession, normal_form
from migrator.documents.parsing import Reading, parse_session
from migrator.errors import ConnectionFailed, SourceFileError, StaleStoreError, StorageIOError, ValidationError
from migrator.files import copying, durable, replacing
from migrator.files.os_errors import os_errors
from migrator.files.reading import opened, tee
from migrator.files.replacing import Seen
from migrator.hints import NamesCommands
from migrator.locking import LOCK_TIMEOUT, file_locked
from migrator.storage import arguments, timestamps
from migrator.storage.arguments import SessionRef, WorkspaceRef
from migrator.storage.filtering import Filtering
from migrator.storage.lists.paging import FilePlaces, iterated_filtering, page_filtering
from migrator.storage.lists.summaries import SessionSummary, WorkspaceSummary, ordinals_of, summary_of
from migrator.storage.migrated import JsonWorkspaces
from migrator.storage.protocol import MirrorableStorage, SessionFilters
from migrator.workspace import HASH_PATTERN, prove_path

_INDEX = " index"  # not the name of a member that filters look at


class JsonStorage(NamesCommands, MirrorableStorage):
    """Sessions in ``sessions/<hash>.json``; its methods are described in SessionStorage.

    :param lock_timeout: seconds to wait for another program that changes the same workspace; None means LOCK_TIMEOUT
    """

    def __init__(self, data_dir: DataDir, *, lock_timeout: float | None = None) -> None:
        self._data_dir = data_dir
        self._lock_timeout = LOCK_TIMEOUT if lock_timeout is None else lock_timeout
        self._authoritative = JsonWorkspaces(data_dir)
        self._closed = False

    def create_session(self, workspace_path: str, session: WorktreeSession) -> WorktreeSession:
        return self._create(arguments.workspace_ref(workspace_path), [arguments.as_stored(session)])[0]

    def create_sessions(self, workspace_path: str, sessions: Iterable[WorktreeSession]) -> list[WorktreeSession]:
        workspace, stored = arguments.workspace_ref(workspace_path), arguments.all_as_stored(sessions)
        return self._create(workspace, stored) if stored else []

    def _create(self, workspace: WorkspaceRef, stored: list[WorktreeSession]) -> list[WorktreeSession]:
        with self._changing(workspace, create=True) as documents:
            present = {document["id"] for document in documents}
            for session in stored:
                if session["id"] in present:
                    raise arguments.session_exists(session["id"])
            documents.extend(stored)
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
        place = arguments.session_ref(workspace_path, stored["id"], ordinal)
        before = arguments.expected_as_stored(expected, stored["id"])
        with self._changing(place.workspace) as documents:
            index = _index(documents, place)
            if before is not None:
                arguments.require_unchanged(before, documents[index])
            documents[index] = stored
        return stored

    def get_session(self, workspace_path: str, session_id: str, *, ordinal: int = 0) -> WorktreeSession:
        session = arguments.session_ref(workspace_path, session_id, ordinal)
        documents = self._read(session.workspace)
        if documents is None:
            raise arguments.workspace_not_found(session.workspace)
        return normal_form(documents[_index(documents, session)])

    def get_all_sessions(self, workspace_path: str) -> list[WorktreeSession]:
        workspace = arguments.workspace_ref_or_none(workspace_path)
        documents = self._read(workspace) if workspace else None
        return [normal_form(document) for document in documents or ()]

    def iter_sessions(self, workspace_path: str, filters: SessionFilters | None = None) -> Iterator[WorktreeSession]:
        workspace, filtering = arguments.workspace_ref(workspace_path), iterated_filtering(filters)
        self._require_open()
        return map(normal_form, filter(filtering.matches, self._stream(self._path(workspace))))

    def list_sessions(
        self,
        workspace_path: str,
        filters: SessionFilters | None = None,
        *,
        after: str | None = None,
        limit: int | None = None,
    ) -> list[SessionSummary]:
        workspace = arguments.workspace_ref(workspace_path)
        filtering = page_filtering(filters, after, limit)
        documents = self._read(workspace) or []
        places = FilePlaces(workspace.hash, documents)
        ordinals = ordinals_of(document["id"] for document in documents)
        begin = places.find(after)
        numbered: Iterator[dict[str, Any]] = (
            {**document, _INDEX: index} for index, document in enumerate(documents[begin:], begin)
        )
        chosen = [one[_INDEX] for one in filtering.apply(numbered, limit)]
        return [summary_of(documents[index], ordinals[index], places.cursor(index + 1)) for index in chosen]

    def list_workspaces(self, only: Callable[[str], bool] = lambda _: True) -> list[WorkspaceSummary]:
        """List the workspaces, as SessionStorage says.

        :param only: list only those with a hash for which it is true
        """
        self._require_open()
        folder = self._data_dir.sessions
        with os_errors("list", folder):
            try:
                names = sorted(name.removesuffix(".json") for name in os.listdir(folder) if name.endswith(".json"))
            except FileNotFoundError:
                names = []
        return [self._summary_of(name) for name in names if HASH_PATTERN.fullmatch(name) and only(name)]

    def _summary_of(self, workspace_hash: str) -> WorkspaceSummary:
        count, path = 0, None
        tried: set[str] = set()
        try:
            for document in self._stream(self._file(workspace_hash)):
                count += 1
                worktrees = (instance["worktreePath"] for instance in document["instances"])
                path = path or prove_path(workspace_hash, worktrees, tried)
        except (StorageIOError, ValidationError):
            return WorkspaceSummary(workspace_hash, path, None, None, "json")  # reading its sessions says why
        return WorkspaceSummary(workspace_hash, path, None, count, "json")

    def delete_session(self, workspace_path: str, session_id: str, *, ordinal: int | None = None) -> None:
        session = arguments.session_ref(workspace_path, session_id, 0 if ordinal is None else ordinal)
        with self._changing(session.workspace) as documents:
            index = _index(documents, session)
            if ordinal is None:
                documents[:] = [document for document in documents if document["id"] != session_id]
            else:
                del documents[index]

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
        stored = arguments.message_as_stored(message)
        with self._editing(session, updated_at) as document:
            document["chatHistory"] = [*document["chatHistory"], stored]
        return normal_form(document)

    def append_chat_message(
        self,
        workspace_path: str,
        session_id: str,
        message: ChatMessage,
        *,
        ordinal: int = 0,
        updated_at: str | None = None,
    ) -> None:
        self.add_chat_message(workspace_path, session_id, message, ordinal=ordinal, updated_at=updated_at)

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
        arguments.require_status(instance_id, status)
        with self._editing(session, updated_at) as document:
            instances = document["instances"]
            index = next((at for at, each in enumerate(instances) if each["instanceId"] == instance_id), None)
            if index is None:
                raise arguments.instance_not_found(session_id, instance_id)
            changed: WorktreeInstance = {**instances[index], "status": status}
            document["instances"] = [*instances[:index], changed, *instances[index + 1 :]]
        return normal_form(document)

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
        self.update_instance_status(
            workspace_path, session_id, instance_id, status, ordinal=ordinal, updated_at=updated_at
        )

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
    def _editing(self, session: SessionRef, updated_at: str | None) -> Iterator[WorktreeSession]:
        """Let the block change a session, then write it."""
        if updated_at is not None:
            arguments.require_text(updated_at, "A timestamp")
        with self._changing(session.workspace) as documents:
            index = _index(documents, session)
            document: WorktreeSession = {**normal_form(documents[index])}  # a copy: the one in the list stays unchanged
            yield document
            document["updatedAt"] = updated_at or timestamps.now()
            documents[index] = normal_form(document)

    @contextmanager
    def _changing(
        self,
        workspace: WorkspaceRef,
        *,
        create: bool = False,
        discard: bool = False,  # noqa: ARG002 - for subclasses: the block replaces all documents
    ) -> Iterator[list[WorktreeSession]]:
        """Let the block change the documents of a workspace, then write them, unless it raises.

        :raises StaleStoreError: the file is not authoritative any more
        """
        self._require_open()
        with file_locked(self._data_dir, self._path(workspace), self._lock_timeout):
            self._authoritative.require(workspace.hash)
            seen = replacing.see(self._path(workspace))
            found = self._read(workspace)
            if found is None and not create:
                raise arguments.workspace_not_found(workspace)
            documents = [*found] if found else []
            yield documents
            self._replace(workspace, *self._prepare(workspace, documents), seen)

    def _prepare(self, workspace: WorkspaceRef, documents: list[WorktreeSession]) -> tuple[Path, str]:
        """Write the new file next to its place; returns it with its SHA-256."""
        digest, target = copying.new_sha256(), self._target(workspace)
        written = target.with_name(f".{target.name}.{os.getpid()}-{threading.get_ident()}{durable.TEMPORARY_SUFFIX}")
        try:
            durable.write_new(written, tee(app_file(documents), digest.update))
        except BaseException:
            durable.remove(written)
            raise
        return written, digest.hexdigest()

    def _replace(self, workspace: WorkspaceRef, written: Path, sha256: str, seen: Seen | None) -> None:
        """Put a prepared file in its place, unless another program has changed the one that was seen there.

        :raises StorageIOError: another program has changed it, without a lock
        """

        def refuse(found: Path, target: Path) -> Path:
            if found != target:  # it was changed at the last moment, and is replaced already
                replacing.put_back(found, target, sha256)
            raise self._changed(workspace)

        try:
            replacing.place(written, self._target(workspace), {seen.sha256} if seen else (), refuse, seen)
        finally:
            durable.remove(written)

    def _changed(self, workspace: WorkspaceRef) -> StorageIOError | StaleStoreError:
        return StorageIOError(
            f"Another program has changed {self._path(workspace)} in the meantime.",
            code="file.changed_meanwhile",
            hint="Nothing was changed. Try again.",
        )

    def _target(self, workspace: WorkspaceRef) -> Path:
        """Return the file to write, after creating its folder."""
        target = Path(os.path.realpath(self._path(workspace)))  # a symbolic link stays one
        durable.make_private_folder(target.parent)
        return target

    def _path(self, workspace: WorkspaceRef) -> Path:
        return self._file(workspace.hash)

    def _file(self, workspace_hash: str) -> Path:
        return self._data_dir.sessions / f"{workspace_hash}.json"

    def _read(self, workspace: WorkspaceRef) -> list[WorktreeSession] | None:
        """Read every document of a workspace's file, in order; None if there is no file."""
        self._require_open()
        path = self._path(workspace)
        documents = list(self._stream(path))
        return documents if documents or path.exists() else None

    def _stream(self, path: Path) -> Iterator[WorktreeSession]:
        """Read the documents of a file one by one, in order; none if there is no file."""
        with os_errors("read", path):
            try:
                with opened(path) as file:
                    for element in read_array(file):
                        yield _session(element, path)
            except FileNotFoundError:
                return
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


def _index(documents: list[WorktreeSession], session: SessionRef) -> int:
    """Return the index of a session; raise SessionNotFound if there is none."""
    same = [index for index, document in enumerate(documents) if document["id"] == session.id]
    if session.ordinal >= len(same):
        raise arguments.session_not_found(session)
    return same[session.ordinal]
