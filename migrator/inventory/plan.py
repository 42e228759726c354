"""The plan of a run: the state of the database, its ledger, the source files, and the work that they leave."""

import os
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from migrator.authority import NO_DATABASE, State, has_database, is_hybrid, missing_database, read_state
from migrator.data_dir import DataDir
from migrator.database import quarantine_queries, queries, schema
from migrator.database.columns import RULES
from migrator.database.connection import opened
from migrator.database.errors import sqlite_errors, without_values
from migrator.errors import Message, SchemaError
from migrator.inventory.late_writes import find_replaced
from migrator.inventory.ledger import LedgerEntry, Work, find_work, read_ledger
from migrator.inventory.source_files import Source, list_files, with_older_files
from migrator.inventory.workspace_paths import known_paths
from migrator.ownership import foreign_database
from migrator.workspace import is_placeholder, named_workspace, placeholder


class StoredCounts(NamedTuple):
    """What the database has of one workspace from one source."""

    workspace_hash: str
    workspace_path: str
    sessions: int
    instances: int
    messages: int


class Plan(NamedTuple):
    """What there is, and what is left to do.

    :ivar sources: every source file, in the order in which they are migrated
    :ivar ledger: by the source's name; empty unless SQLite is authoritative
    :ivar counts: for each file of several workspaces, by its name: what the database has of each workspace in it
    :ivar paths: workspace hash to workspace path, as far as known
    :ivar unnamed: the known paths for which the database has only a placeholder
    :ivar index_state: the state of the full-text search index if SQLite is authoritative
    :ivar outdated_quarantine: as :func:`has_outdated_items`, if SQLite is authoritative
    :ivar has_unsettled: a replaced file may have been written to since; a run looks at it under the lock
    :ivar stranded: after a rollback, SQLite holds something, but no file is there: a run brings it back
    :ivar quarantined: the number of items in quarantine by workspace hash, if SQLite is authoritative
    :ivar unknown_files: the messages about entries of ``sessions/`` that are not the app's files
    """

    state: State
    sources: list[Source]
    ledger: dict[str, LedgerEntry]
    counts: dict[str, list[StoredCounts]]
    paths: dict[str, str]
    unnamed: dict[str, str]
    warnings: list[Message]
    work: Work
    index_state: str | None
    quarantined: Mapping[str, int]
    outdated_quarantine: bool = False
    stranded: bool = False
    has_unsettled: bool = False
    unknown_files: Sequence[Message] = ()

    @property
    def known(self) -> dict[str, str]:
        """The path or a placeholder of each known workspace, by its hash."""
        return known_workspaces(self.sources, self.paths)

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to do, neither for files nor for workspaces nor for the quarantine."""
        work = self.work.pending or self.work.moved or self.stranded or self.has_unsettled
        return not (work or self.unnamed or self.outdated_quarantine)


def make_plan(
    data_dir: DataDir,
    *,
    named: Iterable[str | os.PathLike[str]] = (),
    salvage: bool = False,
    adopting: Sequence[str | os.PathLike[str]] = (),
    connection: sqlite3.Connection | None = None,
) -> Plan:
    """Examine the database and the files.

    :param named: workspace paths that the user gave
    :param salvage: process files that failed again
    :param adopting: files that this run takes in, so that they are not reported
    :param connection: reads the database; None opens one
    :raises MigratorError: the database or the folder cannot be read
    """
    state, ledger, counts, stored, index, quarantined, outdated = _read_database(data_dir, connection)
    named = [*named]
    paths, found = known_paths(data_dir, named)
    warnings = [*data_dir.notes, *found]
    paths = {file_hash: path for file_hash, path in stored.items() if not is_placeholder(path)} | paths
    own, strange = list_files(data_dir)
    sources = with_older_files(own, paths)
    warnings += [] if adopting else _unmatched(named, sources, stored)
    replaced = find_replaced(data_dir, [one.place for one in sources if one.kind == "older"], unknown_files=strange)
    warnings += replaced.kept
    taken = set(stored.values())
    unnamed = {
        file_hash: paths[file_hash]
        for file_hash, path in stored.items()
        if is_placeholder(path) and file_hash in paths and paths[file_hash] not in taken
    }
    work = find_work(sources, ledger, salvage=salvage)
    stranded = state.status == "rolled_back" and not sources and _holds_something(data_dir)
    plan = Plan(
        state,
        sources,
        ledger,
        counts,
        paths,
        unnamed,
        warnings,
        work,
        index,
        quarantined,
        outdated_quarantine=outdated,
        stranded=stranded,
        has_unsettled=replaced.is_unsettled,
    )
    return plan._replace(unknown_files=_unknown_files(data_dir, plan, strange, adopting)) if strange else plan


def _unknown_files(
    data_dir: DataDir, plan: Plan, names: Iterable[str], adopting: Iterable[str | os.PathLike[str]]
) -> list[Message]:
    from migrator.inventory import unknown_files  # hardly ever needed

    taken_in = {os.path.realpath(file) for file in adopting}
    left = [name for name in names if os.path.realpath(data_dir.sessions / name) not in taken_in]
    return unknown_files.reports_of(data_dir, left, plan.paths, plan.known, has_ledger=plan.state.has_ledger)


def _holds_something(data_dir: DataDir) -> bool:
    path = data_dir.database
    with opened(path, read_only=True) as connection, sqlite_errors("count the sessions", path):
        if not read_state(connection, path).has_ledger:
            return bool(connection.execute(queries.HAS_SESSIONS).fetchone()[0])
        return bool(connection.execute(queries.HOLDS_SOMETHING).fetchone()[0])


def _unmatched(
    named: Iterable[str | os.PathLike[str]], sources: Iterable[Source], stored: Mapping[str, str]
) -> list[Message]:
    """Warn of each named workspace that has no sessions here.

    A file of all workspaces that is not migrated yet may have some: then only the next run finds them.
    """
    if not stored and any(source.workspace_hash is None for source in sources):
        return []
    known = known_workspaces(sources, stored)
    return [no_sessions_of(path) for path in named if named_workspace(path, known) not in known]


def no_sessions_of(workspace: str | os.PathLike[str]) -> Message:
    """The message about a workspace that the user named and that is unknown here."""
    return Message(
        f"There are no sessions of the workspace {os.fspath(workspace)}.",
        code="workspace.not_found",
        hint="'migrator status' lists the workspaces.",
    )


def known_workspaces(sources: Iterable[Source], paths: Mapping[str, str]) -> dict[str, str]:
    """Return the path or a placeholder of each workspace that has a file or a known path, by its hash."""
    names = (source.workspace_hash for source in sources if source.workspace_hash is not None)
    return {name: placeholder(name) for name in names} | dict(paths)


class _Stored(NamedTuple):
    """What the database has for the plan; the members are as there, but ``paths`` has all its workspaces."""

    state: State
    ledger: dict[str, LedgerEntry]
    counts: dict[str, list[StoredCounts]]
    paths: dict[str, str]
    index_state: str | None
    quarantined: Mapping[str, int]
    outdated_quarantine: bool = False


def _read_database(data_dir: DataDir, connection: sqlite3.Connection | None) -> _Stored:
    path = data_dir.database
    if connection is None:
        if not has_database(path):
            return _Stored(NO_DATABASE, {}, {}, {}, None, {})
        with opened(path, read_only=True) as own:
            return _read_database(data_dir, own)
    with sqlite_errors("read the state of the migration", path):
        state = read_state(connection, path)
        if not state.has_ledger and not schema.has_table(connection, "workspaces"):
            return _Stored(state, {}, {}, {}, None, {})
        stored = {file_hash: name for _, file_hash, name in connection.execute(queries.ALL_WORKSPACES)}
        if None in {*stored, *stored.values()}:
            raise without_values("workspaces", path)
        if state.authority != "sqlite" or not state.has_ledger:  # the app itself may have made the database
            return _Stored(state, {}, {}, stored, None, {})
        ledger = read_ledger(connection)
        counts = {
            entry.source: [*map(StoredCounts._make, connection.execute(queries.COUNTS_OF_SOURCE, (entry.id,)))]
            for entry in ledger.values()
            if entry.workspace_hash is None
        }
        row = connection.execute(queries.INDEX_STATE).fetchone() if state.has_index_state else None
        outdated = has_outdated_items(connection, state)
        quarantined = dict(connection.execute(queries.QUARANTINE_BY_WORKSPACE).fetchall())
        return _Stored(state, ledger, counts, stored, row[0] if row else None, quarantined, outdated)


def has_outdated_items(connection: sqlite3.Connection, state: State) -> bool:
    """Whether the quarantine has items that were last found invalid by other rules than those of this version."""
    if state.has_rules and connection.execute(quarantine_queries.QUARANTINE_RULES).fetchone() == (RULES,):
        return False
    return bool(connection.execute(quarantine_queries.HAS_INVALID_ITEMS).fetchone()[0])


def with_proven_paths(plan: Plan, proven: dict[str, str], *, salvage: bool = False) -> Plan:
    """The plan with further workspace paths, and with the older files in those workspaces.

    Which workspace an older file belongs to is determined again from all paths, as a link and its target may be known.

    :param proven: workspace hash to workspace path
    """
    if not proven:
        return plan
    paths = plan.paths | proven
    sources = with_older_files(own_sources(plan.sources), paths)
    older = find_work([source for source in sources if source.kind == "older"], plan.ledger, salvage=salvage)
    names = {source.name for source in (*plan.work.pending, *older.pending)}
    work = Work(
        [source for source in sources if source.name in names],
        own_sources(plan.work.known) + older.known,
        own_sources(plan.work.moved) + older.moved,
    )
    return plan._replace(paths=paths, sources=sources, work=work)


def own_sources(sources: Iterable[Source]) -> list[Source]:
    """The sources in the data directory, without the older files in the workspaces."""
    return [source for source in sources if source.kind != "older"]


def require_upgradable(data_dir: DataDir, state: State) -> None:
    """Check that a migration will not fail because of the tables that are in the database.

    :raises SchemaError: it would
    """
    path = data_dir.database
    if state.status is not None and state.schema_version < schema.latest_version():
        with opened(path, read_only=True) as connection:
            schema.require_upgradable(connection, path)


def why_refused(data_dir: DataDir, state: State) -> Message | None:
    """Return why a migration would be refused: whose the database is, or its tables; None if it would not be."""
    try:
        require_upgradable(data_dir, state)
    except SchemaError as error:
        return error.as_message()
    return foreign_database(data_dir)


def needs_migration(data_dir: DataDir, plan: Plan) -> bool:
    """Whether ``migrate`` has to be run: a file is new or has changed, or quarantined sessions may be valid now.

    False after a rollback (the user has chosen JSON), in hybrid mode (migrator itself writes the files), and while the
    authoritative database is missing (the files are outdated).
    """
    if plan.state.status == "rolled_back" or is_hybrid(data_dir):
        return False
    return bool(plan.work.pending or plan.outdated_quarantine) and missing_database(data_dir, plan.state) is None
