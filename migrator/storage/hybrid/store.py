"""Hybrid mode: dual write with shadow reads. The first store answers; the second is kept equal and compared.

Errors of the second store never reach the caller. Before a write, the journal records on the disk that the second store
may lack it; when both stores have it, the record is deleted. So after any crash the journal knows which workspaces to
repair. A repair makes the second store's workspace equal to the first's.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Container, Iterable, Iterator
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple, TypedDict, TypeVar

from migrator.documents.document import ChatMessage, WorktreeSession, canonical_bytes, digest
from migrator.errors import (
    InstanceNotFound,
    MigratorError,
    SessionAlreadyExists,
    SessionChanged,
    SessionNotFound,
    StaleStoreError,
    ValidationError,
    WorkspaceNotFound,
)
from migrator.hints import NamesCommands
from migrator.storage import timestamps
from migrator.storage.arguments import WorkspaceRef, all_as_stored, workspace_ref, workspace_ref_or_none
from migrator.storage.hybrid.journal import Difference, HybridStats, Journal
from migrator.storage.hybrid.locks import Backoff, ThreadLocks, WriteLocks
from migrator.storage.lists.summaries import SessionSummary, WorkspaceSummary
from migrator.storage.protocol import MirrorableStorage, SessionFilters, SessionStorage
from migrator.workspace import placeholder

_LOG = logging.getLogger("migrator")
_T = TypeVar("_T")

_ABSENT = (WorkspaceNotFound, SessionNotFound)
# After these errors the first store is certainly unchanged; after any other error that is unknown.
_REFUSALS = (ValidationError, SessionAlreadyExists, SessionChanged, InstanceNotFound, StaleStoreError, *_ABSENT)
_LOCK_TIMEOUT = 3.0  # seconds
_UNCOUNTED = 100  # the most comparisons that may be missing from the count after a crash


@contextmanager
def _logged(action: str) -> Iterator[None]:
    """Log errors within the block instead of raising them: the first store's answer is valid anyway."""
    try:
        yield
    except MigratorError as error:
        _LOG.warning("Hybrid mode could not %s: %r", action, str(error))


class _ShadowRead(NamedTuple):
    """A read that is made from both stores.

    :ivar session_id: the id of the requested session, if it is one session
    """

    workspace: WorkspaceRef
    operation: str
    read: Callable[[MirrorableStorage], list[WorktreeSession]]
    session_id: str | None = None

    def answer(self, store: MirrorableStorage) -> list[WorktreeSession]:
        """Read from a store; return no sessions if it reports that there are none."""
        try:
            return self.read(store)
        except _ABSENT:
            return []


class _At(TypedDict):
    """Where and when both stores change a session."""

    ordinal: int
    updated_at: str


class HybridStorage(NamesCommands, SessionStorage):
    """Two stores as one; its methods are described in SessionStorage.

    A write that cannot be recorded in the journal raises ConnectionFailed and is not made.

    :param primary: the store that answers and is authoritative
    :param journal_path: the journal's path; it is created if it is missing
    :param backoff: how long a failing second store is not used
    :param acquire_timeout: seconds to wait for the journal's connection; None waits as long as usual
    :param is_current: whether hybrid mode has not ended since the store was opened; otherwise writes raise
        StaleStoreError
    :raises ConnectionFailed: the journal cannot be opened
    """

    def __init__(
        self,
        primary: MirrorableStorage,
        secondary: MirrorableStorage,
        journal_path: Path,
        *,
        backoff: Backoff | None = None,
        acquire_timeout: float | None = None,
        is_current: Callable[[], bool] = lambda: True,
    ) -> None:
        self._primary = primary
        self._secondary = secondary
        self._journal = Journal(journal_path, acquire_timeout)
        self._locks = WriteLocks(journal_path.parent / "locks")
        self._backoff = backoff or Backoff()
        self._is_current = is_current
        self._uncounted = 0
        self._counting = ThreadLocks()

    def create_session(self, workspace_path: str, session: WorktreeSession) -> WorktreeSession:
        return self._write(workspace_path, lambda store: store.create_session(workspace_path, session))

    def create_sessions(self, workspace_path: str, sessions: Iterable[WorktreeSession]) -> list[WorktreeSession]:
        stored = all_as_stored(sessions)
        return self._write(workspace_path, lambda store: store.create_sessions(workspace_path, stored))

    def update_session(
        self,
        workspace_path: str,
        session: WorktreeSession,
        *,
        expected: WorktreeSession | None = None,
        ordinal: int = 0,
    ) -> WorktreeSession:
        return self._write(
            workspace_path,
            lambda store: store.update_session(workspace_path, session, expected=expected, ordinal=ordinal),
            lambda store: store.update_session(workspace_path, session, ordinal=ordinal),
        )

    def delete_session(self, workspace_path: str, session_id: str, *, ordinal: int | None = None) -> None:
        self._write(workspace_path, lambda store: store.delete_session(workspace_path, session_id, ordinal=ordinal))

    def add_chat_message(
        self, workspace_path: str, session_id: str, message: ChatMessage, *, ordinal: int = 0
    ) -> WorktreeSession:
        at = _At(ordinal=ordinal, updated_at=timestamps.now())  # the same for both stores
        return self._write(
            workspace_path,
            lambda store: store.add_chat_message(workspace_path, session_id, message, **at),
            lambda store: store.append_chat_message(workspace_path, session_id, message, **at),
        )

    def append_chat_message(
        self, workspace_path: str, session_id: str, message: ChatMessage, *, ordinal: int = 0
    ) -> None:
        at = _At(ordinal=ordinal, updated_at=timestamps.now())
        self._write(workspace_path, lambda store: store.append_chat_message(workspace_path, session_id, message, **at))

    def update_instance_status(
        self, workspace_path: str, session_id: str, instance_id: int, status: str, *, ordinal: int = 0
    ) -> WorktreeSession:
        at = _At(ordinal=ordinal, updated_at=timestamps.now())
        return self._write(
            workspace_path,
            lambda store: store.update_instance_status(workspace_path, session_id, instance_id, status, **at),
            lambda store: store.set_instance_status(workspace_path, session_id, instance_id, status, **at),
        )

    def set_instance_status(
        self, workspace_path: str, session_id: str, instance_id: int, status: str, *, ordinal: int = 0
    ) -> None:
        at = _At(ordinal=ordinal, updated_at=timestamps.now())
        self._write(
            workspace_path,
            lambda store: store.set_instance_status(workspace_path, session_id, instance_id, status, **at),
        )

    def get_session(self, workspace_path: str, session_id: str, *, ordinal: int = 0) -> WorktreeSession:
        workspace = workspace_ref(workspace_path)
        read = _ShadowRead(
            workspace,
            "get_session",
            lambda store: [store.get_session(workspace_path, session_id, ordinal=ordinal)],
            session_id,
        )
        return self._read(read)[0]

    def get_all_sessions(self, workspace_path: str) -> list[WorktreeSession]:
        workspace = workspace_ref_or_none(workspace_path)
        if workspace is None:
            return []
        return self._read(
            _ShadowRead(workspace, "get_all_sessions", lambda store: store.get_all_sessions(workspace_path))
        )

    # Lists are not compared: the second store would have to read whole documents for them.

    def iter_sessions(self, workspace_path: str, filters: SessionFilters | None = None) -> Iterator[WorktreeSession]:
        return self._primary.iter_sessions(workspace_path, filters)

    def list_sessions(
        self,
        workspace_path: str,
        filters: SessionFilters | None = None,
        *,
        after: str | None = None,
        limit: int | None = None,
    ) -> list[SessionSummary]:
        return self._primary.list_sessions(workspace_path, filters, after=after, limit=limit)

    def list_workspaces(self) -> list[WorkspaceSummary]:
        return self._primary.list_workspaces()

    def search_sessions(self, workspace_path: str, filters: SessionFilters | None = None) -> list[WorktreeSession]:
        workspace = workspace_ref(workspace_path)
        return self._read(
            _ShadowRead(workspace, "search_sessions", lambda store: store.search_sessions(workspace_path, filters))
        )

    def stats(self) -> HybridStats:
        """Return the counts since the journal was created, including those of earlier and other processes."""
        self._count_comparisons()
        return self._journal.stats()

    def differences(self) -> list[Difference]:
        """Return every difference that a comparison found, oldest first."""
        return self._journal.differences()

    def repair(self, except_for: Container[str] = ()) -> int:
        """Repair every pending workspace now; return how many could not be repaired.

        :param except_for: the hashes of workspaces to skip
        """
        due = [workspace for workspace in self._journal.pending_repairs() if workspace.hash not in except_for]
        return sum(not self._repair(workspace, _LOCK_TIMEOUT) for workspace in due)

    def close(self) -> None:
        with _logged("count comparisons"):
            self._count_comparisons()
        self._journal.close()
        with _logged("close the second store"):
            self._secondary.close()
        self._primary.close()

    def _write(
        self,
        workspace_path: str,
        operate: Callable[[MirrorableStorage], _T],
        mirror: Callable[[MirrorableStorage], object] | None = None,
    ) -> _T:
        """Write to the first store and, if that succeeded, to the second, in the same order."""
        workspace = workspace_ref(workspace_path)
        with self._locks.hold(workspace.hash, _LOCK_TIMEOUT) as locked:
            if not self._is_current():
                raise StaleStoreError(
                    "Cannot write: since this store was opened, hybrid mode has ended.",
                    code="hybrid.ended",
                    hint="Nothing was changed. Open the store again: open_storage() opens the authoritative one.",
                )
            # While a repair is pending or another process writes, the second store could get it in the wrong order.
            in_order = locked and self._journal.newest_intent(workspace) is None
            intent = self._journal.record_intent(workspace)
            try:
                result = operate(self._primary)
            except _REFUSALS:
                with _logged("delete a record"):
                    self._journal.discard_intent(intent)
                raise
            self._mirror(workspace, intent, mirror or operate, in_order=in_order)
        self._repair_one(workspace)
        return result

    @_logged("record the result of a write")
    def _mirror(
        self, workspace: WorkspaceRef, intent: int, mirror: Callable[[MirrorableStorage], object], *, in_order: bool
    ) -> None:
        if not in_order:
            self._journal.record_failure(intent, "the workspace is waiting for repair")
            return
        try:
            mirror(self._secondary)
        except Exception as error:  # noqa: BLE001 - the caller's write has succeeded anyway
            self._journal.record_failure(intent, str(error))
            self._backoff.failed(workspace.hash)
            _LOG.warning("A write to the second store failed: %r", str(error))
        else:
            self._journal.record_write(intent, self._take_uncounted())

    def _read(self, shadow: _ShadowRead) -> list[WorktreeSession]:
        self._repair_one(shadow.workspace)
        try:
            documents = shadow.read(self._primary)
        except _ABSENT:
            self._compare(shadow, [])
            raise
        self._compare(shadow, documents)
        return documents

    @_logged("compare the stores")
    def _compare(self, shadow: _ShadowRead, found: list[WorktreeSession]) -> None:
        """Read from the second store too, and compare; skipped while a repair is pending, since it would differ."""
        workspace = shadow.workspace
        if self._backoff.is_waiting(workspace.hash) or self._journal.newest_intent(workspace) is not None:
            return
        try:
            if _difference(found, shadow.answer(self._secondary)) is not None and not self._compare_locked(shadow):
                return
        except Exception as error:  # noqa: BLE001 - the first store has answered
            self._journal.record_unreadable(workspace, str(error))
            self._backoff.failed(workspace.hash)
            _LOG.warning("The second store could not be read: %r", str(error))
            return
        with self._counting["comparisons"]:
            self._uncounted += 1
        if self._uncounted >= _UNCOUNTED:
            self._count_comparisons()

    def _compare_locked(self, shadow: _ShadowRead) -> bool:
        """Compare again while no one can write, in case there was a write in between; return False if not possible."""
        with self._locks.hold(shadow.workspace.hash, _LOCK_TIMEOUT) as locked:
            pending = self._journal.newest_intent(shadow.workspace) is not None
            if not locked or pending or not self._is_current():
                return False
            difference = _difference(shadow.answer(self._primary), shadow.answer(self._secondary))
            if difference is not None:
                session_id = shadow.session_id or difference[0]
                self._journal.record_difference(shadow.workspace, shadow.operation, session_id, difference[1])
                _LOG.warning("The stores differ in the session %r.", session_id)
            return True

    def _take_uncounted(self) -> int:
        with self._counting["comparisons"]:
            taken, self._uncounted = self._uncounted, 0
            return taken

    def _count_comparisons(self) -> None:
        taken = self._take_uncounted()
        if taken:
            self._journal.count_comparisons(taken)

    @_logged("repair the second store")
    def _repair_one(self, workspace: WorkspaceRef) -> None:
        """Repair this workspace if it is pending, otherwise another one; only one, to keep the caller's wait short."""
        due = [waiting for waiting in self._journal.pending_repairs() if not self._backoff.is_waiting(waiting.hash)]
        if due:
            self._repair(min(due, key=lambda waiting: waiting.hash != workspace.hash), 0)

    def _repair(self, workspace: WorkspaceRef, timeout: float) -> bool:
        """Make the second store's workspace equal to the first's; return False if it failed or the lock is taken."""
        workspace_path = workspace.path or placeholder(workspace.hash)
        with self._locks.hold(workspace.hash, timeout) as locked:
            newest = self._journal.newest_intent(workspace) if locked else None
            if newest is None:
                return locked
            if not self._is_current():
                return False
            try:
                documents = self._primary.get_all_sessions(workspace_path)
                # Also if they are equal: MirrorFiles then records the file's content as known.
                if documents or self._secondary.get_all_sessions(workspace_path):
                    self._secondary.replace_workspace(workspace_path, documents)
                    if _difference(documents, self._secondary.get_all_sessions(workspace_path)) is not None:
                        raise MigratorError(
                            "The repaired workspace reads back differently.", code="hybrid.repair_failed"
                        )
            except Exception as error:  # noqa: BLE001 - the repair stays pending
                self._backoff.failed(workspace.hash)
                _LOG.warning("The second store could not be repaired: %r", str(error))
                return False
            self._journal.record_repair(workspace, newest)
            self._backoff.succeeded(workspace.hash)
            return True


def _difference(
    ours: list[WorktreeSession], theirs: list[WorktreeSession]
) -> tuple[str, tuple[str | None, str | None]] | None:
    """Return the id of the first document that differs, and its digest in each; None if all are equal."""
    for our, their in zip_longest(ours, theirs):
        our_digest = None if our is None else digest(canonical_bytes(our)).hex()
        their_digest = None if their is None else digest(canonical_bytes(their)).hex()
        if our_digest != their_digest:
            return (their if our is None else our)["id"], (our_digest, their_digest)
    return None
