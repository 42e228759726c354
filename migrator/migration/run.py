"""One migration: lock → discover → compare with the ledger → take up what is new or changed (:mod:`take_up`)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from migrator.authority import (
    is_hybrid,
    point_at_sqlite,
    read_flag,
    require_database,
    require_same_database,
    state_of,
)
from migrator.data_dir import DataDir
from migrator.inventory.ledger import remember_times
from migrator.inventory.plan import Plan, make_plan
from migrator.inventory.source_files import names_of_files
from migrator.inventory.workspace_paths import name_workspaces
from migrator.locking import exclusive, in_sight
from migrator.migration.report import MigrationReport, by_workspace, known_reports, totals_of
from migrator.progress import Listener, Stopwatch, ignore_progress
from migrator.worker.gc_pause import without_collector
from migrator.worker.limits import LIMITS, Limits

if TYPE_CHECKING:
    from migrator.worker.process import WorkerFor, WorkerProcess


def run_migration(
    data_dir: DataDir,
    *,
    dry_run: bool = False,
    strict: bool = False,
    salvage: bool = False,
    workspaces: Iterable[str | os.PathLike[str]] = (),
    search_index: bool = True,
    listener: Listener = ignore_progress,
    limits: Limits = LIMITS,
    worker: type[WorkerProcess] | None = None,
) -> MigrationReport:
    """Bring every session of the data directory into SQLite, or those that are new or changed since the last time.

    :param dry_run: do everything for real, in a scratch folder that is removed again
    :param strict: publish nothing if anything is bad
    :param salvage: take what is whole of torn files
    :param workspaces: paths of workspaces, where they can't be told from the files
    :param search_index: build the index for full-text search when all else is done, and the app may start
    :param listener: told about progress
    :param worker: another kind of worker than the real one, for tests
    :raises MigrationLocked: another migrator is at work here
    :raises StaleStoreError: the database that holds the truth is another one, or gone
    :raises MigratorError: the run failed, and nothing was changed
    """
    require_same_database(data_dir)
    named = [os.fspath(workspace) for workspace in workspaces]
    run_in = partial(
        Run, strict=strict, salvage=salvage, named=named, search_index=search_index, listener=listener, limits=limits,
        worker=worker,
    )  # fmt: skip
    if not dry_run:
        found = run_in(data_dir).found_nothing()
        if found is not None:
            return found
    with exclusive(data_dir, keep=not dry_run):
        if not dry_run:
            report = run_in(data_dir).run()
            from migrator.migration.search_index import index_after  # a look that finds nothing to do comes not so far

            return index_after(report, data_dir, listener, wanted=search_index)
        require_database(data_dir, state_of(data_dir.database))
        from migrator.migration.dry_run import scratch_data_dir  # nothing that this takes is for a real run

        with scratch_data_dir(data_dir) as scratch:
            rehearsed = run_in(scratch).run()
        return _as_rehearsal(rehearsed, data_dir)


class Run:
    """The state of one run: what was found, and what has been done with it so far."""

    def __init__(
        self,
        data_dir: DataDir,
        *,
        strict: bool,
        salvage: bool,
        named: Sequence[str],
        listener: Listener,
        in_trial: bool = False,
        search_index: bool = False,
        limits: Limits = LIMITS,
        worker: type[WorkerProcess] | None = None,
    ) -> None:
        self.data_dir = data_dir
        self.strict = strict
        self.salvage = salvage
        self.named = named
        self.search_index = search_index
        self.listener = listener
        self.in_trial = in_trial or is_hybrid(data_dir)
        self.limits = limits
        self.worker = worker
        self.worker_for: WorkerFor = lambda _size, _files: None
        self.stopwatch = Stopwatch()
        self.stage = self.stopwatch.stage

    def run(self) -> MigrationReport:
        from migrator.worker.process import (  # a look that finds nothing comes not so far
            WorkerProcess,
            worker_if_worthwhile,
        )

        kind = self.worker or WorkerProcess
        with (
            worker_if_worthwhile(self.limits, ["migrator.staging.jobs"], kind) as self.worker_for,
            without_collector(),
        ):
            if not self.data_dir.database.exists():  # then all of the files are new
                self.worker_for(0, names_of_files(self.data_dir))  # looking at very many takes as long as its start
            return self.run_with_help()

    def run_with_help(self) -> MigrationReport:
        with self.stage("discover"):
            found = self.make_plan()
            if self.in_trial and self.mend_trial(found):
                found = self.make_plan()
        if not found.work.pending:
            return self.nothing_to_do(found)
        report = self.migrate(found)
        if self.in_trial and self.mend_trial(self.make_plan()):
            self.migrate(self.make_plan())  # others had written to these files, so that they had to be merged first
        return report

    def make_plan(self) -> Plan:
        found = make_plan(self.data_dir, named=self.named, salvage=self.salvage)
        require_database(self.data_dir, found.state)
        return found

    def mend_trial(self, found: Plan) -> bool:
        """What the files of a trial lack is no change that somebody made in them: put it there first."""
        from migrator.migration.hybrid_sync import mend_trial  # only a trial pays for loading the stores

        return mend_trial(self.data_dir, found)

    def found_nothing(self) -> MigrationReport | None:
        """A report that there is nothing to do, where that takes no more than a look; None where it takes the lock."""
        if self.in_trial or (not self.data_dir.database.exists() and self.data_dir.sessions.is_dir()):
            return None
        with self.stage("discover"):
            found = make_plan(self.data_dir, named=self.named, salvage=self.salvage)
            require_database(self.data_dir, found.state)
        busy = found.work.pending or found.work.moved or in_sight(self.data_dir) or found.unnamed
        if self.search_index and found.index_state in ("pending", "building"):
            return None
        if busy or (found.state.authority == "sqlite" and read_flag(self.data_dir.flag) not in ("sqlite", "hybrid")):
            return None
        return self.nothing_to_do(found)

    def nothing_to_do(self, found: Plan) -> MigrationReport:
        """Report what is there; put right what an interruption between the last two steps left behind."""
        if found.work.moved:
            remember_times(self.data_dir, found.work.moved)
        if found.state.authority == "sqlite":
            name_workspaces(self.data_dir, found.unnamed)
            point_at_sqlite(self.data_dir)
        workspaces = by_workspace([part for source in found.work.known for part in known_reports(found, source)])
        return MigrationReport(
            status="nothing_to_do",
            database=os.fspath(self.data_dir.database),
            workspaces=workspaces,
            totals=totals_of(workspaces, sum(source.size for source in found.work.known)),
            backup_path=found.state.backup,
            duration_ms=self.stopwatch.elapsed,
            warnings=tuple(found.warnings),
            stages=self.stopwatch.stages,
            search_index=found.index_state,
        )

    def migrate(self, found: Plan) -> MigrationReport:
        from migrator.migration.execute import TakeUp  # only a run with work to do pays for loading it

        return TakeUp(
            self.data_dir,
            self.strict,
            self.salvage,
            self.in_trial,
            self.listener,
            self.stopwatch,
            self.worker_for,
            self.limits,
        ).run(found)


def _as_rehearsal(report: MigrationReport, data_dir: DataDir) -> MigrationReport:
    return replace(report, dry_run=True, database=os.fspath(data_dir.database), backup_path=None)
