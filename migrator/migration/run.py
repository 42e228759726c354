"""One migration, on one page.

lock → discover → compare with the ledger → check space → back up → load → verify → publish → flip the flag → report
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from migrator import durable
from migrator.data_dir import DataDir
from migrator.database.state import state_of
from migrator.errors import MigrationFailed, MigratorError
from migrator.migration import ledger
from migrator.migration.collector import without_collector
from migrator.migration.discover import Source, names_of_files
from migrator.migration.leftovers import in_sight
from migrator.migration.lock import exclusive
from migrator.migration.meter import Meter
from migrator.migration.outcome import (
    changed_meanwhile,
    conflict_messages,
    known_reports,
    messages_of,
    workspace_reports,
)
from migrator.migration.progress import Listener, ignore_progress
from migrator.migration.report import MigrationReport, by_workspace, totals_of
from migrator.migration.stopwatch import Stopwatch
from migrator.migration.survey import Survey, survey, with_proven_paths
from migrator.migration.upkeep import mark, name_workspaces, remember_times
from migrator.storage.flag import read_flag, require_no_other_truth, require_truth, write_flag

if TYPE_CHECKING:
    from migrator.migration.backup import BackingUp, Backup
    from migrator.migration.load import LoadedSource
    from migrator.migration.publish import Published
    from migrator.migration.run_record import RunFacts
    from migrator.migration.second_process import Helper, SecondProcess


def run_migration(
    data_dir: DataDir,
    *,
    dry_run: bool = False,
    strict: bool = False,
    salvage: bool = False,
    workspaces: Iterable[str | os.PathLike[str]] = (),
    search_index: bool = True,
    listener: Listener = ignore_progress,
) -> MigrationReport:
    """Bring every session of the data directory into SQLite, or those that are new or changed since the last time.

    :param dry_run: do everything for real, in a scratch folder that is removed again
    :param strict: publish nothing if anything is bad
    :param salvage: take what is whole of torn files
    :param workspaces: paths of workspaces, where they can't be told from the files
    :param search_index: build the index for full-text search when all else is done, and the app may start
    :param listener: told about progress
    :raises MigrationLocked: another migrator is at work here
    :raises StaleStoreError: the database that holds the truth is another one, or gone
    :raises MigratorError: the run failed, and nothing was changed
    """
    require_no_other_truth(data_dir)
    named = [os.fspath(workspace) for workspace in workspaces]

    def run_in(place: DataDir) -> Run:
        return Run(place, strict=strict, salvage=salvage, named=named, search_index=search_index, listener=listener)

    if not dry_run:
        found = run_in(data_dir).found_nothing()
        if found is not None:
            return found
    with exclusive(data_dir, keep=not dry_run):
        if not dry_run:
            report = run_in(data_dir).run()
            from migrator.migration.indexing import index_after  # a look that finds nothing to do comes not so far

            return index_after(report, data_dir, listener, wanted=search_index)
        require_truth(data_dir, state_of(data_dir.database))
        from migrator.migration.rehearsal import rehearsal  # nothing that this takes is for a real run

        with rehearsal(data_dir) as scratch:
            rehearsed = run_in(scratch).run()
        return _as_rehearsal(rehearsed, data_dir)


class Staged(NamedTuple):
    """What is in the staging database, verified.

    :ivar entries: the ledger's row for each source, by its name
    """

    loaded: list[LoadedSource]
    saved: Backup
    entries: dict[str, ledger.LedgerEntry]


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
    ) -> None:
        self.data_dir = data_dir
        self.strict = strict
        self.salvage = salvage
        self.named = named
        self.search_index = search_index
        self.listener = listener
        self.in_trial = in_trial or read_flag(data_dir.root / data_dir.flag.name) == "hybrid"
        self.helper: Helper = lambda _size, _files: None
        self.stopwatch = Stopwatch()
        self.stage = self.stopwatch.stage

    def run(self) -> MigrationReport:
        from migrator.migration.second_process import help_on_demand  # a look that finds nothing comes not so far

        with help_on_demand() as self.helper, without_collector():
            if not self.data_dir.database.exists():  # then all of the files are new
                self.helper(0, names_of_files(self.data_dir))  # looking at very many takes as long as its start
            return self.run_with_help()

    def run_with_help(self) -> MigrationReport:
        with self.stage("discover"):
            found = self.survey()
            if self.in_trial and self.mend_trial(found):
                found = self.survey()
        if not found.work.pending:
            return self.nothing_to_do(found)
        report = self.migrate(found)
        if self.in_trial and self.mend_trial(self.survey()):
            self.migrate(self.survey())  # others had written to these files, so that they had to be merged first
        return report

    def survey(self) -> Survey:
        found = survey(self.data_dir, named=self.named, salvage=self.salvage)
        require_truth(self.data_dir, found.state)
        return found

    def mend_trial(self, found: Survey) -> bool:
        """What the files of a trial lack is no change that somebody made in them: put it there first."""
        from migrator.migration.trial import mend_trial  # only a trial pays for loading the stores

        return mend_trial(self.data_dir, found)

    def found_nothing(self) -> MigrationReport | None:
        """A report that there is nothing to do, where that takes no more than a look; None where it takes the lock."""
        if self.in_trial or (not self.data_dir.database.exists() and self.data_dir.sessions.is_dir()):
            return None
        with self.stage("discover"):
            found = survey(self.data_dir, named=self.named, salvage=self.salvage)
            require_truth(self.data_dir, found.state)
        busy = found.work.pending or found.work.moved or in_sight(self.data_dir) or found.unnamed
        if self.search_index and found.index_state in ("pending", "building"):
            return None
        if busy or (found.state.authority == "sqlite" and read_flag(self.data_dir.flag) not in ("sqlite", "hybrid")):
            return None
        return self.nothing_to_do(found)

    def nothing_to_do(self, found: Survey) -> MigrationReport:
        """Report what is there; put right what an interruption between the last two steps left behind."""
        if found.work.moved:
            remember_times(self.data_dir, found.work.moved)
        if found.state.authority == "sqlite":
            name_workspaces(self.data_dir, found.unnamed)
            self.flip()
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

    def migrate(self, found: Survey) -> MigrationReport:
        from migrator.migration.backup import backing_up, require_space  # only a run with work to do pays for these
        from migrator.migration.second_process import stopped_on_failure

        require_space(self.data_dir, found.work.pending)
        second = self.help_with(found.work.pending)
        try:
            with backing_up(self.data_dir, second) as saving:
                with stopped_on_failure(second):
                    found = self.back_up(found, saving)
                second = self.help_with(found.work.pending)  # older files may be what makes it worth while
                with stopped_on_failure(second):
                    mark(self.data_dir, found.state, "in_progress")
                    try:
                        staged = self.load_and_verify(found.work.pending, found.paths, saving, second)
                        problems = [message for source in staged.loaded for message in messages_of(source)]
                        if self.strict and problems:
                            raise MigrationFailed(
                                "--strict: " + " ".join(problems),
                                hint="Nothing was published. Mend them, or run without --strict.",
                            )
                        with self.stage("publish"):
                            published = self.publish(staged)
                    except BaseException:
                        with suppress(MigratorError):  # what went wrong first is what the user has to hear of
                            mark(self.data_dir, found.state, "failed")
                        raise
        finally:
            self.remove_staging()
        self.flip()
        return self.report(found, staged, published, problems)

    def help_with(self, sources: Sequence[Source]) -> SecondProcess | None:
        return self.helper(sum(source.size for source in sources), len(sources))

    def back_up(self, found: Survey, saving: BackingUp) -> Survey:
        """Copy what is to be taken up, and with it what older builds left in the workspaces that the copies show."""
        from migrator.migration.backup import require_space

        meter = Meter(self.listener, "backup", 0)
        with self.stage("backup"):
            proven = saving.copy(found.work.pending, found.paths, meter)
        with self.stage("discover"):
            found = with_proven_paths(found, proven, salvage=self.salvage)
            older = saving.lacks(found.work.pending)
            require_space(self.data_dir, older)
        with self.stage("backup"):
            saving.copy(older, found.paths, meter)
            saving.seal()
        return found

    def remove_staging(self) -> None:
        for path in self.data_dir.under_construction():
            durable.remove(path)

    def load_and_verify(
        self, sources: Sequence[Source], paths: dict[str, str], saving: BackingUp, second: SecondProcess | None
    ) -> Staged:
        """Everything that can be taken up in the staging database, read back and recorded there."""
        from migrator.migration.load import LoadedSource  # only a run with work to do pays for loading these
        from migrator.migration.pipeline import Pipeline
        from migrator.migration.staging import Staging

        results = [
            LoadedSource(source, source_id=number, error=saving.unreadable.get(source.name))
            for number, source in enumerate(sources, 1)
        ]
        total = saving.size
        with Staging(self.data_dir.staging) as staging:
            pipeline = Pipeline(
                staging,
                self.data_dir.shard,
                saving,
                paths,
                second,
                salvage=self.salvage,
            )
            with self.stage("load"):
                meter = Meter(self.listener, "load", total)
                pipeline.load(results, meter)
                meter.complete()
            with self.stage("index"):
                saving.read_back()
                pipeline.finish()
            with self.stage("verify"), durable.syncing_ahead(self.data_dir.staging):
                meter = Meter(self.listener, "verify", total)
                pipeline.compare(results, meter)
                meter.complete()
            with self.stage("backup"):
                saved = saving.finish()
            if not self.data_dir.database.exists():
                with self.stage("publish"):  # so that the record tells how long it took
                    durable.sync_file(self.data_dir.staging)
            with self.stage("record"):
                entries = ledger.entries_of(results, saved, self.data_dir.output)
                staging.record(results, entries.values(), self.facts(results, saved))
        return Staged(results, saved, entries)

    def facts(self, loaded: Sequence[LoadedSource], saved: Backup) -> RunFacts:
        from migrator.migration.run_record import RunFacts  # only a run with work to do pays for loading it

        folder = None if saved.folder is None else durable.as_text(saved.folder)
        return RunFacts(self.stopwatch, len(loaded), saved.size, folder)

    def publish(self, staged: Staged) -> Published:
        from migrator.migration.publish import Publication, Published, publish_into, publish_new

        publication = Publication(
            staging=self.data_dir.staging,
            database=self.data_dir.database,
            loaded=staged.loaded,
            entries=staged.entries,
            facts=self.facts(staged.loaded, staged.saved),
            backups=self.data_dir.backups,
            data_dir=self.data_dir.root,
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
        from migrator.migration.trial import files_we_wrote  # only a trial pays for loading the stores

        return files_we_wrote(self.data_dir)

    def flip(self) -> None:
        """Point the app at SQLite; a trial of both stores goes on as one."""
        if read_flag(self.data_dir.flag) != "hybrid":
            write_flag(self.data_dir, "sqlite")

    def report(self, found: Survey, staged: Staged, published: Published, problems: list[str]) -> MigrationReport:
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
            warnings=(*found.warnings, *published.late.warnings(), *changed_meanwhile(staged.loaded)),
            stages=self.stopwatch.stages,
        )


def _as_rehearsal(report: MigrationReport, data_dir: DataDir) -> MigrationReport:
    return replace(report, dry_run=True, database=os.fspath(data_dir.database), backup_path=None)
