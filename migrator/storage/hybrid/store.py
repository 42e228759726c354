"""Both stores at once, for a trial: the first one answers, the second is kept equal and compared.

What the second store does, or fails to do, never reaches the caller. Before anything is written the journal records
that the second store may come to lack it, on the disk; the record goes when both have it. So whatever dies in between,
the journal knows which workspaces to repair, and a repair makes the second store's workspace equal to the first's.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from migrator.documents.document import ChatMessage, WorktreeSession, document_digest
from migrator.errors import (
    InstanceNotFound,
    MigratorError,
    SessionAlreadyExists,
    SessionNotFound,
    StaleStoreError,
    UsageError,
    ValidationError,
    WorkspaceNotFound,
)
from migrator.storage import timestamps
from migrator.storage.arguments import Place, place_of, place_to_list
from migrator.storage.hybrid.journal import Difference, Journal, TrialStats, read_trial
from migrator.storage.hybrid.locks import Rests, Turns
from migrator.storage.protocol import MirrorableStorage, SessionFilters
from migrator.workspace import placeholder

__all__ = ["Difference", "HybridStorage", "TrialStats", "read_trial"]

_LOG = logging.getLogger("migrator")
_T = TypeVar("_T")
_Read = Callable[[MirrorableStorage], list[WorktreeSession]]

_ABSENT = (WorkspaceNotFound, SessionNotFound)
# After these the first store is surely as it was; after any other error nobody knows.
_REFUSALS = (ValidationError, SessionAlreadyExists, InstanceNotFound, StaleStoreError, *_ABSENT)
_TURN_TIMEOUT = 3.0  # seconds
_UNCOUNTED = 100  # comparisons, at most, that a crash takes from the count


class HybridStorage:
    """Two stores behind the SessionStorage protocol: see there for what it promises.

    :param primary: the store that answers, and that holds the truth
    :param journal_path: where the trial's journal is, or will be made
    :param compare_rate: which part of the reads is made of both stores, from 0 to 1
    :raises ConnectionFailed: the journal can't be opened. Neither is a write made that can't be recorded
    """

    def __init__(
        self,
        primary: MirrorableStorage,
        secondary: MirrorableStorage,
        journal_path: Path,
        *,
        compare_rate: float = 1.0,
    ) -> None:
        if not 0 <= compare_rate <= 1:
            raise UsageError(f"A rate of comparison lies between 0 and 1; {compare_rate!r} does not.")
        self._primary = primary
        self._secondary = secondary
        self._journal = Journal(journal_path)
        self._turns = Turns(journal_path.parent / "locks")
        self._rests = Rests()
        self._rate = compare_rate
        self._owed = 0.0
        self._uncounted = 0
        self._counting = threading.Lock()

    def create_session(self, workspace_path: str, session: WorktreeSession) -> WorktreeSession:
        return self._write(workspace_path, lambda store: store.create_session(workspace_path, session))

    def update_session(self, workspace_path: str, session: WorktreeSession) -> WorktreeSession:
        return self._write(workspace_path, lambda store: store.update_session(workspace_path, session))

    def delete_session(self, workspace_path: str, session_id: str) -> None:
        self._write(workspace_path, lambda store: store.delete_session(workspace_path, session_id))

    def add_chat_message(self, workspace_path: str, session_id: str, message: ChatMessage) -> WorktreeSession:
        now = timestamps.now()  # of both stores
        return self._write(
            workspace_path,
            lambda store: store.add_chat_message(workspace_path, session_id, message, updated_at=now),
            lambda store: store.append_chat_message(workspace_path, session_id, message, updated_at=now),
        )

    def append_chat_message(self, workspace_path: str, session_id: str, message: ChatMessage) -> None:
        now = timestamps.now()
        self._write(
            workspace_path,
            lambda store: store.append_chat_message(workspace_path, session_id, message, updated_at=now),
        )

    def update_instance_status(
        self, workspace_path: str, session_id: str, instance_id: int, status: str
    ) -> WorktreeSession:
        now = timestamps.now()
        return self._write(
            workspace_path,
            lambda store: store.update_instance_status(workspace_path, session_id, instance_id, status, updated_at=now),
            lambda store: store.set_instance_status(workspace_path, session_id, instance_id, status, updated_at=now),
        )

    def set_instance_status(self, workspace_path: str, session_id: str, instance_id: int, status: str) -> None:
        now = timestamps.now()
        self._write(
            workspace_path,
            lambda store: store.set_instance_status(workspace_path, session_id, instance_id, status, updated_at=now),
        )

    def get_session(self, workspace_path: str, session_id: str) -> WorktreeSession:
        place = place_of(workspace_path)
        return self._read(
            place, "get_session", lambda store: [store.get_session(workspace_path, session_id)], session_id
        )[0]

    def get_all_sessions(self, workspace_path: str) -> list[WorktreeSession]:
        place = place_to_list(workspace_path)
        if place is None:
            return []
        return self._read(place, "get_all_sessions", lambda store: store.get_all_sessions(workspace_path))

    def search_sessions(self, workspace_path: str, filters: SessionFilters) -> list[WorktreeSession]:
        place = place_of(workspace_path)
        return self._read(place, "search_sessions", lambda store: store.search_sessions(workspace_path, filters))

    def stats(self) -> TrialStats:
        """The counts of the whole trial, earlier and other processes included."""
        self._count_comparisons()
        return self._journal.stats()

    def differences(self) -> list[Difference]:
        """Every difference that a comparison found, in order."""
        return self._journal.differences()

    def repair(self, besides: Container[str] = ()) -> int:
        """Repair every workspace that is pending, at once; returns how many could not be.

        :param besides: the hashes of those to leave as they are
        """
        due = [place for place in self._journal.pending() if place.hash not in besides]
        return sum(not self._repair(place, _TURN_TIMEOUT) for place in due)

    def close(self) -> None:
        with _unheard("count comparisons"):
            self._count_comparisons()
        self._journal.close()
        with _unheard("close the second store"):
            self._secondary.close()
        self._primary.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _write(
        self,
        workspace_path: str,
        operate: Callable[[MirrorableStorage], _T],
        mirror: Callable[[MirrorableStorage], object] | None = None,
    ) -> _T:
        """Write the first store and, if that worked, the second in the same order."""
        place = place_of(workspace_path)
        with self._turns.take(place.hash, _TURN_TIMEOUT) as in_turn:
            # Behind what is pending, or beside another writer, the second store would get it in the wrong order.
            in_order = in_turn and self._journal.newest(place) is None
            intent = self._journal.intend(place)
            try:
                result = operate(self._primary)
            except _REFUSALS:
                with _unheard("take back a record"):
                    self._journal.withdraw(intent)
                raise
            with _unheard("record what became of a write"):
                self._mirror(place, intent, mirror or operate, in_order=in_order)
        self._repair_one(place)
        return result

    def _mirror(
        self, place: Place, intent: int, mirror: Callable[[MirrorableStorage], object], *, in_order: bool
    ) -> None:
        if not in_order:
            self._journal.failed(intent, "the workspace waits for repair")
            return
        try:
            mirror(self._secondary)
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller's write was made
            self._journal.failed(intent, str(error))
            self._rests.begin(place.hash)
            _LOG.warning("The second store did not take a write: %r", str(error))
        else:
            self._journal.written(intent, self._take_uncounted())

    def _read(self, place: Place, operation: str, read: _Read, session_id: str | None = None) -> list[WorktreeSession]:
        self._repair_one(place)
        try:
            documents = read(self._primary)
        except _ABSENT:
            with _unheard("compare the stores"):
                self._compare(place, operation, read, [], session_id)
            raise
        with _unheard("compare the stores"):
            self._compare(place, operation, read, documents, session_id)
        return documents

    def _compare(
        self, place: Place, operation: str, read: _Read, found: list[WorktreeSession], session_id: str | None
    ) -> None:
        """Make a read of the second store as well, now and then; what is pending is known to differ."""
        if not self._is_due() or self._rests.resting(place.hash) or self._journal.newest(place) is not None:
            return
        try:
            difference = _difference(found, _answer(read, self._secondary))
            if difference is not None:
                # Somebody may have written between the two reads: once more, while nobody can.
                with self._turns.take(place.hash, _TURN_TIMEOUT) as in_turn:
                    if not in_turn or self._journal.newest(place) is not None:
                        return
                    difference = _difference(_answer(read, self._primary), _answer(read, self._secondary))
                    if difference is not None:
                        self._journal.differ(place, operation, session_id or difference[0], difference[1])
                        _LOG.warning("The stores differ in the session %r.", session_id or difference[0])
        except Exception as error:  # noqa: BLE001 - the first store has answered
            self._journal.unreadable(place, str(error))
            self._rests.begin(place.hash)
            _LOG.warning("The second store could not be read: %r", str(error))
            return
        with self._counting:
            self._uncounted += 1
        if self._uncounted >= _UNCOUNTED:
            self._count_comparisons()

    def _is_due(self) -> bool:
        with self._counting:
            self._owed += self._rate
            if self._owed < 1:
                return False
            self._owed -= 1
            return True

    def _take_uncounted(self) -> int:
        with self._counting:
            taken, self._uncounted = self._uncounted, 0
            return taken

    def _count_comparisons(self) -> None:
        taken = self._take_uncounted()
        if taken:
            self._journal.compared(taken)

    def _repair_one(self, place: Place) -> None:
        """Repair this workspace if it is pending, else another one: one, so that nobody waits for all of them."""
        with _unheard("repair the second store"):
            due = [waiting for waiting in self._journal.pending() if not self._rests.resting(waiting.hash)]
            if due:
                due.sort(key=lambda waiting: waiting.hash != place.hash)
                self._repair(due[0], 0)

    def _repair(self, place: Place, timeout: float) -> bool:
        """Make a workspace of the second store equal to the first's; False where that failed, or it is not its turn."""
        workspace_path = place.path or placeholder(place.hash)
        with self._turns.take(place.hash, timeout) as in_turn:
            newest = self._journal.newest(place) if in_turn else None
            if newest is None:
                return in_turn
            try:
                documents = self._primary.get_all_sessions(workspace_path)
                # Also where they are equal: who remembers what was written there learns that it is right as it is.
                if documents or self._secondary.get_all_sessions(workspace_path):
                    self._secondary.replace_workspace(workspace_path, documents)
                    if _difference(documents, self._secondary.get_all_sessions(workspace_path)) is not None:
                        raise MigratorError("What was written does not read back.")
            except Exception as error:  # noqa: BLE001 - it stays pending, whatever it is
                self._rests.begin(place.hash)
                _LOG.warning("The second store could not be repaired: %r", str(error))
                return False
            self._journal.repaired(place, newest)
            self._rests.end(place.hash)
            return True


def _answer(read: _Read, store: MirrorableStorage) -> list[WorktreeSession]:
    try:
        return read(store)
    except _ABSENT:
        return []


def _difference(
    ours: list[WorktreeSession], theirs: list[WorktreeSession]
) -> tuple[str, tuple[str | None, str | None]] | None:
    """The id of the first document that is not the same in both, and its two digests."""
    for our, their in zip_longest(ours, theirs):
        our_digest = None if our is None else document_digest(our)
        their_digest = None if their is None else document_digest(their)
        if our_digest != their_digest:
            return (their if our is None else our)["id"], (our_digest, their_digest)
    return None


@contextmanager
def _unheard(action: str) -> Iterator[None]:
    """Whatever goes wrong within goes to the log: the first store's answer stands."""
    try:
        yield
    except MigratorError as error:
        _LOG.warning("The trial of both stores could not %s: %r", action, str(error))
