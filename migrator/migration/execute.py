"""What a look has found, taken up.

check space → back up → load → verify → record → publish → flip the flag → report
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

from migrator.authority import mark, point_at_sqlite
from migrator.backups.create import Backup, BackupWriter, new_backup
from migrator.backups.disk_space import require_space
from migrator.data_dir import DataDir
from migrator.errors import MigrationFailed, MigratorError
from migrator.files import durable
from migrator.inventory import ledger
from migrator.inventory.plan import Plan, own_sources, with_proven_paths
from migrator.inventory.source_files import Source
from migrator.migration import run_record
from migrator.migration.publish import Publication, Published, publish_into, publish_new
from migrator.migration.report import (
    MigrationReport,
    by_workspace,
    conflict_messages,
    known_reports,
    messages_of,
    totals_of,
    workspace_reports,
)
from migrator.migration.run_record import RunFacts, record_in_staging
from migrator.progress import Listener, Meter, OnProgress, Stopwatch
from migrator.staging.database import Staging
from migrator.staging.pipeline import Pipeline
from migrator.staging.results import LoadedSource
from migrator.worker.limits import Limits
from migrator.worker.process import WorkerFor, WorkerProcess, stopped_on_failure
from migrator.worker.sharing import run_shared


class Staged(NamedTuple):
    """What is in the staging database, verified.

    :ivar entries: the ledger's row for each source, by its name
    """

    loaded: list[LoadedSource]
    saved: Backup
    entries: dict[str, ledger.LedgerEntry]


@dataclass(frozen=True)
class TakeUp:
    """How it is done.

    :ivar strict: publish nothing if anything is bad
    :ivar salvage: take what is whole of torn files
    :ivar in_trial: both stores are in use, and the files are kept up beside SQLite
    :ivar worker_for: whom to ask for the worker
    """

    data_dir: DataDir
    strict: bool
    salvage: bool
    in_trial: bool
    listener: Listener
    stopwatch: Stopwatch
    worker_for: WorkerFor
    limits: Limits

    def run(self, found: Plan) -> MigrationReport:
        """Take up what is pending of what was found."""
        require_space(self.data_dir, found.work.pending)
        worker = self.worker_if_worthwhile(found.work.pending)
        try:
            with new_backup(self.data_dir, worker, self.limits) as saving:
                with stopped_on_failure(worker):
                    found = self.back_up(found, saving)
                worker = self.worker_if_worthwhile(found.work.pending)  # older files may be what makes it worth while
                with stopped_on_failure(worker):
                    mark(self.data_dir, found.state, "in_progress")
                    try:
                        staged = self.load_and_verify(found.work.pending, found.paths, saving, worker)
                        problems = [message for source in staged.loaded for message in messages_of(source)]
                        if self.strict and problems:
                            raise MigrationFailed(
                                "--strict: " + " ".join(problems),
                                hint="Nothing was published. Mend them, or run without --strict.",
                            )
                        with self.stopwatch.stage("publish"):
                            published = self.publish(staged)
                    except BaseException:
                        with suppress(MigratorError):  # what went wrong first is what the user has to hear of
                            mark(self.data_dir, found.state, "failed")
                        raise
        finally:
            self.remove_staging()
        point_at_sqlite(self.data_dir)
        return self.report(found, staged, published, problems, worker)

    def worker_if_worthwhile(self, sources: Sequence[Source]) -> WorkerProcess | None:
        return self.worker_for(sum(source.size for source in sources), len(sources))

    def back_up(self, found: Plan, saving: BackupWriter) -> Plan:
        """Copy what is to be taken up, and with it what older builds left in the workspaces that the copies show."""
        meter = Meter(self.listener, "backup", 0)
        own = own_sources(found.work.pending)
        with self.stopwatch.stage("backup"):
            proven = saving.copy(own, found.paths, meter)
        with self.stopwatch.stage("discover"):
            found = with_proven_paths(found, proven, salvage=self.salvage)
            older = [source for source in found.work.pending if source.kind == "older"]
            if older:
                require_space(self.data_dir, found.work.pending, copied={source.name for source in own})
        with self.stopwatch.stage("backup"):
            saving.copy(older, found.paths, meter)
        return found

    def remove_staging(self) -> None:
        for path in self.data_dir.under_construction():
            durable.remove(path)

    def load_and_verify(
        self, sources: Sequence[Source], paths: dict[str, str], saving: BackupWriter, worker: WorkerProcess | None
    ) -> Staged:
        """Everything that can be taken up in the staging database, read back and recorded there."""
        results = [
            LoadedSource(source, source_id=number, error=saving.unreadable.get(source.name))
            for number, source in enumerate(sources, 1)
        ]
        total = saving.size
        with Staging(self.data_dir.staging, self.limits) as staging:
            saving.start_sync()  # to make a file while very many are synced takes long
            pipeline = Pipeline(
                staging,
                self.data_dir.shard,
                saving,
                paths,
                worker,
                self.limits,
                salvage=self.salvage,
            )
            with self.stopwatch.stage("load"):
                meter = Meter(self.listener, "load", total)
                pipeline.load(results, meter)
                meter.complete()
            with self.stopwatch.stage("index"):
                saving.start_verify()
                pipeline.finish()
            with self.stopwatch.stage("verify"), durable.syncing_ahead(self.data_dir.staging):
                meter = Meter(self.listener, "verify", total)
                pipeline.compare(results, meter)
                meter.complete()
            with self.stopwatch.stage("backup"):
                saved = saving.finish()
            if not self.data_dir.database.exists():
                with self.stopwatch.stage("publish"):  # so that the record tells how long it took
                    durable.sync_file(self.data_dir.staging)
            with self.stopwatch.stage("record"):
                entries = run_record.entries_of(results, saved)
                record_in_staging(staging, results, [*entries.values()], self.facts(results, saved))
        return Staged(results, saved, entries)

    def facts(self, loaded: Sequence[LoadedSource], saved: Backup) -> RunFacts:
        folder = None if saved.folder is None else durable.as_text(saved.folder)
        return RunFacts(self.stopwatch, len(loaded), saved.size, folder)

    def publish(self, staged: Staged) -> Published:
        publication = Publication(
            staging=self.data_dir.staging,
            database=self.data_dir.database,
            loaded=staged.loaded,
            entries=staged.entries,
            facts=self.facts(staged.loaded, staged.saved),
            backups=self.data_dir.backups,
            data_dir=self.data_dir,
            in_trial=self.in_trial,
            written=self.files_we_wrote(),
        )
        if publish_new(publication):
            return Published()
        meter = Meter(self.listener, "publish", staged.saved.size)
        published = publish_into(publication, meter.add)
        meter.complete()
        return published

    def files_we_wrote(self) -> dict[str, str]:
        if not self.in_trial:
            return {}
        from migrator.migration.hybrid_sync import files_we_wrote  # only a trial pays for loading the stores

        return files_we_wrote(self.data_dir)

    def report(
        self,
        found: Plan,
        staged: Staged,
        published: Published,
        problems: list[str],
        worker: WorkerProcess | None,
    ) -> MigrationReport:
        changed = [
            f"{place} changed while it was migrated; run 'migrator migrate' again to take that up."
            for place in changed_meanwhile(
                [source.source for source in staged.loaded if not source.error], worker, self.limits.check_files
            )
        ]
        merged = published.merged
        parts = [part for source in found.work.known for part in known_reports(found, source)]
        for source in staged.loaded:
            parts += workspace_reports(source, merged.get(source.source.name), found.paths)
        conflicts = conflict_messages(merged) + published.late.errors()
        workspaces = by_workspace(parts)
        return MigrationReport(
            status="completed_with_problems" if problems or conflicts else "completed",
            database=os.fspath(self.data_dir.database),
            workspaces=workspaces,
            totals=totals_of(workspaces, staged.saved.size),
            backup_path=None if staged.saved.folder is None else os.fspath(staged.saved.folder),
            duration_ms=self.stopwatch.elapsed,
            errors=tuple(problems + conflicts),
            warnings=(*found.warnings, *published.late.warnings(), *changed),
            stages=self.stopwatch.stages,
        )


@dataclass(frozen=True)
class LookJob:
    """Files to look at: place, size and time of change of each, as they were."""

    files: Sequence[tuple[str, int, int]]

    def run(self, on_progress: OnProgress) -> list[str]:
        """The places of those that are otherwise now."""
        del on_progress  # it shows no progress
        return [place for place, size, mtime_ns in self.files if _changed(place, size, mtime_ns)]


def _changed(place: str, size: int, mtime_ns: int) -> bool:
    try:
        now = os.stat(place)
    except OSError:
        return False  # gone: its sessions are in the database and in the backup
    return now.st_size != size or now.st_mtime_ns != mtime_ns


def changed_meanwhile(sources: Sequence[Source], worker: WorkerProcess | None, together: int) -> list[str]:
    """The places of those that were written to.

    :param worker: does a part of very many, if it is there
    :param together: how many are looked at in one job
    """
    files = [(source.place, source.size, source.mtime_ns) for source in sources]
    jobs = [LookJob(files[start : start + together]) for start in range(0, len(files), together)]
    return [*chain.from_iterable(run_shared(jobs, worker, lambda _name, _size, _sessions: None))]
