"""Hybrid mode around a run: writes to the JSON files what they lack of SQLite, before and after it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing, suppress

from migrator.authority import state_of
from migrator.data_dir import DataDir, ScratchDataDir
from migrator.errors import StorageIOError
from migrator.files import copying
from migrator.inventory.plan import Plan
from migrator.inventory.source_files import Source
from migrator.migration.merge import MergePolicy
from migrator.migration.report import MigrationReport
from migrator.storage.hybrid.journal import Journal, read_known_files, read_stats
from migrator.storage.hybrid.json_secondary import MirrorFiles
from migrator.storage.hybrid.store import HybridStorage
from migrator.storage.sqlite import SqliteStorage


def merge_policy(data_dir: DataDir) -> MergePolicy:
    """How to merge files that mirror SQLite: a file that is still as SQLite wrote it has no changes to merge."""
    return MergePolicy(mirrored=True, written=lambda: read_known_files(data_dir.hybrid_journal))


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
    """Record the files that SQLite has merged, and write to the files what they still lack.

    What cannot be written yet stays recorded as pending.

    :returns: whether files were written
    :raises ConnectionFailed: the database or the journal cannot be opened
    """
    if isinstance(data_dir, ScratchDataDir) or state_of(data_dir.database).authority != "sqlite":
        return False  # a dry run does not change files
    _record_merged(data_dir, plan)
    stats = read_stats(data_dir.hybrid_journal)
    if stats is None or not stats.pending_repairs:
        return False
    sqlite = SqliteStorage(data_dir.database, backups=data_dir.backups)
    files = MirrorFiles(data_dir, data_dir.hybrid_journal)
    with HybridStorage(sqlite, files, data_dir.hybrid_journal) as both:
        both.repair(except_for=_changed_by_others(data_dir, plan))
        return both.stats().pending_repairs < stats.pending_repairs


def _changed_by_others(data_dir: DataDir, plan: Plan) -> set[str]:
    """The hashes of the workspaces whose files contain changes that SQLite has not merged."""
    known = read_known_files(data_dir.hybrid_journal)
    return {
        source.workspace_hash
        for source in plan.work.pending
        if source.kind == "workspace"
        and source.workspace_hash
        and not _has_sha256(source, known.get(source.workspace_hash))
    }


def _has_sha256(source: Source, sha256: str | None) -> bool:
    with suppress(StorageIOError):  # the merge reports why it cannot be read
        return copying.sha256_of(source.place) == sha256
    return False


def _record_merged(data_dir: DataDir, plan: Plan) -> None:
    """Record in the journal the hashes of the files that SQLite has merged."""
    known = read_known_files(data_dir.hybrid_journal)
    merged = {}
    for source in plan.work.known:
        entry = plan.ledger[source.name]
        file_hash, sha256 = source.workspace_hash, entry.sha256
        if source.kind == "workspace" and file_hash and sha256 and not entry.error and known.get(file_hash) != sha256:
            merged[file_hash] = sha256
    if merged:
        with closing(Journal(data_dir.hybrid_journal)) as journal:
            journal.record_known(merged)
