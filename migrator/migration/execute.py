"""Executes a plan: check space → back up → load → verify → record → publish → write the flag → report."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from typing import NamedTuple

from migrator.authority import point_at_sqlite, set_status
from migrator.backups.create import BackupWriter, new_backup
from migrator.backups.disk_space import require_space
from migrator.data_dir import DataDir
from migrator.database import quarantine_queries, queries
from migrator.database.connection import opened
from migrator.errors import Message, MigrationFailed, MigratorError
from migrator.files import durable
from migrator.inventory.plan import Plan, own_sources, require_upgradable, with_proven_paths
from migrator.inventory.source_files import Source
from migrator.migration.merging.decision import MergePolicy
from migrator.migration.options import Options
from migrator.migration.publish import Publication, Published, publish_into, publish_new
from migrator.migration.report import (
    MigrationReport,
    adopted_messages,
    by_workspace,
    conflict_messages,
    deletion_messages,
    known_reports,
    lost_base_messages,
    messages_of,
    totals_of,
    unreadable_messages,
    with_quarantine,
    workspace_reports,
)
from migrator.migration.run_record import RunFacts, entries_of, record_in_staging
from migrator.ownership import place_to_record
from migrator.progress import OnProgress, StageTimer
from migrator.staging.connections.choice import choose
from migrator.staging.connections.choice import warnings as loader_warnings
from migrator.staging.database import StagingDatabase
from migrator.staging.pipeline import Pipeline
from migrator.staging.results import LoadedSource
from migrator.worker.limits import Limits
from migrator.worker.process import WorkerFor, WorkerProcess
from migrator.worker.sharing import run_shared


@dataclass
class Execution:
    """Executes one plan.

    :ivar worker_for: returns the worker process for a number of bytes and files, or None if it is not worthwhile
    :ivar worker: the worker process, if there is one
    :ivar begun: a database that the app created is marked as being migrated
    """

    data_dir: DataDir
    options: Options
    policy: MergePolicy | None
    limits: Limits
    timer: StageTimer
    worker_for: WorkerFor
    worker: WorkerProcess | None = field(default=None, init=False)
    begun: bool = field(default=False, init=False)

    def run(self, plan: Plan) -> MigrationReport:
        """Execute the whole plan or nothing of it.

        :raises MigratorError: nothing was published, and temporary files were removed
        """
        require_upgradable(self.data_dir, plan.state)
        require_space(self.data_dir, plan.work.pending)
        try:
            with new_backup(self.data_dir, self.worker_if_worthwhile(plan), self.limits) as backup:
                try:
                    plan = self.back_up(plan, backup)
                    set_status(self.data_dir, plan.state, "in_progress")
                    self.begun = True
                    staged = self.stage(plan, backup)
                    problems = self.problems_of(plan, staged)
                    published = self.publish(staged)
                except BaseException:
                    self.give_up(plan)
                    raise
        finally:
            for path in self.data_dir.under_construction():
                durable.remove(path)
        point_at_sqlite(self.data_dir)
        return self.report(plan, staged, published, problems)

    def worker_if_worthwhile(self, plan: Plan) -> WorkerProcess | None:
        sources = plan.work.pending
        self.worker = self.worker_for(sum(source.size for source in sources), len(sources))
        return self.worker

    def give_up(self, plan: Plan) -> None:
        """Stop the worker process, which may still be writing files that are removed next, and record the failure."""
        if self.worker is not None:
            self.worker.stop()
        if self.begun:
            with suppress(MigratorError):  # the user needs to see the first error
                set_status(self.data_dir, plan.state, "failed")

    def back_up(self, plan: Plan, backup: BackupWriter) -> Plan:
        """Copy the pending files, then the older files in the workspaces whose paths the copies prove."""
        own = own_sources(plan.work.pending)
        meter = self.timer.begin("backup")
        proven = backup.copy(own, plan.paths, meter)
        plan = with_proven_paths(plan, proven, salvage=self.options.salvage)
        older = [source for source in plan.work.pending if source.kind == "older"]
        if older:
            require_space(self.data_dir, plan.work.pending, copied={source.name for source in own})
            self.worker_if_worthwhile(plan)  # with them it may be worthwhile
            backup.copy(older, plan.paths, meter)
        return plan

    def stage(self, plan: Plan, backup: BackupWriter) -> Publication:
        """Load every pending file into the staging database, verify it, and record the run there."""
        loaded = [_to_load(source, number, backup) for number, source in enumerate(plan.work.pending, 1)]
        path, total = self.data_dir.staging, backup.size
        with StagingDatabase(path, choose(self.options.loader), self.limits) as staging:
            backup.start_sync()  # after the file is created: that takes long while many others are synced
            pipeline = Pipeline(
                staging,
                self.data_dir.shard,
                plan.paths,
                self.worker,
                self.limits,
                salvage=self.options.salvage,
            )
            meter = self.timer.begin("load", total)
            pipeline.load(loaded, meter)
            meter.complete()
            self.timer.begin("index")
            backup.start_verify({source.source.name for source in loaded if source.verified})
            staging.finish()
            meter = self.timer.begin("verify", total)
            with durable.syncing_ahead(path):
                pipeline.compare(loaded, meter)
                meter.complete()
            self.timer.begin("backup")
            saved = backup.finish()
            if not self.data_dir.database.exists():
                self.timer.begin("publish")  # before the record, which includes the time of this sync
                durable.sync_file(path)
            self.timer.begin("record")
            entries = entries_of(loaded, saved)
            folder = None if saved.folder is None else durable.as_text(saved.folder)
            facts = RunFacts(self.timer, len(loaded), total, folder, place_to_record(self.data_dir.root))
            record_in_staging(staging, loaded, [*entries.values()], facts)
        return Publication(self.data_dir, self.policy or MergePolicy(), loaded, saved.folder, entries, facts)

    def problems_of(self, plan: Plan, staged: Publication) -> list[Message]:
        """The messages about the files that have problems, and about those that may be copies of the app's.

        :raises MigrationFailed: there are some, and the run is strict
        """
        problems = [message for message in plan.unknown_files if message.code == "source.invalid_name"]
        problems += [message for source in staged.loaded for message in messages_of(source)]
        if self.options.strict and problems:
            hints = dict.fromkeys(problem.hint for problem in problems if problem.hint)
            raise MigrationFailed(
                "Nothing was published because of --strict: " + " ".join(problem.message for problem in problems),
                code="migration.strict",
                hint="".join(f"{hint} " for hint in hints) + "Fix the problems, or run without --strict.",
            )
        return problems

    def publish(self, staged: Publication) -> Published:
        """Rename the staging database to its final name, or publish it into the existing database."""
        meter = self.timer.begin("publish", staged.facts.size)
        published = Published()
        adopting = any(loaded.source.kind == "adopted" for loaded in staged.loaded)  # merged even if all is new
        if adopting or not publish_new(staged):
            published = publish_into(staged, meter.add)
            meter.complete()
        self.timer.end()
        return published

    def report(self, plan: Plan, staged: Publication, published: Published, problems: list[Message]) -> MigrationReport:
        changed = [
            Message(
                f"{place} changed during the migration.",
                code="source.changed",
                hint="Run 'migrator migrate' again to migrate the changes.",
            )
            for place in changed_meanwhile(
                [found.source for found in staged.loaded if not found.error],
                self.worker,
                self.limits.check_files,
            )
        ]
        merged = published.merged
        parts = [part for source in plan.work.known for part in known_reports(plan, source)]
        for found in staged.loaded:
            parts += workspace_reports(found, merged.get(found.source.name), plan.paths)
        conflicts = [*lost_base_messages(merged), *conflict_messages(merged), *deletion_messages(merged, held=True)]
        conflicts += [*unreadable_messages(merged), *published.changes.errors()]
        adopted = adopted_messages(staged.loaded, merged)
        deleted = deletion_messages(merged, held=False)
        unknown = [message for message in plan.unknown_files if message.code != "source.invalid_name"]
        with opened(self.data_dir.database, read_only=True) as connection:
            held = dict(connection.execute(queries.QUARANTINE_BY_WORKSPACE).fetchall())
            quarantined = {name for (name,) in connection.execute(quarantine_queries.SOURCES_IN_QUARANTINE)}
        fixed = [found for found in staged.loaded if found.source.name in merged.keys() - quarantined]
        settled = {message for found in fixed if not found.error for message in messages_of(found)}
        problems = [problem for problem in problems if problem not in settled]  # fixed in SQLite, not in the file
        workspaces = with_quarantine(by_workspace(parts), held)
        elapsed, stages = self.timer.read()
        return MigrationReport(
            status="completed_with_problems" if problems or conflicts else "completed",
            database=os.fspath(self.data_dir.database),
            workspaces=workspaces,
            totals=totals_of(workspaces, staged.facts.size),
            backup_path=None if staged.backup is None else os.fspath(staged.backup),
            duration_ms=elapsed,
            errors=tuple(problems + conflicts),
            warnings=(
                *plan.warnings,
                *loader_warnings(self.options.loader),
                *unknown,
                *adopted,
                *deleted,
                *published.changes.warnings(),
                *changed,
            ),
            stages=stages,
            deletions=tuple(chain.from_iterable(result.deletions for result in merged.values())),
        )


def _to_load(source: Source, number: int, backup: BackupWriter) -> LoadedSource:
    error = backup.unreadable.get(source.name)
    if error:
        return LoadedSource(source, number, error=error)
    return LoadedSource(source, number, *backup.copy_of(source.name))


class ChangeCheckJob(NamedTuple):
    """Files to examine for changes: the path, size and time of change of each, as they were."""

    files: Sequence[tuple[str, int, int]]

    def run(self, on_progress: OnProgress) -> list[str]:
        """The paths of the files that have changed."""
        del on_progress  # too fast to report progress
        return [place for place, size, mtime_ns in self.files if _changed(place, size, mtime_ns)]


def _changed(place: str, size: int, mtime_ns: int) -> bool:
    try:
        now = os.stat(place)
    except OSError:
        return False  # deleted: its sessions are in the database and in the backup
    return now.st_size != size or now.st_mtime_ns != mtime_ns


def changed_meanwhile(sources: Sequence[Source], worker: WorkerProcess | None, together: int) -> list[str]:
    """The paths of the files that were changed during the run.

    :param worker: takes a share of the jobs, if there is one
    :param together: how many files one job examines
    """
    files = [(source.place, source.size, source.mtime_ns) for source in sources]
    jobs = [ChangeCheckJob(files[start : start + together]) for start in range(0, len(files), together)]
    return [*chain.from_iterable(run_shared(jobs, worker, lambda _name, _size, _sessions: None))]
