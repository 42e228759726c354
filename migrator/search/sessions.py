"""Lists sessions of the authoritative store, of one workspace or all, and finds one by the beginning of its id.

A workspace that cannot be read is skipped with a note; if only that one was requested, it is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby, islice
from typing import Any, TypeVar

from migrator.data_dir import DataDir
from migrator.database.connection import opened
from migrator.documents.document import WorktreeSession
from migrator.documents.validation import is_valid
from migrator.errors import (
    Message,
    SessionNotFound,
    SourceFileError,
    StorageIOError,
    UsageError,
    ValidationError,
    WorkspaceNotFound,
)
from migrator.inventory.plan import Plan, make_plan
from migrator.inventory.status import name_of_workspace, note_of_loss, notes_of_hidden, workspace_names
from migrator.report import Report, problems_of
from migrator.salvage.access import read_what_can_be_read
from migrator.salvage.intact import require_intact, require_workspaces
from migrator.storage.arguments import workspace_ref
from migrator.storage.factory import open_storage
from migrator.storage.filtering import Filtering
from migrator.storage.lists.summaries import SessionSummary
from migrator.storage.migrated import failed_workspaces
from migrator.storage.protocol import SessionFilters, SessionStorage
from migrator.storage.wrappers import reader_of

# The members of the documents that a list shows, and those of a summary that have them.
_LISTED = {
    "id": "id",
    "type": "type",
    "task": "task",
    "status": "status",
    "createdAt": "created_at",
    "updatedAt": "updated_at",
    "completedAt": "completed_at",
    "model": "model",
    "totalDuration": "total_duration",
    "instances": "instance_count",
    "messages": "message_count",
}
Notice = Callable[[str], None]
_Read = TypeVar("_Read")


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
class SessionList(Report):
    """Sessions without their texts, each with its workspace.

    :ivar notes: information for the user
    :ivar errors: what cannot be read of a damaged database
    """

    sessions: tuple[tuple[str, SessionSummary], ...]
    notes: tuple[str, ...] = ()
    errors: tuple[Message, ...] = ()

    @property
    def exit_code(self) -> int:
        return 3 if self.errors else 0

    def to_json(self) -> dict[str, Any]:
        listed = [
            {"workspace": path} | {name: getattr(session, member) for name, member in _LISTED.items()}
            for path, session in self.sessions
        ]
        return {"sessions": listed, "notes": list(self.notes), "errors": list(self.errors)} | problems_of(self.errors)


def list_sessions(
    data_dir: DataDir, workspace: str | None, filters: SessionFilters, limit: int | None, notice: Notice
) -> SessionList:
    """List the sessions that match the filters, by workspace.

    :param workspace: list only this one; None lists all
    :param limit: maximum number of sessions in total
    :param notice: called with messages for the user, such as a workspace that cannot be read
    """
    # No more than these of each workspace can be among the first ones of all.
    first = replace(filters, limit=limit)

    def read(places: DataDir) -> SessionList:
        plan = make_plan(places)
        if plan.state.authority == "sqlite":
            with opened(places.database, read_only=True) as connection:
                require_workspaces(connection, places.database)
        found = _of_all(places, plan, workspace, first, notice)
        if filters.sort_by is not None:
            found = _sorted(found, filters)
        return SessionList(tuple(islice(found, limit)), tuple(notes_of_hidden(places, workspace, plan=plan)))

    report, missing = read_what_can_be_read(data_dir, read)
    return replace(report, errors=missing)


def _sorted(
    found: Iterable[tuple[str, SessionSummary]], filters: SessionFilters
) -> Iterator[tuple[str, SessionSummary]]:
    """Sort the sessions of all workspaces together."""
    values: list[dict[str, Any]] = [
        {
            "createdAt": session.created_at,
            "updatedAt": session.updated_at,
            "totalDuration": session.total_duration,
            "totalFilesChanged": session.total_files_changed,
            "session": (path, session),
        }
        for path, session in found
    ]
    return (each["session"] for each in Filtering(filters).sort(values))


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
    listed = _of_all(data_dir, make_plan(data_dir), workspace, None, notice)
    similar = [(name, one) for name, one in listed if one.id.startswith(beginning)]
    exact = [(name, one) for name, one in similar if one.id == beginning]
    with open_storage(data_dir, read_only=True) as store:
        found = [(name, store.get_session(name, one.id, ordinal=one.ordinal)) for name, one in exact or similar]
    if not all(is_valid(session) for _, session in found):  # rows of a damaged page have no values
        with opened(data_dir.database, read_only=True) as connection:
            require_intact(connection, data_dir.database)
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


def _of_all(
    data_dir: DataDir, plan: Plan, workspace: str | None, filters: SessionFilters | None, notice: Notice
) -> Iterator[tuple[str, SessionSummary]]:
    """Yield the sessions that match, each with the name of its workspace."""
    loss = note_of_loss(data_dir, plan.state)
    if loss is not None:
        notice(loss)
    names = [name_of_workspace(data_dir, workspace, plan=plan)] if workspace else workspace_names(data_dir, plan)
    for path, sessions in read_lists(data_dir, names, filters, notice, alone=workspace is not None):
        yield from ((path, session) for session in sessions)


def read_lists(
    data_dir: DataDir, names: Iterable[str], filters: SessionFilters | None, notice: Notice, *, alone: bool
) -> Iterator[tuple[str, list[SessionSummary]]]:
    """Yield each workspace that can be read, with its sessions that match; those in SQLite are read together.

    :param alone: a workspace that cannot be read is an error, not a note
    """
    from migrator.storage.sqlite import SqliteStorage

    with open_storage(data_dir, read_only=True) as store:
        for served_by, group in groupby(names, partial(reader_of, store)):
            if isinstance(served_by, SqliteStorage):
                several = [*group]
                yield from zip(several, served_by.list_each(several, filters), strict=True)
            else:
                yield from _readable(
                    data_dir, group, lambda name: store.list_sessions(name, filters), notice, alone=alone
                )


def read_workspaces(
    data_dir: DataDir,
    names: Iterable[str],
    read: Callable[[SessionStorage, str], list[_Read]],
    notice: Notice,
    *,
    alone: bool,
) -> Iterator[tuple[str, list[_Read]]]:
    """Yield each workspace that can be read, with what is read of it.

    :param alone: a workspace that cannot be read is an error, not a note
    """
    with open_storage(data_dir, read_only=True) as store:
        yield from _readable(data_dir, names, lambda name: read(store, name), notice, alone=alone)


def _readable(
    data_dir: DataDir, names: Iterable[str], read: Callable[[str], list[_Read]], notice: Notice, *, alone: bool
) -> Iterator[tuple[str, list[_Read]]]:
    for name in names:
        try:
            found = read(name)
        except (WorkspaceNotFound, StorageIOError, SourceFileError, ValidationError) as error:
            if alone:
                raise
            if workspace_ref(name).hash in failed_workspaces(data_dir):
                notice(f"Skipped {name}: its file could not be migrated. 'migrator status' shows why.")
            elif not isinstance(error, WorkspaceNotFound):
                notice(f"Skipped {name}: {error}")
            continue
        yield name, found
