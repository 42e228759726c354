"""Runs a migration: lock → plan → execute the plan (:mod:`~migrator.migration.execute`) → search index."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from migrator.authority import (
    correct_flag,
    is_hybrid,
    point_at_sqlite,
    read_flag,
    require_database,
    require_same_database,
    state_of,
)
from migrator.data_dir import DataDir, wrong_place
from migrator.errors import UsageError
from migrator.inventory.ledger import Work, remember_times
from migrator.inventory.plan import Plan, make_plan, require_upgradable
from migrator.inventory.source_files import Source, count_file_names
from migrator.inventory.workspace_paths import name_workspaces
from migrator.locking import exclusive, has_stale_files, progress_for_others
from migrator.migration.options import Options
from migrator.migration.report import MigrationReport, by_workspace, known_reports, totals_of, with_quarantine
from migrator.ownership import require_own_database
from migrator.progress import Listener, StageTimer, ignore_progress
from migrator.worker.gc_pause import without_collector

if TYPE_CHECKING:
    from migrator.migration.merging.decision import MergePolicy
    from migrator.worker.limits import Limits
    from migrator.worker.process import WorkerProcess


def run_migration(
    data_dir: DataDir,
    *,
    dry_run: bool = False,
    strict: bool = False,
    salvage: bool = False,
    workspaces: Iterable[str | os.PathLike[str]] = (),
    adopt: Iterable[str | os.PathLike[str]] = (),
    from_database: str | os.PathLike[str] | None = None,
    search_index: bool = True,
    listener: Listener = ignore_progress,
    loader: str = "auto",
    limits: Limits | None = None,
    worker: type[WorkerProcess] | None = None,
) -> MigrationReport:
    """Migrate every session of the data directory to SQLite; after the first time, only what is new or has changed.

    The parameters are those of ``migrate`` and of :class:`Options`.

    :raises UsageError: the loader cannot be used here, or the database belongs to another data directory
    :raises MigrationLocked: another migrator is running here
    :raises StaleStoreError: the authoritative database is a different one, or missing
    :raises MigratorError: the run failed; nothing was changed
    """
    named, files = ([os.fspath(path) for path in paths] for paths in (workspaces, adopt))
    wrong = wrong_place(data_dir)
    if wrong is not None:
        if files or from_database is not None:
            raise UsageError(wrong.message, code=wrong.code, hint=wrong.hint)
        return MigrationReport("nothing_to_do", os.fspath(data_dir.database), warnings=(*data_dir.notes, wrong))
    _require_usable(data_dir, loader, dry_run=dry_run)
    options = Options(
        strict, salvage, named, files, None, search_index, listener, loader=loader, limits=limits, worker=worker
    )
    if dry_run:
        return _dry_run(data_dir, options, from_database)
    if from_database is None and (idle := Run(data_dir, options).idle_report()) is not None:
        return idle
    with (
        exclusive(data_dir),
        progress_for_others(data_dir, listener) as shown,
        _with_branch(data_dir, options._replace(listener=shown), from_database) as complete,
    ):
        correct_flag(data_dir)
        run = Run(data_dir, complete)
        report = run.run()
        from migrator.migration.search_index import index_after  # an idle run does not get here

        return index_after(report, data_dir, complete, run.timer)


def _require_usable(data_dir: DataDir, loader: str, *, dry_run: bool) -> None:
    """Check that the database is this directory's and the authoritative one, and that there is such a loader."""
    require_own_database(data_dir, follow=not dry_run)
    require_same_database(data_dir)
    if loader != "auto":
        from migrator.staging.connections.choice import choose  # an idle run needs none

        choose(loader)


@contextmanager
def _with_branch(
    data_dir: DataDir, options: Options, from_database: str | os.PathLike[str] | None
) -> Iterator[Options]:
    """The options, with what a database of an earlier branch of the app holds."""
    if from_database is None:
        yield options
        return
    from migrator.migration.adoption.branch import branch_files  # hardly ever needed

    with branch_files(data_dir, from_database) as branch:
        yield options._replace(branch=branch)


def _dry_run(data_dir: DataDir, options: Options, from_database: str | os.PathLike[str] | None) -> MigrationReport:
    with exclusive(data_dir, keep=False):
        from migrator.migration.dry_run import scratch_data_dir  # only a dry run needs it

        places = data_dir
        if from_database is not None and os.path.realpath(from_database) == os.path.realpath(data_dir.database):
            places = data_dir._replace(database=data_dir.staging)  # nothing is there: a run would move it away
        else:
            state = state_of(data_dir.database)
            require_database(data_dir, state)
            require_upgradable(data_dir, state)  # here, so that the error does not name the copy
        with scratch_data_dir(places) as scratch, _with_branch(scratch, options, from_database) as complete:
            report = Run(scratch, complete).run()
    warnings = tuple(one for one in report.warnings if one.code != "rollback.database_kept")  # the copy is gone again
    return replace(report, dry_run=True, database=os.fspath(data_dir.database), backup_path=None, warnings=warnings)


class Run:
    """One run. All but ``idle_report`` requires that the caller has locked the data directory."""

    def __init__(self, data_dir: DataDir, options: Options) -> None:
        self.data_dir = data_dir
        self.options = options
        self.timer = StageTimer(options.listener)
        self.hybrid = options.hybrid or is_hybrid(data_dir)
        self.policy: MergePolicy | None = None  # None: the default one

    def run(self) -> MigrationReport:
        """Restore what is valid now, then make a plan and execute it."""
        restored, renewed = 0, None
        if self.hybrid:
            from migrator.storage.hybrid.journal import renew_if_damaged

            renewed = renew_if_damaged(self.data_dir)
        if self.data_dir.database.exists():
            from migrator.reconciliation.readmit import message_of, readmit  # an idle run does not get here

            restored = readmit(self.data_dir, hybrid=self.hybrid)
        report = self.run_plan()
        if renewed is not None:
            report = replace(report, warnings=(renewed, *report.warnings))
        if not restored:
            return report
        status = "completed" if report.status == "nothing_to_do" else report.status
        return replace(report, status=status, restored=restored, warnings=(message_of(restored), *report.warnings))

    def run_plan(self) -> MigrationReport:
        """Make a plan and execute it; in hybrid mode, sync the files with SQLite before and after."""
        from migrator.worker.limits import LIMITS  # loaded only if there may be work to do
        from migrator.worker.process import WorkerProcess, worker_if_worthwhile

        self.limits = self.options.limits or LIMITS
        kind, preload = self.options.worker or WorkerProcess, ["migrator.staging.shard", "migrator.staging.readback"]
        with (
            worker_if_worthwhile(self.limits, preload, kind) as self.worker_for,
            without_collector(),
        ):
            if not self.data_dir.database.exists():  # all files are new: start the worker while they are examined
                self.worker_for(0, count_file_names(self.data_dir))
            if self.options.adopts:
                self.to_adopt(self.make_plan())  # refuses before anything is done
            if not self.hybrid:
                return self.with_adopted(self.execute(self.make_plan()))
            from migrator.migration.hybrid_sync import MIRRORED, run_in_step  # loads the stores

            self.policy = MIRRORED
            return self.with_adopted(run_in_step(self.data_dir, self.make_plan, self.execute))

    def to_adopt(self, plan: Plan) -> list[Source]:
        """The files that the user adopts, and those made of a database."""
        from migrator.inventory import unknown_files

        made = [] if self.options.branch is None else self.options.branch.sources
        return [
            *made,
            *unknown_files.to_adopt(self.data_dir, self.options.adopt, plan.sources, plan.known, self.options.named),
        ]

    def with_adopted(self, report: MigrationReport) -> MigrationReport:
        """Add the sessions of the files that the user adopts, in a transaction of their own."""
        if not self.options.adopts:
            return report
        plan = self.make_plan()
        sources = self.to_adopt(plan)
        if self.options.branch is not None:
            paths = {**self.options.branch.paths, **plan.paths}
            plan = plan._replace(paths=paths, warnings=[*plan.warnings, *self.options.branch.messages])
        added = self.execute(plan._replace(sources=sources, work=Work(sources, [], []), unknown_files=()))
        if self.hybrid:
            from migrator.migration.hybrid_sync import sync_files

            if sync_files(self.data_dir, self.make_plan()):
                added = added.followed_by(self.execute(self.make_plan()))
        return report.with_adopted(added)

    def make_plan(self) -> Plan:
        """Find out what there is to do."""
        self.timer.begin("discover")
        plan = make_plan(
            self.data_dir, named=self.options.named, salvage=self.options.salvage, adopting=self.options.adopt
        )
        require_database(self.data_dir, plan.state)
        self.timer.end()
        return plan

    def execute(self, plan: Plan) -> MigrationReport:
        """Execute the plan, or report that there is nothing to do."""
        if not plan.work.pending and not plan.stranded:
            return self.nothing_to_do(plan)
        from migrator.migration.execute import Execution  # only a run with work to do pays for loading it

        return Execution(self.data_dir, self.options, self.policy, self.limits, self.timer, self.worker_for).run(plan)

    def idle_report(self) -> MigrationReport | None:
        """The report of a run with nothing to do, if that is clear without the lock; otherwise None."""
        if (
            self.hybrid
            or self.options.adopts
            or (not self.data_dir.database.exists() and self.data_dir.sessions.is_dir())
        ):
            return None
        plan = self.make_plan()
        if not plan.is_idle or has_stale_files(self.data_dir):
            return None
        if self.options.search_index and plan.index_state in ("pending", "building"):
            return None
        if plan.state.authority == "sqlite" and read_flag(self.data_dir) != "sqlite":
            return None
        return self.nothing_to_do(plan)

    def nothing_to_do(self, plan: Plan) -> MigrationReport:
        """Report what is there, and complete what an interruption right after publishing left undone."""
        if plan.work.moved:
            remember_times(self.data_dir, plan.work.moved)
        if plan.state.authority == "sqlite":
            name_workspaces(self.data_dir, plan.unnamed)
            point_at_sqlite(self.data_dir)
        parts = [part for source in plan.work.known for part in known_reports(plan, source)]
        workspaces = with_quarantine(by_workspace(parts), plan.quarantined)
        elapsed, stages = self.timer.read()
        return MigrationReport(
            status="nothing_to_do",
            database=os.fspath(self.data_dir.database),
            workspaces=workspaces,
            totals=totals_of(workspaces, sum(source.size for source in plan.work.known)),
            backup_path=self.data_dir.backup_now(plan.state.backup),
            duration_ms=elapsed,
            warnings=(*plan.warnings, *plan.unknown_files),
            stages=stages,
            search_index=plan.index_state,
        )
