"""What every store of sessions promises, whatever is behind it.

Documents are plain dicts in the shape of the app's JSON. In what is asked, an absent optional member and ``None`` are
the same; what is returned is in normal form: every known member in the order of the app's structs, then the unknown
ones. A returned document is the caller's own: changing it changes nothing in the store.

A workspace file of the app may hold one session id several times. What names a session then means the first in file
order, listing shows all, and deleting removes all: so does the app.

Every operation may also raise ConnectionFailed (the store stays locked, is broken or closed), TransactionError or
StorageIOError; whatever it raises, it has changed nothing. *n* in the complexities is the number of sessions of the
workspace, *m* the number of messages and instances of one session.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, Literal, Protocol, Self, get_args, runtime_checkable

from migrator.documents.document import ChatMessage, WorktreeSession
from migrator.errors import ValidationError
from migrator.storage.timestamps import instant

SortKey = Literal["createdAt", "updatedAt", "duration", "filesChanged"]
SESSION_TYPES = ("competition", "ensemble", "debate")
_STATUS = re.compile(r"running|completed|failed|paused|round_[0-9]+")


@dataclass(frozen=True, kw_only=True)
class SessionFilters:
    """Which sessions to find and how to arrange them; what is None restricts nothing.

    They compare the document's own values: a session of status ``round_2`` is not ``running``.

    :ivar status: one status or several; none at all (``()``) restricts nothing
    :ivar session_type: one type or several, likewise
    :ivar created_from: the earliest ``createdAt``, inclusive: RFC 3339 text or an aware datetime. Compared as instants,
        to the nanosecond; a ``createdAt`` that is no timestamp never matches
    :ivar created_to: the latest, inclusive
    :ivar text: occurs in the task, the id or an agent's name; upper and lower case are the same
    :ivar sort_by: ``duration`` is ``totalDuration``, ``filesChanged`` is ``totalFilesChanged``; None is file order.
        Ties stay in file order; documents without the value come last
    :ivar descending: the largest first; without ``sort_by``, the last in file order first
    :ivar limit: at most so many documents
    :ivar offset: leave out so many of the first
    :raises ValidationError: a value that makes no sense
    """

    status: str | Collection[str] | None = None
    session_type: str | Collection[str] | None = None
    created_from: str | datetime | None = None
    created_to: str | datetime | None = None
    text: str | None = None
    sort_by: SortKey | None = None
    descending: bool = False
    limit: int | None = None
    offset: int = 0

    def __post_init__(self) -> None:
        sets: tuple[tuple[str, Any], ...] = (("status", self.status), ("session_type", self.session_type))
        for name, value in sets:
            if value is not None and not isinstance(value, Collection):
                raise _refused(name, value, "a text or several")
        for status in several(self.status):
            if not isinstance(status, str) or not _STATUS.fullmatch(status):
                raise _refused("status", status, "running, completed, failed, paused or round_<n>")
        for session_type in several(self.session_type):
            if session_type not in SESSION_TYPES:
                raise _refused("session_type", session_type, "one of " + ", ".join(SESSION_TYPES))
        _require_instant("created_from", self.created_from)
        _require_instant("created_to", self.created_to)
        if self.text is not None and not isinstance(self.text, str):
            raise _refused("text", self.text, "a text")
        if self.sort_by is not None and self.sort_by not in get_args(SortKey):
            raise _refused("sort_by", self.sort_by, "one of " + ", ".join(get_args(SortKey)))
        numbers: tuple[tuple[str, Any], ...] = (("limit", self.limit), ("offset", self.offset))
        for name, number in numbers:
            fits = isinstance(number, int) and not isinstance(number, bool) and number >= 0
            if not fits and (name, number) != ("limit", None):
                raise _refused(name, number, "a number of 0 or more")


def several(value: str | Collection[str] | None) -> Collection[Any]:
    """One value, several or none, as a collection."""
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else value


def _require_instant(name: str, value: Any) -> None:
    if value is None:
        return
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise _refused(name, value, "a datetime that knows its time zone")
    elif not isinstance(value, str) or instant(value) is None:
        raise _refused(name, value, "a timestamp such as 2025-01-13T10:00:00Z")


def _refused(name: str, value: Any, expected: str) -> ValidationError:
    return ValidationError(f"The filter {name} can't be {value!r}: it has to be {expected}.")


@runtime_checkable
class SessionStorage(Protocol):
    """A store of session documents, by workspace path. Safe to use from several threads.

    Every operation but :meth:`get_all_sessions` raises ValidationError for an empty or blank workspace path. Where a
    workspace path is unknown, the placeholder ``unknown:<hash>`` may stand for it.
    """

    def create_session(self, workspace_path: str, session: WorktreeSession) -> WorktreeSession:
        """Store a new session as it is given, behind the others; a workspace that is new is made.

        SQLite: O(m + log n). JSON: O(everything in the workspace), as for every change.

        :returns: the session as it will be read
        :raises ValidationError: it is no valid session; says every reason
        :raises SessionAlreadyExists: the workspace has a session of that id
        """
        ...

    def update_session(self, workspace_path: str, session: WorktreeSession) -> WorktreeSession:
        """Replace the whole document of that id, unknown members and ``updatedAt`` included; it keeps its place.

        SQLite: O(m + log n).

        :returns: the session as it will be read
        :raises ValidationError: it is no valid session; says every reason
        :raises WorkspaceNotFound: the store has never seen the workspace
        :raises SessionNotFound: the workspace has no session of that id
        """
        ...

    def get_session(self, workspace_path: str, session_id: str) -> WorktreeSession:
        """The session of that id.

        SQLite: O(m + log n). JSON: O(everything in the workspace), as for everything that is read.

        :raises WorkspaceNotFound: the store has never seen the workspace
        :raises SessionNotFound: the workspace has no session of that id
        """
        ...

    def get_all_sessions(self, workspace_path: str) -> list[WorktreeSession]:
        """Every session of the workspace, in file order; none for a workspace that is unknown.

        An empty or blank path has none either, with a warning in the log: the app asks before a workspace is open.

        SQLite: a fixed number of statements.
        """
        ...

    def delete_session(self, workspace_path: str, session_id: str) -> None:
        """Delete every session of that id. Unlike the app, which then says nothing, an unknown one is an error.

        SQLite: O(m + log n).

        :raises WorkspaceNotFound: the store has never seen the workspace
        :raises SessionNotFound: the workspace has no session of that id
        """
        ...

    def add_chat_message(self, workspace_path: str, session_id: str, message: ChatMessage) -> WorktreeSession:
        """Put a message behind the session's others and set ``updatedAt`` to now (RFC 3339, UTC).

        SQLite: O(log m + log n), and then O(m) to return the document.

        :returns: the whole session: :meth:`append_chat_message` does without
        :raises ValidationError: it is no valid message; says every reason
        :raises WorkspaceNotFound: the store has never seen the workspace
        :raises SessionNotFound: the workspace has no session of that id
        """
        ...

    def append_chat_message(self, workspace_path: str, session_id: str, message: ChatMessage) -> None:
        """Put a message behind the session's others, as :meth:`add_chat_message`, without returning the session.

        The errors are the same. SQLite: O(log m + log n).
        """
        ...

    def update_instance_status(
        self, workspace_path: str, session_id: str, instance_id: int, status: str
    ) -> WorktreeSession:
        """Set the status of the session's first instance of that number, and ``updatedAt`` to now (RFC 3339, UTC).

        SQLite: O(log m + log n), and then O(m) to return the document.

        :param status: any text: the app knows six, and others occur
        :returns: the whole session: :meth:`set_instance_status` does without
        :raises WorkspaceNotFound: the store has never seen the workspace
        :raises SessionNotFound: the workspace has no session of that id
        :raises InstanceNotFound: the session has no instance of that number
        """
        ...

    def set_instance_status(self, workspace_path: str, session_id: str, instance_id: int, status: str) -> None:
        """Set an instance's status, as :meth:`update_instance_status`, without returning the session.

        The errors are the same. SQLite: O(log m + log n).
        """
        ...

    def search_sessions(self, workspace_path: str, filters: SessionFilters) -> list[WorktreeSession]:
        """The sessions that the filters let through, arranged as they say; none for a workspace that is unknown.

        SQLite: a fixed number of statements; O(n) without the instances and messages, and O(m) for each session of the
        result.

        :param filters: which ones, and in which order
        """
        ...

    def close(self) -> None:
        """Let go of files and connections; may be called again. Any other operation then raises ConnectionFailed."""
        ...

    def __enter__(self) -> Self:
        """The store itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the store."""
        self.close()


@runtime_checkable
class MirrorableStorage(SessionStorage, Protocol):
    """A store that can be one of two which are kept equal. What it has beyond the others is not for the app.

    Both get the timestamp of a change from outside, so that they hold the same: ``updated_at`` is what to set, None
    takes now, and ValidationError says that it is no text. All else is as SessionStorage has it.
    """

    def append_chat_message(
        self, workspace_path: str, session_id: str, message: ChatMessage, *, updated_at: str | None = None
    ) -> None:
        """:meth:`SessionStorage.append_chat_message` at a given time."""
        ...

    def add_chat_message(
        self, workspace_path: str, session_id: str, message: ChatMessage, *, updated_at: str | None = None
    ) -> WorktreeSession:
        """:meth:`SessionStorage.add_chat_message` at a given time."""
        ...

    def update_instance_status(
        self, workspace_path: str, session_id: str, instance_id: int, status: str, *, updated_at: str | None = None
    ) -> WorktreeSession:
        """:meth:`SessionStorage.update_instance_status` at a given time."""
        ...

    def set_instance_status(
        self, workspace_path: str, session_id: str, instance_id: int, status: str, *, updated_at: str | None = None
    ) -> None:
        """:meth:`SessionStorage.set_instance_status` at a given time."""
        ...

    def replace_workspace(self, workspace_path: str, documents: Iterable[WorktreeSession]) -> None:
        """Make the workspace hold exactly these documents in this order, ids that repeat included; it is made if new.

        :raises ValidationError: one is no valid session; nothing was changed
        """
        ...
