"""The interface that every store of sessions implements.

Documents are plain dicts in the shape of the app's JSON. In arguments, an absent optional member equals ``None``.
Returned documents are in normal form: every known member in the order of the app's structs, then the unknown ones. The
caller owns a returned document: changing it does not change the store.

A workspace file of the app may contain the same session id several times. A method that takes an id then uses the first
session in file order, listing returns all, and deleting removes all; the app does the same. ``ordinal`` chooses another
one: 1 is the second session with the id in file order. A number for which there is no session raises SessionNotFound.

Every operation may also raise ConnectionFailed (the store stays locked, is damaged or closed), TransactionError or
StorageIOError. An operation that raises an error has changed nothing. In the complexities, *n* is the number of
sessions of the workspace, *m* the number of messages and instances of one session.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, Literal, Protocol, Self, get_args, runtime_checkable

from migrator.documents.document import ChatMessage, WorktreeSession
from migrator.documents.validation import abbreviated
from migrator.errors import ValidationError
from migrator.storage.lists.summaries import SessionSummary, WorkspaceSummary
from migrator.storage.timestamps import Instant, instant, instant_of

SortKey = Literal["createdAt", "updatedAt", "duration", "filesChanged"]


@dataclass(frozen=True, kw_only=True)
class SessionFilters:
    """Selects and sorts sessions; a filter that is None does not restrict the result.

    Filters compare the document's own values: a session with status ``round_2`` is not ``running``.

    :ivar status: one status or several; an empty collection does not restrict the result
    :ivar session_type: one type or several, likewise
    :ivar created_from: the earliest ``createdAt``, inclusive: RFC 3339 text or an aware datetime. Compared as instants,
        to the nanosecond; a ``createdAt`` that is not a timestamp never matches
    :ivar created_to: the latest ``createdAt``, inclusive
    :ivar text: a text in the task, the id or an agent's name; case does not matter
    :ivar sort_by: ``duration`` is ``totalDuration``, ``filesChanged`` is ``totalFilesChanged``; None is file order.
        Ties stay in file order; documents without the value come last
    :ivar descending: the largest value first; without ``sort_by``, reverse file order
    :ivar limit: the largest number of documents to return
    :ivar offset: the number of documents to skip
    :raises ValidationError: a value is invalid
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
            is_collection = value is None or isinstance(value, Collection)
            if not is_collection or not all(isinstance(text, str) for text in several(value)):
                raise _refused(name, value, "a string or several")
        since = required_instant("created_from", self.created_from)
        until = required_instant("created_to", self.created_to)
        if since is not None and until is not None and until < since:
            raise _refused("created_to", self.created_to, f"{self.created_from} or later, which is created_from")
        if self.text is not None and not isinstance(self.text, str):
            raise _refused("text", self.text, "a string")
        if self.sort_by is not None and self.sort_by not in get_args(SortKey):
            raise _refused("sort_by", self.sort_by, "one of " + ", ".join(get_args(SortKey)))
        if not isinstance(self.descending, bool):
            raise _refused("descending", self.descending, "True or False")
        numbers: tuple[tuple[str, Any], ...] = (("limit", self.limit), ("offset", self.offset))
        for name, number in numbers:
            fits = isinstance(number, int) and not isinstance(number, bool) and number >= 0
            if not fits and (name, number) != ("limit", None):
                raise _refused(name, number, "an integer of 0 or more")


def several(value: str | Collection[str] | None) -> Collection[Any]:
    """Return one value, several or none as a collection."""
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else value


def required_instant(name: str, value: Any) -> Instant | None:
    """Return the instant of a filter; None for None.

    :raises ValidationError: it is neither a timestamp nor an aware datetime
    """
    if value is None:
        return None
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise _refused(name, value, "a datetime that knows its time zone")
        return instant_of(value)
    found = instant(value) if isinstance(value, str) else None
    if found is None:
        raise _refused(name, value, "a timestamp such as 2025-01-13T10:00:00Z")
    return found


def _refused(name: str, value: Any, expected: str) -> ValidationError:
    return ValidationError(
        f"The filter {name} cannot be {abbreviated(value)}: it must be {expected}.", code="option.invalid"
    )


@runtime_checkable
class SessionStorage(Protocol):
    """A store of session documents by workspace path. Several threads may use it at the same time.

    Every operation except :meth:`get_all_sessions` raises ValidationError for an empty or blank workspace path. If the
    path of a workspace is unknown, use the placeholder ``unknown:<hash>``.
    """

    def create_session(self, workspace_path: str, session: WorktreeSession) -> WorktreeSession:
        """Store a new session after the others; a new workspace is created.

        SQLite: O(m + log n). JSON: O(everything in the workspace), as for every change.

        :returns: the session as it will be read
        :raises ValidationError: it is not a valid session; lists every problem
        :raises SessionAlreadyExists: the workspace already has a session with this id
        """
        ...

    def create_sessions(self, workspace_path: str, sessions: Iterable[WorktreeSession]) -> list[WorktreeSession]:
        """Store new sessions after the others, in this order: all of them, or none if one cannot be stored.

        :returns: the sessions as they will be read
        :raises ValidationError: one is not a valid session; lists every problem of the first such one
        :raises SessionAlreadyExists: the workspace already has a session with one of the ids, or two have the same id
        """
        ...

    def update_session(
        self,
        workspace_path: str,
        session: WorktreeSession,
        *,
        expected: WorktreeSession | None = None,
        ordinal: int = 0,
    ) -> WorktreeSession:
        """Replace the whole document with this id, including unknown members and ``updatedAt``; it keeps its place.

        SQLite: O(m + log n).

        :param expected: the document as the caller has read it: replace it only if the store still has this one.
            Whole documents are compared, since other programs may leave ``updatedAt`` as it was
        :returns: the session as it will be read
        :raises SessionChanged: the store has another document than the expected one; the error carries both
        :raises ValidationError: it is not a valid session; lists every problem
        :raises WorkspaceNotFound: the store does not know the workspace
        :raises SessionNotFound: the workspace has no session with this id
        """
        ...

    def get_session(self, workspace_path: str, session_id: str, *, ordinal: int = 0) -> WorktreeSession:
        """Return the session with this id.

        SQLite: O(m + log n). JSON: O(everything in the workspace), as for every read.

        :raises WorkspaceNotFound: the store does not know the workspace
        :raises SessionNotFound: the workspace has no session with this id
        """
        ...

    def get_all_sessions(self, workspace_path: str) -> list[WorktreeSession]:
        """Return every session of the workspace, in file order; none for an unknown workspace.

        An empty or blank path has none either, and logs a warning: the app asks before a workspace is open.

        SQLite: a fixed number of statements.
        """
        ...

    def iter_sessions(self, workspace_path: str, filters: SessionFilters | None = None) -> Iterator[WorktreeSession]:
        """Yield the sessions of the workspace one by one, in file order, with one document at a time in memory.

        The loop may take its time, and write to the store. A session that is not changed meanwhile comes exactly once;
        another one as it was or as it is, or not at all; one that is created meanwhile does not come.

        :param filters: only select: ``sort_by``, ``descending``, ``limit`` and ``offset`` are refused
        :raises ValidationError: at the call: the arguments are invalid. In the loop: a JSON file has an invalid session
        """
        ...

    def list_sessions(
        self,
        workspace_path: str,
        filters: SessionFilters | None = None,
        *,
        after: str | None = None,
        limit: int | None = None,
    ) -> list[SessionSummary]:
        """Return what a list shows of the sessions that match, without their texts; none for an unknown workspace.

        In file order, unless the filters sort. For pages, give ``limit``, and from the second page on the ``cursor`` of
        the last session of the page before: whatever others write meanwhile, a session that is not changed is in
        exactly one page.

        SQLite: one statement, which reads rows of the page and an index. Any page takes the same time.

        :param after: list what comes after this cursor
        :param limit: maximum number of sessions, 1 or more
        :raises ValidationError: an argument is invalid; the cursor is not one of this workspace; or a page is wanted of
            filters with ``sort_by``, ``descending``, ``limit`` or ``offset``
        """
        ...

    def list_workspaces(self) -> list[WorkspaceSummary]:
        """Return every workspace that the store has, by hash; also those without sessions.

        SQLite: O(number of sessions), in an index. JSON: O(everything).
        """
        ...

    def delete_session(self, workspace_path: str, session_id: str, *, ordinal: int | None = None) -> None:
        """Delete every session with this id. An unknown id is an error, unlike in the app, which ignores it.

        SQLite: O(m + log n).

        :param ordinal: delete only this one; the next session with the id then gets its number
        :raises WorkspaceNotFound: the store does not know the workspace
        :raises SessionNotFound: the workspace has no session with this id
        """
        ...

    def add_chat_message(
        self, workspace_path: str, session_id: str, message: ChatMessage, *, ordinal: int = 0
    ) -> WorktreeSession:
        """Append a message to the session's chat and set ``updatedAt`` to now (RFC 3339, UTC).

        SQLite: O(log m + log n), and O(m) to return the document.

        :returns: the whole session; use :meth:`append_chat_message` if you do not need it
        :raises ValidationError: it is not a valid message; lists every problem
        :raises WorkspaceNotFound: the store does not know the workspace
        :raises SessionNotFound: the workspace has no session with this id
        """
        ...

    def append_chat_message(
        self, workspace_path: str, session_id: str, message: ChatMessage, *, ordinal: int = 0
    ) -> None:
        """Append a message as :meth:`add_chat_message` does, without returning the session.

        Raises the same errors. SQLite: O(log m + log n).
        """
        ...

    def update_instance_status(
        self, workspace_path: str, session_id: str, instance_id: int, status: str, *, ordinal: int = 0
    ) -> WorktreeSession:
        """Set the status of the session's first instance with this number, and ``updatedAt`` to now (RFC 3339, UTC).

        SQLite: O(log m + log n), and O(m) to return the document.

        :param status: any string: the app knows six, and others occur
        :returns: the whole session; use :meth:`set_instance_status` if you do not need it
        :raises WorkspaceNotFound: the store does not know the workspace
        :raises SessionNotFound: the workspace has no session with this id
        :raises InstanceNotFound: the session has no instance with this number
        """
        ...

    def set_instance_status(
        self, workspace_path: str, session_id: str, instance_id: int, status: str, *, ordinal: int = 0
    ) -> None:
        """Set an instance's status as :meth:`update_instance_status` does, without returning the session.

        Raises the same errors. SQLite: O(log m + log n).
        """
        ...

    def search_sessions(self, workspace_path: str, filters: SessionFilters | None = None) -> list[WorktreeSession]:
        """Return the sessions that match the filters, sorted as they say; none for an unknown workspace.

        SQLite: a fixed number of statements; O(n) without the instances and messages, in file order only up to the last
        session of the result, and O(m) for each session of the result. :meth:`list_sessions` takes the same filters.

        :param filters: which sessions to return, and in which order
        """
        ...

    def close(self) -> None:
        """Close files and connections; may be called again. Any other operation then raises ConnectionFailed."""
        ...

    def __reduce__(self) -> str | tuple[Any, ...]:
        raise TypeError("A store cannot be pickled or copied: open one in each process, with open_storage().")

    def __enter__(self) -> Self:
        """Return the store itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the store."""
        self.close()


@runtime_checkable
class MirrorableStorage(SessionStorage, Protocol):
    """A store that can be one of the two that hybrid mode keeps equal. Its additional parameters are not for the app.

    Both stores get the timestamp of a change from the caller, so that they contain the same: ``updated_at`` is the
    value to set (None is now). A value that is not a string raises ValidationError. Everything else is as in
    SessionStorage.
    """

    def append_chat_message(
        self,
        workspace_path: str,
        session_id: str,
        message: ChatMessage,
        *,
        ordinal: int = 0,
        updated_at: str | None = None,
    ) -> None:
        """Append a message as in :meth:`SessionStorage.append_chat_message`, with a given timestamp."""
        ...

    def add_chat_message(
        self,
        workspace_path: str,
        session_id: str,
        message: ChatMessage,
        *,
        ordinal: int = 0,
        updated_at: str | None = None,
    ) -> WorktreeSession:
        """Append a message as in :meth:`SessionStorage.add_chat_message`, with a given timestamp."""
        ...

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
        """Set a status as in :meth:`SessionStorage.update_instance_status`, with a given timestamp."""
        ...

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
        """Set a status as in :meth:`SessionStorage.set_instance_status`, with a given timestamp."""
        ...

    def replace_workspace(self, workspace_path: str, documents: Iterable[WorktreeSession]) -> None:
        """Make the workspace contain exactly these documents in this order; a new workspace is created.

        :param documents: may contain an id several times
        :raises ValidationError: one is not a valid session; nothing was changed
        """
        ...
