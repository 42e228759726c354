"""Export: workspaces from SQLite into JSON files in a folder, each read back before it gets its name."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import zip_longest
from pathlib import Path

from migrator.authority import read_state, require_history
from migrator.data_dir import DataDir
from migrator.database import quarantine_queries, queries
from migrator.database.connection import opened
from migrator.database.documents import read_workspace
from migrator.database.errors import sqlite_errors
from migrator.documents.app_format import app_file
from migrator.documents.array_reader import read_array
from migrator.documents.exact_json import Unreadable
from migrator.documents.parsing import parse_element
from migrator.errors import Message, SourceFileError, StorageIOError, WorkspaceNotFound
from migrator.files import durable
from migrator.files.os_errors import os_errors
from migrator.files.output import NewFiles, new_files
from migrator.inventory.source_files import workspace_file_name
from migrator.report import Report
from migrator.salvage.access import read_what_can_be_read
from migrator.salvage.intact import require_intact, require_workspaces
from migrator.workspace import named_workspace, placeholder

# Row id, hash and path.
Workspace = tuple[int, str, str]


@dataclass(frozen=True)
class ExportedWorkspace:
    """One file that was written and read back.

    :ivar restored: ``export``: written from SQLite
    :ivar quarantined: how many items the workspace has in quarantine; the file holds none of them
    """

    hash: str
    path: str
    restored: str
    file: str
    sessions: int
    quarantined: int
    sha256: str


@dataclass(frozen=True)
class ExportReport(Report):
    """What was exported, and what could not be.

    :ivar notes: one for each workspace file that is skipped because it could not be migrated
    :ivar errors: the notes, all of which need attention, and what could not be read of a damaged database
    """

    workspaces: tuple[ExportedWorkspace, ...]
    directory: str
    notes: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        return 3 if self.errors else 0


def export(data_dir: DataDir, target: Path, workspaces: Sequence[str | os.PathLike[str]] = ()) -> ExportReport:
    """Write ``<hash>.json`` files in the app's format into a folder. Nothing there is overwritten.

    :param workspaces: the paths (or hashes) of the workspaces to write; none for all
    :raises ConnectionFailed: there is no database
    :raises WorkspaceNotFound: the database does not have one of the workspaces
    :raises StorageIOError: a file of that name exists, cannot be written, or does not read back; nothing was exported
    """
    report, missing = read_what_can_be_read(data_dir, partial(_export, target=target, workspaces=workspaces))
    return replace(report, notes=(*report.notes, *missing), errors=(*report.errors, *missing))


def _export(data_dir: DataDir, target: Path, workspaces: Sequence[str | os.PathLike[str]]) -> ExportReport:
    require_history(data_dir)
    with opened(data_dir.database, read_only=True) as connection, sqlite_errors("read sessions", data_dir.database):
        state = read_state(connection, data_dir.database)
        connection.execute("BEGIN")  # all files show one state
        require_intact(connection, data_dir.database)
        require_workspaces(connection, data_dir.database)
        # The hashes of the workspaces whose own file could not be migrated.
        failed = {name for (name,) in connection.execute(queries.FAILED_WORKSPACES)} if state.has_ledger else set()
        known = {file_hash: path for _, file_hash, path in connection.execute(queries.ALL_WORKSPACES)}
        known = {name: placeholder(name) for name in failed} | known
        wanted = {os.fspath(given): {named_workspace(given, known)} for given in workspaces}
        if wanted:
            failed &= set().union(*wanted.values())
        chosen = [
            # Without sessions in SQLite, a failed file would be exported as an empty one.
            row
            for row in _chosen(connection, wanted, failed)
            if row[1] not in failed or next(read_workspace(connection, row[0]), None) is not None
        ]
        names = [workspace_file_name(row[1]) for row in chosen]
        durable.make_private_folder(target)
        with new_files(target, "export") as files:
            files.require_free(*names)
            written = [_write(connection, files, *row) for row in chosen]
    notes = tuple(
        Message(
            f"Skipped {data_dir.sessions / workspace_file_name(name)}: it could not be migrated.",
            code="source.not_migrated",
            hint="'migrator status' shows why.",
        )
        for name in sorted(failed)
    )
    return ExportReport(tuple(written), os.fspath(target), notes, notes)


def _chosen(connection: sqlite3.Connection, wanted: Mapping[str, set[str]], failed: set[str]) -> list[Workspace]:
    rows: list[Workspace] = connection.execute(queries.ALL_WORKSPACES).fetchall()
    if not wanted:
        return rows
    chosen: list[Workspace] = []
    for given, names in wanted.items():
        found = [row for row in rows if row[1] in names]
        if not found and not names & failed:
            raise WorkspaceNotFound(
                f"The database has no workspace {given}.", hint="'migrator status' lists the workspaces that it has."
            )
        chosen += [row for row in found if row not in chosen]
    return chosen


def _write(
    connection: sqlite3.Connection, files: NewFiles, workspace_id: int, file_hash: str, path: str
) -> ExportedWorkspace:
    name, sessions = workspace_file_name(file_hash), 0

    def read_back(written: Path) -> None:
        nonlocal sessions
        sessions = require_same_sessions(connection, workspace_id, written, files.folder / name)

    documents = (stored.document for stored in read_workspace(connection, workspace_id))
    sha256 = files.add(name, app_file(documents), read_back)
    held = connection.execute(quarantine_queries.QUARANTINE_COUNT_OF_WORKSPACE, (file_hash,)).fetchone()[0]
    return ExportedWorkspace(file_hash, path, "export", os.fspath(files.folder / name), sessions, held, sha256)


def require_same_sessions(connection: sqlite3.Connection, workspace_id: int, written: Path, target: Path) -> int:
    """Parse a written file and compare it, session by session, with what the database holds, read once more.

    :param target: the name that the file is going to have
    :returns: how many sessions it holds
    :raises StorageIOError: the file has other sessions than the database, or has them in another order
    """
    sessions = 0
    for found, stored in zip_longest(_parsed(written), read_workspace(connection, workspace_id)):
        if stored is None or found != stored.canonical_bytes():
            raise StorageIOError(
                f"{target} was not exported: the written file differs from SQLite at session {sessions + 1}.",
                code="file.readback_failed",
                hint="The disk may be failing: export to another one. Nothing was exported.",
            )
        sessions += 1
    return sessions


def _parsed(path: Path) -> Iterator[bytes]:
    """The canonical form of each element of a file; empty for the first that is not JSON, which is the last."""
    with os_errors("read", path), open(path, "rb", buffering=0) as file:
        try:
            for element in read_array(file):
                yield parse_element(element.raw, element.value).canonical_bytes()
        except (SourceFileError, Unreadable, ValueError, TypeError, LookupError):  # also for what is not a session
            yield b""
