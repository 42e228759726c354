"""Lists sessions of the authoritative store, of one workspace or all, and finds one by the beginning of its id.

A workspace that cannot be read is skipped with a note; if only that one was requested, it is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from migrator.data_dir import DataDir
from migrator.documents.document import WorktreeSession
from migrator.errors import (
    Message,
    SessionNotFound,
    SourceFileError,
    StorageIOError,
    UsageError,
    ValidationError,
    WorkspaceNotFound,
)
from migrator.inventory.status import name_of_workspace, note_of_loss, notes_of_hidden, workspace_names
from migrator.report import Report, problems_of
from migrator.salvage.access import read_what_can_be_read
from migrator.storage.arguments import workspace_ref
from migrator.storage.factory import open_storage
from migrator.storage.filtering import Filtering
from migrator.storage.migrated import failed_workspaces
from migrator.storage.protocol import SessionFilters

_LISTED_MEMBERS = ("id", "type", "task", "status", "createdAt", "updatedAt", "completedAt", "model", "totalDuration")
Notice = Callable[[str], None]


@dataclass(frozen=True)
class SessionDocuments(Report):
    """Complete sessions, each with its workspace.

    :ivar errors: what cannot be read of a damaged database
    """

    sessions: tuple[tuple[str, WorktreeSession], ...]
    errors: tuple[Message, ...] = ()

    @property
    def exit_code(self) -> int:
        return 3 if self.errors else 0

    def to_json(self) -> dict[str, Any]:
        sessions = [{"workspace": path, "session": session} for path, session in self.sessions]
        return {"sessions": sessions, "errors": list(self.errors)} | problems_of(self.errors)


@dataclass(frozen=True)
class SessionList(SessionDocuments):
    """Sessions of which the JSON has only the members that a list shows.

    :ivar notes: information for the user
    """

    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        listed = []
        for path, session in self.sessions:
            members = {name: session.get(name) for name in _LISTED_MEMBERS}
            counts = {"instances": len(session["instances"]), "messages": len(session["chatHistory"])}
            listed.append({"workspace": path, **members, **counts})
        return super().to_json() | {"sessions": listed, "notes": list(self.notes)}


def list_sessions(
    data_dir: DataDir, workspace: str | None, filters: SessionFilters, limit: int | None, notice: Notice
) -> SessionList:
    """List the sessions that match the filters, by workspace.

    :param workspace: list only this one; None lists all
    :param limit: maximum number of sessions in total
    :param notice: called with messages for the user, such as a workspace that cannot be read
    """

    def read(places: DataDir) -> SessionList:
        found = _all_sessions(places, workspace, filters, notice)
        if filters.sort_by is not None:
            found = _sorted([*found], filters)
        return SessionList(tuple(islice(found, limit)), notes=tuple(notes_of_hidden(places, workspace)))

    report, missing = read_what_can_be_read(data_dir, read)
    return replace(report, errors=missing)


def _sorted(
    found: Sequence[tuple[str, WorktreeSession]], filters: SessionFilters
) -> Iterator[tuple[str, WorktreeSession]]:
    """Sort the sessions of all workspaces together."""
    workspaces = {id(session): path for path, session in found}
    ordered = Filtering(filters).sort([session for _, session in found])
    return ((workspaces[id(session)], session) for session in ordered)


def find_session(data_dir: DataDir, beginning: str, workspace: str | None, notice: Notice) -> SessionDocuments:
    """Find the session with an id, or the only one whose id begins with it; several if workspaces share the id.

    :raises SessionNotFound: there is no such session
    :raises UsageError: several ids begin with it
    """
    report, missing = read_what_can_be_read(
        data_dir, lambda places: _find_session(places, beginning, workspace, notice)
    )
    return replace(report, errors=missing)


def _find_session(data_dir: DataDir, beginning: str, workspace: str | None, notice: Notice) -> SessionDocuments:
    every = _all_sessions(data_dir, workspace, SessionFilters(), notice)
    similar = [(path, session) for path, session in every if session["id"].startswith(beginning)]
    found = [(path, session) for path, session in similar if session["id"] == beginning] or similar
    names = sorted({session["id"] for _, session in found})
    if not names:
        where = f"in {workspace}" if workspace else "in any workspace"
        raise SessionNotFound(
            f"There is no session {beginning!r} {where}.", hint="'migrator sessions list' lists all sessions."
        )
    if len(names) > 1:
        raise UsageError(
            f"{beginning!r} is ambiguous: {', '.join(names[:5])}{', …' if len(names) > 5 else ''}.",
            code="session.ambiguous",
            hint="Give more of the id.",
        )
    return SessionDocuments(tuple(found))


def _all_sessions(
    data_dir: DataDir, workspace: str | None, filters: SessionFilters, notice: Notice
) -> Iterator[tuple[str, WorktreeSession]]:
    loss = note_of_loss(data_dir)
    if loss is not None:
        notice(loss)
    names = [name_of_workspace(data_dir, workspace)] if workspace else workspace_names(data_dir)
    for path, sessions in read_workspaces(data_dir, names, filters, notice, alone=workspace is not None):
        yield from ((path, session) for session in sessions)


def read_workspaces(
    data_dir: DataDir, names: Iterable[str], filters: SessionFilters, notice: Notice, *, alone: bool
) -> Iterator[tuple[str, list[WorktreeSession]]]:
    """Yield each workspace that can be read, with its sessions.

    :param alone: a workspace that cannot be read is an error, not a note
    """
    with open_storage(data_dir, read_only=True) as store:
        for name in names:
            try:
                sessions = store.search_sessions(name, filters)
            except (WorkspaceNotFound, StorageIOError, SourceFileError, ValidationError) as error:
                if alone:
                    raise
                if workspace_ref(name).hash in failed_workspaces(data_dir):
                    notice(f"Skipped {name}: its file could not be migrated. 'migrator status' shows why.")
                elif not isinstance(error, WorkspaceNotFound):
                    notice(f"Skipped {name}: {error}")
                continue
            yield name, sessions
