"""Hybrid mode around a run: writes to the JSON files what they lack of SQLite, before and after it."""

from __future__ import annotations

from collections.abc import Callable, Container
from contextlib import suppress

from migrator.authority import state_of
from migrator.data_dir import DataDir, ScratchDataDir
from migrator.database.connection import opened
from migrator.database.errors import sqlite_errors
from migrator.errors import StorageIOError
from migrator.files import copying
from migrator.inventory.plan import Plan
from migrator.inventory.source_files import Source
from migrator.migration.merging.decision import MergePolicy
from migrator.migration.report import MigrationReport
from migrator.storage.hybrid.journal import read_stats
from migrator.storage.hybrid.json_secondary import MirrorFiles
from migrator.storage.hybrid.store import HybridStorage
from migrator.storage.hybrid.written_files import known_files
from migrator.storage.sqlite import SqliteStorage

MIRRORED = MergePolicy(mirrored=True)


def run_in_step(
    data_dir: DataDir, make_plan: Callable[[], Plan], execute: Callable[[Plan], MigrationReport]
) -> MigrationReport:
    """Execute a plan; sync the files before and after it: a session that a file lacks would count as deleted there."""
    plan = make_plan()
    if sync_files(data_dir, plan):
        plan = make_plan()
    report = execute(plan)
    if plan.work.pending and sync_files(data_dir, make_plan()):
        # Another program had changed these files, so they had to be merged before the sync.
        report = report.followed_by(execute(make_plan()))
    return report


def sync_files(data_dir: DataDir, plan: Plan) -> bool:
    """Write to the files what they still lack of SQLite.

    What cannot be written yet stays recorded as pending.

    :returns: whether files were written
    :raises ConnectionFailed: the database or the journal cannot be opened
    """
    if isinstance(data_dir, ScratchDataDir) or state_of(data_dir.database).authority != "sqlite":
        return False  # a dry run does not change files
    stats = read_stats(data_dir.hybrid_journal)
    if stats is None or not stats.pending_repairs:
        return False
    sqlite = SqliteStorage(data_dir.database, backups=data_dir.backups)
    files = MirrorFiles(data_dir)
    with HybridStorage(sqlite, files, data_dir.hybrid_journal) as both:
        both.repair(except_for=_changed_by_others(data_dir, plan))
        return both.stats().pending_repairs < stats.pending_repairs


def _changed_by_others(data_dir: DataDir, plan: Plan) -> set[str]:
    """The hashes of the workspaces whose files contain changes that SQLite has not merged."""
    with opened(data_dir.database, read_only=True) as connection, sqlite_errors("read the ledger", data_dir.database):
        known = known_files(connection)
    return {
        source.workspace_hash
        for source in plan.work.pending
        if source.kind == "workspace"
        and source.workspace_hash
        and not _is_one_of(source, known.get(source.workspace_hash, ()))
    }


def _is_one_of(source: Source, known: Container[str]) -> bool:
    with suppress(StorageIOError):  # the merge reports why it cannot be read
        return copying.sha256_of(source.place) in known
    return False
