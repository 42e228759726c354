"""Loads all sources into the staging database and reads them back, in two processes if that is faster.

A file that looks as the app writes it is loaded fast; reading it back proves that nothing was lost. Any other file, and
any file that reads back differently, is loaded carefully by this process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from hashlib import sha256
from itertools import chain
from pathlib import Path

from migrator.database import queries
from migrator.database.connection import remove_database
from migrator.errors import MigrationFailed
from migrator.files.copying import damaged_copy, sha256_of
from migrator.progress import ProgressMeter, ignore_progress
from migrator.staging.connections.opening import staged_errors
from migrator.staging.database import StagingDatabase
from migrator.staging.loader import Loader, LoadTask
from migrator.staging.partition import WorkItem, divide
from migrator.staging.readback import CompareJob, CompareTask, ElementRange, ReadBack
from migrator.staging.results import LoadedPart, LoadedRange, LoadedSource
from migrator.staging.shard import LoadJob
from migrator.text import counted
from migrator.worker.limits import LIMITS, Limits
from migrator.worker.process import WorkerProcess
from migrator.worker.sharing import PIECES, OrderedJobs, run_shared
from migrator.workspace import placeholder


class Pipeline:
    """Loads sources into a staging database, and compares what it contains with the files.

    :param shards: given a number, returns the path for that shard
    :param paths: workspace hash to workspace path, as far as known
    :param worker: does part of the work, unless it is None
    :param salvage: load the complete sessions of truncated files
    """

    def __init__(
        self,
        staging: StagingDatabase,
        shards: Callable[[int], Path],
        paths: dict[str, str],
        worker: WorkerProcess | None,
        limits: Limits = LIMITS,
        *,
        salvage: bool = False,
    ) -> None:
        self._staging = staging
        self._shards = shards
        self._paths = paths
        self._worker = worker
        self._limits = limits
        self._salvage = salvage
        self._tasks: list[CompareTask] = []

    def load(self, sources: Sequence[LoadedSource], meter: ProgressMeter) -> None:
        """Load the sources; if one fails as a whole, its ``error`` says why."""
        loader = self._loader(meter)
        readable = [loaded for loaded in sources if not loaded.error]
        self._load_app_formatted([loaded for loaded in readable if loaded.source.kind == "workspace"], loader, meter)
        following = 0
        for loaded in readable:
            if loaded.source.kind != "workspace":
                loaded.first_position = following  # after the sessions of the workspace's own file
            if not loaded.app_formatted:
                meter.begin(loaded.source.name)
                loader.load_carefully(loaded)
                if not loaded.error:
                    self._tasks.append(_to_compare(loaded))
            following = max(following, loaded.first_position + loaded.elements)

    def _loader(self, meter: ProgressMeter) -> Loader:
        rows, workspace_id = self._staging.rows, self._staging.workspace_id
        return Loader(rows, workspace_id, self._paths, meter.add, self._limits, salvage=self._salvage)

    def _load_app_formatted(self, sources: Sequence[LoadedSource], loader: Loader, meter: ProgressMeter) -> None:
        """Load the files that are app-formatted, and leave out those that turn out not to be."""
        for loaded in sources:
            self._staging.workspace_id(*self._workspace(loaded))  # numbered in the order of the sources
        items = [WorkItem(loaded, loaded.source.size, None) for loaded in sources]
        mine = items
        shards: list[list[WorkItem]] = []
        if self._worker and self._limits.is_worth_a_worker(sum(item.size for item in items), len(items)):
            mine, shards = divide(items, self._limits.shard)

        @cache  # jobs are made when needed: the worker can begin once the first one is made
        def job(number: int) -> LoadJob:
            return LoadJob(self._shards(number), self._staging.loader, [*map(self._task, shards[number])], self._limits)

        jobs = OrderedJobs(len(shards), job, self._worker, meter.add)
        others = self._load_here(mine, loader, jobs.submit_more if shards else None)
        for number, (shard, results) in enumerate(zip(shards, jobs.results(), strict=True)):
            if results is None:  # the worker is gone
                others |= self._load_here(shard, loader)
            else:
                others |= self._merge_in(self._shards(number), shard, results)
            remove_database(self._shards(number))
        begun = {task.source_id for task in self._tasks}
        for source_id, loaded in others.items():
            if source_id in begun:
                self._staging.drop_source(source_id)
            loaded.reset()
        self._tasks = [task for task in self._tasks if task.source_id not in others]

    def _workspace(self, loaded: LoadedSource) -> tuple[str, str]:
        """Return the hash and the path of a workspace file's workspace."""
        workspace_hash = loaded.source.workspace_hash or ""
        return workspace_hash, self._paths.get(workspace_hash) or placeholder(workspace_hash)

    def _task(self, item: WorkItem) -> LoadTask:
        """Make the task that describes what the worker loads."""
        loaded = item.loaded
        workspace_hash, path = self._workspace(loaded)
        number = self._staging.workspace_id(workspace_hash, path)
        name, copy, sha256 = loaded.source.name, loaded.copy, loaded.sha256
        return LoadTask(name, workspace_hash, path, number, loaded.source_id, copy, sha256, item.within)

    def _load_here(
        self, items: Sequence[WorkItem], loader: Loader, meanwhile: Callable[[], None] | None = None
    ) -> dict[int, LoadedSource]:
        """Load items in this process, and return the sources that are not app-formatted, by id.

        :param meanwhile: called after each item
        """
        others: dict[int, LoadedSource] = {}
        for loaded, _, within in items:
            if loaded.source_id in others:
                continue
            preceding = loaded.elements
            found = loader.load_fast(loaded, within)
            if meanwhile:
                meanwhile()
            if found is None:
                others[loaded.source_id] = loaded
            else:
                self._note(loaded, preceding, found, whole=within is None)
        return others

    def _merge_in(
        self, path: Path, shard: Sequence[WorkItem], results: Sequence[LoadedPart | None]
    ) -> dict[int, LoadedSource]:
        """Merge a shard in, and return the sources that are not app-formatted, by id."""
        first = shard[0].loaded  # the only source that may have begun before this shard
        self._staging.merge_in(path, first.source_id, first.elements)
        others: dict[int, LoadedSource] = {}
        for (loaded, _, within), part in zip(shard, results, strict=True):
            if part is None:
                others[loaded.source_id] = loaded
            else:
                self._note(loaded, loaded.elements, part.found, whole=within is None)
                loaded.add_part(part)
        return others

    def _note(self, loaded: LoadedSource, preceding: int, found: LoadedRange, *, whole: bool) -> None:
        """Record a range to compare, which follows ``preceding`` elements, and whether the copy was verified."""
        within = ElementRange(preceding, found.start, found.sizes, whole)
        self._tasks.append(_to_compare(loaded, within))
        loaded.verified |= found.verified

    def compare(self, sources: Sequence[LoadedSource], meter: ProgressMeter) -> None:
        """Read every document back, compare it with its file, and set the digest of each source.

        :raises MigrationFailed: one differs; the message names it
        """
        if self._worker is None:
            results = self._compare_here(self._tasks, meter)
        else:
            pieces = [*_shared_tasks(self._tasks)]
            self._tasks = [*chain.from_iterable(pieces)]
            jobs = [CompareJob(self._staging.path, self._staging.loader, piece) for piece in pieces]
            results = [*chain.from_iterable(run_shared(jobs, self._worker, meter.add))]
        found: dict[int, ReadBack] = {}
        for task, result in zip(self._tasks, results, strict=True):
            before = found.get(task.source_id, ReadBack(b""))
            found[task.source_id] = ReadBack(before.digests + result.digests, before.difference or result.difference)
        for loaded in sources:
            if not loaded.error:
                self._settle(loaded, found[loaded.source_id])
        self._require_no_more(sources)

    def _compare_here(self, tasks: Sequence[CompareTask], meter: ProgressMeter) -> list[ReadBack]:
        return CompareJob(self._staging.path, self._staging.loader, tasks).run(meter.add)

    def _settle(self, loaded: LoadedSource, found: ReadBack) -> None:
        """Set a source's digest; if it reads back differently, load it carefully, because orjson may have lost data.

        :raises MigrationFailed: it still reads back differently
        """
        if found.difference and loaded.app_formatted:
            found = self._load_again(loaded)
        if found.difference:
            raise MigrationFailed(
                f"{loaded.source.name} and its sessions in {self._staging.path.name} differ: {found.difference}. "
                "Nothing was changed.",
                code="session.readback_failed",
                hint="Please report this as a bug, with the output of 'migrator doctor'.",
            )
        loaded.digest = sha256(found.digests).hexdigest()

    def _load_again(self, loaded: LoadedSource) -> ReadBack:
        """Load a source again, carefully; raises MigrationFailed if its backup copy has changed."""
        meter = ProgressMeter(ignore_progress, "load", 0)
        with staged_errors("load sessions again", self._staging.path):
            self._staging.connection.execute("BEGIN")
            self._staging.drop_source(loaded.source_id)
            loaded.reset()
            self._loader(meter).load_carefully(loaded)
            self._staging.rows.flush()
            self._staging.connection.execute("COMMIT")
        found = ReadBack(b"") if loaded.error else self._compare_here([_to_compare(loaded)], meter)[0]
        if sha256_of(loaded.copy) != loaded.sha256:  # loading it the first time may have been its only check
            raise damaged_copy(loaded.copy)
        return found

    def _require_no_more(self, sources: Iterable[LoadedSource]) -> None:
        """Raise MigrationFailed if the database has rows that belong to no session that was read back."""
        counts = [counts for loaded in sources for counts in loaded.counts.values()]
        expected = (sum(count.instances for count in counts), sum(count.messages for count in counts))
        with staged_errors("count the rows", self._staging.path):
            [found] = self._staging.connection.execute(queries.CHILD_COUNTS)
        if found != expected:
            raise MigrationFailed(
                f"The new database has {counted(found[0], 'instance')} and {counted(found[1], 'message')}, but the "
                f"files have {counted(expected[0], 'instance')} and {counted(expected[1], 'message')}. "
                "Nothing was changed.",
                code="session.readback_failed",
                hint="The disk may be failing: check it, then run the command again.",
            )


def _to_compare(loaded: LoadedSource, within: ElementRange | None = None) -> CompareTask:
    """Make the task of reading back a range of a source, or all of one that was loaded carefully."""
    return CompareTask(loaded.source.name, loaded.source_id, loaded.first_position, loaded.copy, loaded.sha256, within)


def _shared_tasks(tasks: Sequence[CompareTask]) -> Iterator[list[CompareTask]]:
    """Group the tasks into pieces to share, and cut large ones."""
    enough = sum(task.size for task in tasks) // PIECES
    piece: list[CompareTask] = []
    room = enough
    for task in tasks:
        parts = [task]
        if task.within and task.size > enough:
            parts = [task._replace(within=within) for within in task.within.cut(enough)]
        for part in parts:
            piece.append(part)
            room -= part.size
            if room <= 0:
                yield piece
                piece, room = [], enough
    if piece:
        yield piece
