"""The current state: the authoritative store, the flag, each workspace, and what is left to do. Changes nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

from migrator.authority import State, broken_link, missing_database, read_state, state_of, store_status
from migrator.data_dir import DataDir, wrong_place
from migrator.database import queries
from migrator.database.connection import opened
from migrator.database.errors import sqlite_errors
from migrator.errors import Message, MigratorError
from migrator.inventory.deletions import Deletion, all_deletions
from migrator.inventory.plan import Plan, make_plan, needs_migration, no_sessions_of, why_refused
from migrator.inventory.source_files import Source
from migrator.progress import Progress
from migrator.report import Report
from migrator.text import counted
from migrator.workspace import UNKNOWN_PREFIX, named_workspace, placeholder, workspace_hash, workspace_of_source


@dataclass(frozen=True)
class WorkspaceState:
    """The state of one workspace.

    :ivar state: ``migrated``, ``failed`` (its file stays JSON), ``new`` or ``changed`` (there is something to migrate)
    :ivar changed: the files that ``migrate`` would migrate
    :ivar deleted: the sessions that its files lost and that are kept in quarantine
    :ivar held: those that its files lost and that stay in SQLite until the user decides
    """

    hash: str
    path: str
    state: str
    sessions: int = 0
    instances: int = 0
    messages: int = 0
    quarantined: int = 0
    error: Message | None = None
    changed: tuple[str, ...] = ()
    deleted: int = 0
    held: int = 0


@dataclass(frozen=True)
class StatusReport(Report):
    """The current state.

    :ivar authority: the authoritative store, ``json`` or ``sqlite``
    :ivar backend: the backend in use: the one that storage.json names, or the authoritative store
    :ivar migration_status: as in ``migration_metadata``; None if there is no database
    :ivar lost: says that the authoritative database is missing, and what to do; None if it is not
    :ivar refused: why ``migrate`` would be refused, and what to do; None if it would not be
    :ivar quarantined: the items in quarantine that wait for a decision
    :ivar deleted: the sessions in quarantine that were deleted in their files
    :ivar held: the sessions that their files lost and that stay until the user decides
    :ivar deletions: each of both
    :ivar search_index: the state of the full-text search index; None if SQLite is not authoritative
    :ivar running: how far the migrator is that is at work; None if none is
    :ivar needs_migration: whether ``migrate`` has to be run; see :func:`needs_migration`
    """

    authority: str
    backend: str
    migration_status: str | None
    schema_version: int
    migrated_at: str | None
    database: str
    database_bytes: int
    backup_path: str | None
    quarantined: int
    needs_migration: bool
    workspaces: tuple[WorkspaceState, ...]
    changed_files: tuple[str, ...]
    warnings: tuple[Message, ...]
    lost: Message | None = None
    refused: Message | None = None
    deleted: int = 0
    held: int = 0
    deletions: tuple[Deletion, ...] = ()
    search_index: str | None = None
    running: Progress | None = None


def status_of(data_dir: DataDir) -> StatusReport:
    """Report the current state.

    :raises MigratorError: the database or the folder cannot be read
    """
    plan, wrong, link = make_plan(data_dir), wrong_place(data_dir), broken_link(data_dir)
    authority, backend, missing = store_status(data_dir, plan.state)
    pending = _pending(plan, backend)
    states, quarantined, deletions = _workspace_states(data_dir.database, plan, pending)
    held = sum(deletion.held for deletion in deletions)
    return StatusReport(
        authority=authority,
        backend=backend,
        migration_status=plan.state.status,
        schema_version=plan.state.schema_version,
        migrated_at=plan.state.migrated_at,
        database=str(data_dir.database),
        database_bytes=data_dir.database.stat().st_size if data_dir.database.exists() else 0,
        backup_path=data_dir.backup_now(plan.state.backup),
        quarantined=quarantined,
        needs_migration=needs_migration(data_dir, plan),
        workspaces=tuple(sorted(states.values(), key=_in_order)),
        changed_files=tuple(source.name for source in pending),
        warnings=(
            *plan.warnings,
            *plan.unknown_files,
            *([wrong] if wrong else []),
            *([link.as_message()] if link and not missing else []),
        ),
        lost=None if missing is None else missing.as_message(),
        refused=why_refused(data_dir, plan.state),
        deleted=len(deletions) - held,
        held=held,
        deletions=deletions,
        search_index=plan.index_state,
        running=_running(data_dir),
    )


def _running(data_dir: DataDir) -> Progress | None:
    if not data_dir.progress.exists():
        return None
    from migrator.locking import progress_of_other  # most often no migrator is at work

    return progress_of_other(data_dir)


def _pending(plan: Plan, backend: str) -> list[Source]:
    """The files to migrate. In hybrid mode migrator itself writes those that have been migrated."""
    return [source for source in plan.work.pending if backend != "hybrid" or source.name not in plan.ledger]


def _in_order(workspace: WorkspaceState) -> tuple[bool, str, str]:
    """The order of their paths, with those whose path is not known at the end."""
    return workspace.path.startswith(UNKNOWN_PREFIX), workspace.path.casefold(), workspace.path


def note_of_loss(data_dir: DataDir, state: State | None = None) -> str | None:
    """The note to show with sessions of the JSON files while the authoritative database is missing.

    :param state: of the database, if it has been read already
    """
    missing = missing_database(data_dir, state or state_of(data_dir.database))
    if missing is None:
        return None
    return f"{missing.message} These sessions come from the JSON files, which are outdated; see 'migrator doctor'."


def notes_of_hidden(
    data_dir: DataDir,
    workspace: str | None = None,
    connection: sqlite3.Connection | None = None,
    plan: Plan | None = None,
) -> list[Message]:
    """The notes to show with sessions of the authoritative store, about what is not among them.

    With SQLite, that is what is in quarantine and which files failed; with the JSON files, the files that only a
    migration reads.

    :param workspace: what is not among the sessions of this one; None for all
    :param connection: reads the database; None opens one
    :param plan: if it has been made already
    """
    if workspace is None and connection is not None:  # without a look at all files
        state = read_state(connection, data_dir.database)
        if state.authority == "sqlite" and state.has_ledger:
            with sqlite_errors("read the ledger", data_dir.database):
                return _notes_of_hidden(*connection.execute(queries.HIDDEN).fetchone())
    notes, plan = list[Message](), plan or make_plan(data_dir, connection=connection)
    if missing_database(data_dir, plan.state) is not None:
        return notes
    own = None if workspace is None else named_workspace(workspace, plan.known)
    if workspace is not None and own not in plan.known:
        return [no_sessions_of(workspace)]
    if plan.state.authority != "sqlite":
        return [
            Message(
                f"Not shown: {_sessions_in(source)} of the older file {source.name}.",
                code="source.not_listed",
                hint="'migrator migrate' migrates them.",
            )
            for source in plan.sources
            if source.kind != "workspace" and own in (None, source.workspace_hash or own)
        ]
    held = sum(plan.quarantined.values()) if own is None else plan.quarantined.get(own, 0)
    failed = sum(1 for entry in plan.ledger.values() if entry.error and own in (None, entry.workspace_hash))
    return _notes_of_hidden(held, failed)


def _notes_of_hidden(held: int, failed: int) -> list[Message]:
    notes = []
    if held:
        what = f"Not shown: {counted(held, 'item')} in quarantine."
        notes.append(Message(what, code="quarantine.waiting", hint="'migrator quarantine list' shows why."))
    if failed:
        what = f"{counted(failed, 'file')} failed to migrate, so sessions may be missing or older than in the file."
        notes.append(Message(what, code="source.invalid", hint="'migrator status' shows why."))
    return notes


def _sessions_in(source: Source) -> str:
    """Say how many sessions a file has, as far as it can be read."""
    from migrator.documents.parsing import parse_file  # other commands do without

    try:
        return counted(sum(session is not None for _, session in parse_file(source.path)), "session")
    except MigratorError:
        return "the sessions"


def workspace_names(data_dir: DataDir, plan: Plan | None = None) -> list[str]:
    """The name of every workspace, as stores accept it: its path, or ``unknown:<hash>``; nothing is counted.

    :param plan: if it has been made already
    """
    plan = plan or make_plan(data_dir)
    pending = _pending(plan, store_status(data_dir, plan.state)[1])
    states, *_ = _workspace_states(data_dir.database, plan, pending, queries.PATHS_OF_WORKSPACES)
    return [_name_for_stores(state.hash, state.path) for state in sorted(states.values(), key=_in_order)]


def name_of_workspace(
    data_dir: DataDir, given: str, connection: sqlite3.Connection | None = None, plan: Plan | None = None
) -> str:
    """The name, as stores accept it, of the workspace that the user named by its hash or by any path of its folder.

    :param connection: reads the database; None opens one
    :param plan: if it has been made already
    """
    known = (plan or make_plan(data_dir, connection=connection)).known
    found = named_workspace(given, known)
    return given if found == workspace_hash(given) else _name_for_stores(found, known.get(found, ""))


def _name_for_stores(file_hash: str, path: str) -> str:
    # If a link on the path has changed, the path has another hash now.
    return path if path.strip() and workspace_hash(path) == file_hash else placeholder(file_hash)


def _workspace_states(
    database: Path, plan: Plan, pending: Sequence[Source], statement: str = queries.COUNTS_OF_WORKSPACES
) -> tuple[dict[str, WorkspaceState], int, tuple[Deletion, ...]]:
    """The workspaces of the database and of failed and pending files; the number of quarantined items; deletions."""
    states, quarantined, deletions = dict[str, WorkspaceState](), 0, tuple[Deletion, ...]()
    if plan.state.has_ledger:
        # After a rollback the files are to be migrated again, also the shared one, which names no workspace.
        state = "new" if plan.state.status == "rolled_back" else "migrated"
        with opened(database, read_only=True) as connection, sqlite_errors("count the sessions", database):
            for file_hash, path, *counts in connection.execute(statement):
                states[file_hash] = WorkspaceState(file_hash, path, state, *counts)
            quarantined = int(connection.execute(queries.QUARANTINE_COUNT).fetchone()[0])
            deletions = tuple(all_deletions(connection)) if plan.state.has_deletions else ()
    for entry in plan.ledger.values():
        if entry.error:
            file_hash, path = workspace_of_source(entry.source, entry.workspace_hash, plan.paths)
            known = states.get(file_hash, WorkspaceState(file_hash, path, "failed"))
            # A file that became invalid after it was migrated: its sessions are still served from SQLite.
            state = "failed" if entry.status == "failed" else known.state
            states[file_hash] = replace(known, state=state, error=entry.failure)
    for source in pending:
        file_hash, path = workspace_of_source(source.name, source.workspace_hash, plan.paths)
        state = "changed" if file_hash in states and source.name in plan.ledger else "new"
        known = states.get(file_hash, WorkspaceState(file_hash, path, state))
        states[file_hash] = replace(known, state=state, changed=(*known.changed, source.name))
    for file_hash, lost in groupby(sorted(deletions, key=_workspace_of), _workspace_of):
        if file_hash in states:
            held = [deletion.held for deletion in lost]
            states[file_hash] = replace(states[file_hash], deleted=held.count(False), held=held.count(True))
    return states, quarantined, deletions


def _workspace_of(deletion: Deletion) -> str:
    return deletion.workspace_hash or ""
