"""Gathers what a migration report says from the database and its data directory. Changes nothing.

Each session that was found is migrated, merged, quarantined or failed. The counts of a source come from its shares if
it has some, otherwise from its row in the ledger. So a database that was migrated before runs were recorded has a
report too, without times.
"""

from __future__ import annotations

import json
import os
import re
import sqlite3
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any

from migrator._version import __version__
from migrator.authority import State, effective_backend, read_state, require_history
from migrator.backups.catalog import list_backups
from migrator.data_dir import DataDir
from migrator.database import queries
from migrator.database.columns import RUN_COLUMNS
from migrator.database.connection import opened, snapshot
from migrator.database.errors import missing_values
from migrator.database.schema import provide_value_views
from migrator.diagnostics.doctor import examine
from migrator.diagnostics.summing import summed
from migrator.errors import MigrationFailed
from migrator.inventory.deletions import Deletion, all_deletions
from migrator.inventory.ledger import LedgerEntry, read_ledger
from migrator.inventory.plan import require_upgradable
from migrator.migration.run_record import Share
from migrator.ownership import foreign_database
from migrator.report import Report
from migrator.workspace import placeholder, workspace_of_source

GO_BACK = ("migrator rollback --dry-run", "migrator rollback")
_MOST_PERIODS = 36  # bars that a plot can show
_PERIOD_LENGTHS = (10, 7, 4)  # characters of an RFC 3339 time: up to the day, the month, the year
_DATE = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")
UNDATED = "undated"


@dataclass(frozen=True)
class Period:
    """How many sessions of one type and status were created in a day, a month or a year.

    :ivar start: ``2025-01-13``, ``2025-01`` or ``2025``; ``undated`` if the app wrote no valid date
    """

    start: str
    type: str
    status: str
    sessions: int


@dataclass(frozen=True)
class Sums:
    """How many sessions were found, and what became of them: ``found`` is the sum of the next four.

    :ivar quarantined: kept unchanged in quarantine: invalid sessions, and sessions that were changed on both sides
    :ivar failed: in files that failed and stay where they are, as far as they could be counted
    :ivar instances: instances of the migrated and merged sessions; ``messages`` likewise
    """

    found: int
    migrated: int
    merged: int
    quarantined: int
    failed: int
    instances: int
    messages: int


@dataclass(frozen=True)
class WorkspaceAccount(Sums):
    """What became of one workspace.

    :ivar json_bytes: size of the files that belong to this workspace alone
    :ivar sessions_now: how many sessions the database has now
    :ivar in_quarantine_now: how many quarantined items wait for a decision
    :ivar deleted_now: the sessions that files lost and that are kept in quarantine
    :ivar held_now: the sessions that files lost and that stay in the database until the user decides
    :ivar errors: why its files failed, and what to do
    """

    hash: str
    path: str
    json_bytes: int
    sessions_now: int
    in_quarantine_now: int
    deleted_now: int
    held_now: int
    files: tuple[str, ...]
    errors: tuple[str, ...]


@dataclass(frozen=True)
class RunAccount(Sums):
    """One run that published something.

    :ivar bytes: size of the files that it migrated
    :ivar database_bytes: size of the database at that time
    :ivar duration_ms: time until the run was recorded, just before it took effect
    :ivar stages: milliseconds of each stage, in the order of work
    :ivar deleted: the sessions that the files had lost and that went to quarantine
    :ivar held: those that stayed in the database until the user decided
    """

    ended_at: str
    program_version: str
    files: int
    failed_files: int
    bytes: int
    database_bytes: int
    duration_ms: int
    stages: dict[str, int]
    backup: str | None
    deleted: int = 0
    held: int = 0


@dataclass(frozen=True)
class ReceiptTotals(Sums):
    """The sums over all workspaces, and sizes.

    :ivar json_bytes: size of all files, including those shared by several workspaces
    :ivar shared_bytes: size of the files shared by several workspaces
    :ivar backup_bytes: size of all backups
    """

    workspaces: int
    files: int
    failed_files: int
    json_bytes: int
    shared_bytes: int
    database_bytes: int
    backup_bytes: int
    sessions_now: int
    in_quarantine_now: int
    deleted_now: int
    held_now: int


@dataclass(frozen=True)
class Need:
    """A problem that needs attention, and the command that fixes it or shows more."""

    message: str
    command: str | None


@dataclass(frozen=True)
class Receipt(Report):
    """Everything that a migration report says.

    :ivar authority: the authoritative store, ``json`` or ``sqlite``
    :ivar backend: the backend that the app uses
    :ivar recorded: whether any run was recorded; if not, no times are known
    :ivar runs: oldest first
    :ivar sessions_over_time: the sessions in the database now, by when they were created
    :ivar deletions: each session that files lost, as far as it is kept
    :ivar backup: folder of the last backup
    :ivar backup_exists: whether that folder exists
    :ivar go_back: the commands to go back, in order
    """

    made_at: str
    program_version: str
    data_dir: str
    database: str
    schema_version: int
    migration_status: str
    migrated_at: str | None
    authority: str
    backend: str
    recorded: bool
    totals: ReceiptTotals
    workspaces: tuple[WorkspaceAccount, ...]
    runs: tuple[RunAccount, ...]
    sessions_over_time: tuple[Period, ...]
    deletions: tuple[Deletion, ...]
    backup: str | None
    backup_exists: bool
    go_back: tuple[str, ...]
    needs: tuple[Need, ...]


def receipt_of(data_dir: DataDir) -> Receipt:
    """Gather the report on everything that has been migrated so far.

    :raises ConnectionFailed: there is no database
    :raises MigrationFailed: nothing was ever migrated into it
    :raises SchemaError: it is newer than this program
    """
    path = data_dir.database
    require_history(data_dir)
    with (
        opened(path, read_only=True) as connection,
        snapshot(connection, path, "gather the migration report"),
        missing_values("workspaces", path),
    ):
        state = read_state(connection, path)
        provide_value_views(connection)
        gathering = _Gathering(connection, data_dir, state) if state.has_ledger else None
        if gathering is None or not (gathering.ledger or gathering.runs):
            require_upgradable(data_dir, state)  # before 'migrate' is suggested
            raise MigrationFailed(
                f"Nothing has been migrated into {path} yet.",
                code="migration.not_run",
                hint="Run 'migrator migrate' first.",
            )
        return gathering.receipt()


class _Gathering:
    """Gathers one report within one snapshot of the database."""

    def __init__(self, connection: sqlite3.Connection, data_dir: DataDir, state: State) -> None:
        self._connection = connection
        self._data_dir = data_dir
        self._state = state
        self.ledger = list(read_ledger(connection).values())
        self._paths = {h: path for _, h, path in connection.execute(queries.ALL_WORKSPACES)}
        self._sessions = dict(connection.execute(queries.SESSIONS_BY_WORKSPACE).fetchall())
        self._held = dict(connection.execute(queries.QUARANTINE_BY_WORKSPACE).fetchall())
        self._deletions = tuple(all_deletions(connection)) if state.has_deletions else ()
        self._deleted = Counter(one.workspace_hash for one in self._deletions if not one.held)
        self._held_deletions = Counter(one.workspace_hash for one in self._deletions if one.held)
        self._shares: dict[int, list[Share]] = {}
        self.runs: tuple[RunAccount, ...] = ()
        if state.has_runs:
            self.runs = tuple(_run_account(row, data_dir) for row in connection.execute(queries.RUNS))
            for source_id, *share in connection.execute(queries.SHARES):
                self._shares.setdefault(source_id, []).append(Share(*share))

    def receipt(self) -> Receipt:
        state, workspaces = self._state, self._workspaces()
        problems = [finding for finding in summed(examine(self._data_dir).findings) if finding.level == "problem"]
        backend = effective_backend(self._data_dir, state.authority)
        backup = self._data_dir.backup_now(state.backup)
        return Receipt(
            made_at=datetime.now(UTC).isoformat(timespec="seconds"),
            program_version=__version__,
            data_dir=str(self._data_dir.root),
            database=str(self._data_dir.database),
            schema_version=state.schema_version,
            migration_status=state.status or "pending",
            migrated_at=state.migrated_at,
            authority=state.authority,
            backend=backend,
            recorded=bool(self.runs),
            totals=self._totals(workspaces),
            workspaces=workspaces,
            runs=self.runs,
            sessions_over_time=periods_of(self._connection.execute(queries.SESSIONS_BY_DAY).fetchall()),
            deletions=self._deletions,
            backup=backup,
            backup_exists=backup is not None and os.path.isdir(backup),
            go_back=GO_BACK if state.authority == "sqlite" and foreign_database(self._data_dir) is None else (),
            needs=tuple(Need(problem.message, problem.command) for problem in problems),
        )

    def _workspaces(self) -> tuple[WorkspaceAccount, ...]:
        shares: dict[str, list[Share]] = {file_hash: [] for file_hash in self._paths}
        entries: dict[str, list[LedgerEntry]] = {}
        for entry in self.ledger:
            for share in self._shares_of(entry):
                shares.setdefault(share.workspace_hash, []).append(share)
                entries.setdefault(share.workspace_hash, []).append(entry)
        accounts = []
        for file_hash, own in shares.items():
            sources = entries.get(file_hash, [])
            shown = next((entry.workspace_hash or entry.source for entry in sources), file_hash)
            account = WorkspaceAccount(
                **_sums(own),
                hash=file_hash,
                path=self._paths.get(file_hash) or placeholder(shown),
                json_bytes=sum(entry.size for entry in sources if entry.workspace_hash),
                sessions_now=self._sessions.get(file_hash, 0),
                in_quarantine_now=self._held.get(file_hash, 0),
                deleted_now=self._deleted[file_hash],
                held_now=self._held_deletions[file_hash],
                files=tuple(entry.source for entry in sources),
                errors=tuple(str(entry.failure) for entry in sources if entry.error),
            )
            accounts.append(account)
        return tuple(accounts)

    def _shares_of(self, entry: LedgerEntry) -> list[Share]:
        recorded = self._shares.get(entry.id)
        if recorded is not None:
            return recorded
        own, _ = workspace_of_source(entry.source, entry.workspace_hash)
        if entry.workspace_hash is None and entry.session_count:
            counted = self._connection.execute(queries.COUNTS_OF_SOURCE, (entry.id,)).fetchall()
            split = [Share(row[0], migrated=row[2], instances=row[3], messages=row[4]) for row in counted]
            return [*split, Share(own, quarantined=entry.quarantined)] if entry.quarantined else split
        return [Share(own, entry.session_count, 0, entry.quarantined, 0, entry.instances, entry.messages)]

    def _totals(self, workspaces: tuple[WorkspaceAccount, ...]) -> ReceiptTotals:
        return ReceiptTotals(
            **_sums(workspaces),
            workspaces=len(workspaces),
            files=len(self.ledger),
            failed_files=sum(1 for entry in self.ledger if entry.error),
            json_bytes=sum(entry.size for entry in self.ledger),
            shared_bytes=sum(entry.size for entry in self.ledger if entry.workspace_hash is None),
            database_bytes=self._data_dir.database.stat().st_size,
            backup_bytes=sum(backup.bytes for backup in list_backups(self._data_dir).backups),
            sessions_now=sum(self._sessions.values()),
            in_quarantine_now=sum(self._held.values()),
            deleted_now=self._deleted.total(),
            held_now=self._held_deletions.total(),
        )


def _stages(text: str) -> dict[str, int]:
    """Read the milliseconds of each stage; what is not such a record, because other SQL changed it, is left out."""
    try:
        stages = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(stages, dict):
        return {}
    return {name: took for name, took in stages.items() if type(took) is int and took >= 0}


def _run_account(row: tuple[Any, ...], data_dir: DataDir) -> RunAccount:
    values = dict(zip(RUN_COLUMNS, row[1:], strict=False))  # an older schema has no deletions
    values["backup"] = data_dir.backup_now(values["backup"])
    values["stages"] = _stages(values["stages"])
    values["found"] = sum(values[name] for name in ("migrated", "merged", "quarantined", "failed"))
    return RunAccount(**values)


def _sums(parts: Collection[Share | Sums]) -> dict[str, int]:
    return {field.name: sum(getattr(part, field.name) for part in parts) for field in fields(Sums)}


def periods_of(days: Iterable[tuple[str, str, str, int]]) -> tuple[Period, ...]:
    """Group days into periods: the shortest that give few enough bars.

    :param days: day, type, status and number of sessions
    """
    rows = [(day if _DATE.fullmatch(day) else UNDATED, kind, status, count) for day, kind, status, count in days]
    length = next(
        (size for size in _PERIOD_LENGTHS if len({row[0][:size] for row in rows}) <= _MOST_PERIODS), _PERIOD_LENGTHS[-1]
    )
    joined: Counter[tuple[str, str, str]] = Counter()
    for day, kind, status, count in rows:
        joined[day if day == UNDATED else day[:length], kind, status] += count
    return tuple(Period(*key, count) for key, count in sorted(joined.items()))
