"""Sessions out of SQLite into files that the app can read."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from migrator.authority import read_state
from migrator.data_dir import DataDir
from migrator.database import queries
from migrator.database.connection import opened
from migrator.database.documents import read_workspace
from migrator.database.errors import sqlite_errors
from migrator.documents.app_format import app_file
from migrator.errors import WorkspaceNotFound
from migrator.files import durable
from migrator.files.output import NewFiles, new_files
from migrator.inventory.source_files import workspace_file_name
from migrator.report import Report
from migrator.workspace import workspace_hash

# Its number, its hash, its path.
Workspace = tuple[int, str, str]


@dataclass(frozen=True)
class ExportedWorkspace:
    """One file that was written.

    :ivar restored: ``export``: written from SQLite
    :ivar quarantined: what the workspace has in quarantine, which no such file can hold
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

    :ivar notes: what is left out, because only a file that could not be migrated holds it
    """

    workspaces: tuple[ExportedWorkspace, ...]
    directory: str
    notes: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        return 3 if self.notes else 0


def export(data_dir: DataDir, target: Path, workspaces: Sequence[str | os.PathLike[str]] = ()) -> ExportReport:
    """Write ``<hash>.json`` files in the app's format into a folder; nothing there is overwritten.

    :param workspaces: the paths (or hashes) of the ones to write; none for all
    :raises ConnectionFailed: there is no database
    :raises WorkspaceNotFound: a path that the database does not know
    :raises StorageIOError: a file of that name exists, or can't be written
    """
    with opened(data_dir.database, read_only=True) as connection, sqlite_errors("read sessions", data_dir.database):
        state = read_state(connection, data_dir.database)
        connection.execute("BEGIN")  # all files show one state
        # The hashes of those whose own file failed to migrate.
        failed = {name for (name,) in connection.execute(queries.FAILED_WORKSPACES)} if state.has_ledger else set()
        # What each may be named by: as it was given, by its path or its hash, and by the hash of that path.
        wanted = {os.fspath(given): {os.fspath(given), workspace_hash(os.fspath(given))} for given in workspaces}
        if wanted:
            failed &= set().union(*wanted.values())
        chosen = [
            # What would be an empty file in the place of a full one is none.
            row
            for row in _chosen(connection, wanted, failed)
            if row[1] not in failed or next(read_workspace(connection, row[0]), None) is not None
        ]
        names = [workspace_file_name(row[1]) for row in chosen]
        durable.make_private_folder(target)
        with new_files(target, "export") as files:
            files.require_free(*names)
            written = [_write(connection, files, *row) for row in chosen]
    notes = [
        f"What {data_dir.sessions / workspace_file_name(name)} holds is left out, for it could not be migrated; "
        "'migrator status' tells why."
        for name in sorted(failed)
    ]
    return ExportReport(tuple(written), os.fspath(target), tuple(notes))


def _chosen(connection: sqlite3.Connection, wanted: Mapping[str, set[str]], failed: set[str]) -> list[Workspace]:
    rows: list[Workspace] = connection.execute(queries.ALL_WORKSPACES).fetchall()
    if not wanted:
        return rows
    chosen: list[Workspace] = []
    for given, names in wanted.items():
        found = [row for row in rows if row[1] in names or row[2] in names]
        if not found and not names & failed:
            raise WorkspaceNotFound(
                f"The database has no workspace {given}.", hint="'migrator status' lists the ones that it has."
            )
        chosen += [row for row in found if row not in chosen]
    return chosen


def _write(
    connection: sqlite3.Connection, files: NewFiles, workspace_id: int, file_hash: str, path: str
) -> ExportedWorkspace:
    name, count = workspace_file_name(file_hash), 0

    def documents() -> Iterator[Any]:
        nonlocal count
        for stored in read_workspace(connection, workspace_id):
            count += 1
            yield stored.document

    sha256 = files.add(name, app_file(documents()))
    held = connection.execute(queries.QUARANTINE_COUNT_OF_WORKSPACE, (file_hash,)).fetchone()[0]
    return ExportedWorkspace(file_hash, path, "export", os.fspath(files.folder / name), count, held, sha256)
