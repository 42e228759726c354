"""All sources into the staging database and back out of it, by two processes where that is faster.

A file that looks as the app writes it is loaded without a second look: reading it back is what proves it. Whatever is
otherwise, or does not read back, is loaded with care, by this process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Protocol

from migrator.database import queries
from migrator.database.connection import remove_database
from migrator.errors import MigrationFailed
from migrator.files.copying import damaged_copy, sha256_of
from migrator.progress import ProgressMeter, ignore_progress
from migrator.staging.connection import staged_errors
from migrator.staging.database import Staging
from migrator.staging.jobs import CompareJob, LoadJob
from migrator.staging.loader import Loader, LoadTask
from migrator.staging.partition import Part, divided
from migrator.staging.readback import CompareTask, Comparison, Portion, ReadBack
from migrator.staging.results import Found, LoadedPart, LoadedSource
from migrator.worker.columns import ColumnList
from migrator.worker.limits import LIMITS, Limits
from migrator.worker.process import WorkerProcess
from migrator.worker.sharing import PIECES, OrderedJobs, run_shared
from migrator.workspace import placeholder


class BackupFiles(Protocol):
    """Where the copies of the sources are, and what is in them."""

    def path_of(self, name: str) -> str:
        """The path of a source's copy."""

    def sha256_of(self, name: str) -> str:
        """What it holds, in hex."""

    def mark_verified(self, name: str) -> None:
        """Note that all of it was read, and was what was copied."""


class Pipeline:
    """Loads sources into a staging database, and compares what it holds of them with the files.

    :param shards: where parts of the database may be put that are filled by themselves
    :param paths: workspace hash to workspace path, as far as known
    :param worker: does a part, if it is there
    :param salvage: take what is whole of torn files
    """

    def __init__(
        self,
        staging: Staging,
        shards: Callable[[int], Path],
        copies: BackupFiles,
        paths: dict[str, str],
        worker: WorkerProcess | None,
        limits: Limits = LIMITS,
        *,
        salvage: bool = False,
    ) -> None:
        self._staging = staging
        self._shards = shards
        self._copies = copies
        self._paths = paths
        self._worker = worker
        self._limits = limits
        self._salvage = salvage
        self._tasks: list[CompareTask] = []

    def load(self, sources: Sequence[LoadedSource], meter: ProgressMeter) -> None:
        """Load the sources; what is wrong with one as a whole is in its ``error`` then."""
        loader = self._loader(meter)
        readable = [loaded for loaded in sources if not loaded.error]
        self._load_as_written([loaded for loaded in readable if loaded.source.kind == "workspace"], loader, meter)
        behind = 0
        for loaded in readable:
            if loaded.source.kind != "workspace":
                loaded.first = behind  # a workspace's own file comes first; what others bring stands behind it
            if not loaded.as_written:
                self._load_with_care(loaded, loader, meter)
            behind = max(behind, loaded.first + loaded.elements)

    def _loader(self, meter: ProgressMeter) -> Loader:
        return Loader(self._staging.rows, self._staging.workspace_id, self._paths, meter.add, salvage=self._salvage)

    def _load_with_care(self, loaded: LoadedSource, loader: Loader, meter: ProgressMeter) -> None:
        meter.begin(loaded.source.name)
        copy = self._copies.path_of(loaded.source.name)
        loader.load(loaded, copy)
        if not loaded.error:
            self._tasks.append(self._to_compare(loaded, copy))

    def _load_as_written(self, sources: Sequence[LoadedSource], loader: Loader, meter: ProgressMeter) -> None:
        """Load the files that are as the app writes them, and leave those that turn out to be otherwise."""
        for loaded in sources:
            self._staging.workspace_id(*self._workspace(loaded))  # numbered in the order of the sources
        mine, shards = self._divided([Part(loaded, loaded.source.size, None) for loaded in sources])

        @cache  # the worker waits until the first one is made
        def job(number: int) -> LoadJob:
            return LoadJob(self._shards(number), ColumnList(self._task(part) for part in shards[number]), self._limits)

        helped = OrderedJobs(len(shards), job, self._worker, meter.add)
        otherwise = self._load_here(mine, loader, helped.submit_more)
        for number, (shard, results) in enumerate(zip(shards, helped.results(), strict=True)):
            if results is None:  # there is no worker any more
                otherwise |= self._load_here(shard, loader)
            else:
                otherwise |= self._take_over(job(number), shard, results)
            remove_database(self._shards(number))
        begun = {task.source_id for task in self._tasks}
        for source_id, loaded in otherwise.items():
            if source_id in begun:
                self._staging.drop_source(source_id)
            loaded.forget()
        self._tasks = [task for task in self._tasks if task.source_id not in otherwise]

    def _workspace(self, loaded: LoadedSource) -> tuple[str, str]:
        """The hash and the path of a workspace file's workspace."""
        workspace_hash = loaded.source.workspace_hash or ""
        return workspace_hash, self._paths.get(workspace_hash) or placeholder(workspace_hash)

    def _task(self, part: Part) -> LoadTask:
        """What there is to do for a part, by whichever process."""
        loaded, name = part.loaded, part.loaded.source.name
        workspace_hash, path = self._workspace(loaded)
        number = self._staging.workspace_id(workspace_hash, path)
        copy, sha256 = self._copies.path_of(name), self._copies.sha256_of(name)
        return LoadTask(name, workspace_hash, path, number, loaded.source_id, copy, sha256, part.within)

    def _divided(self, parts: Sequence[Part]) -> tuple[Sequence[Part], list[list[Part]]]:
        if self._worker is None or not self._limits.is_worth_a_worker(sum(part.size for part in parts), len(parts)):
            return parts, []
        return divided(parts, self._copies.path_of, self._limits.shard)

    def _load_here(
        self, parts: Sequence[Part], loader: Loader, meanwhile: Callable[[], None] = lambda: None
    ) -> dict[int, LoadedSource]:
        """Load parts in this process; returns the sources that are not as the app writes them, by number.

        :param meanwhile: called between two parts
        """
        otherwise: dict[int, LoadedSource] = {}
        for part in parts:
            loaded = part.loaded
            if loaded.source_id in otherwise:
                continue
            task, behind = self._task(part), loaded.elements
            found = loader.load_as_written(loaded, task)
            meanwhile()
            if found is None:
                otherwise[loaded.source_id] = loaded
            else:
                self._note(loaded, task, behind, found)
        return otherwise

    def _take_over(
        self, job: LoadJob, shard: Sequence[Part], results: Sequence[LoadedPart | None]
    ) -> dict[int, LoadedSource]:
        """Take what was loaded into a shard; returns the sources of which that could not be done, by number."""
        first = shard[0].loaded  # the others begin in this shard
        self._staging.take_over(job.shard, first.source_id, first.elements)
        otherwise: dict[int, LoadedSource] = {}
        for (loaded, *_), task, part in zip(shard, job.tasks, results, strict=True):
            if part is None:
                otherwise[loaded.source_id] = loaded
            else:
                self._note(loaded, task, loaded.elements, part.found)
                loaded.join(part, task.workspace_path, task.workspace_id)
        return otherwise

    def _note(self, loaded: LoadedSource, task: LoadTask, behind: int, found: Found) -> None:
        """Note what is to be compared, and what is proven.

        :param behind: how many elements of the source precede these
        """
        portion = Portion(behind, found.start, found.sizes, task.within is None)
        self._tasks.append(CompareTask(task.name, task.source_id, loaded.first, task.copy, task.sha256, portion))
        if found.proven:
            self._copies.mark_verified(task.name)

    def _to_compare(self, loaded: LoadedSource, copy: str) -> CompareTask:
        """All of a source that was loaded with care."""
        name = loaded.source.name
        return CompareTask(name, loaded.source_id, loaded.first, copy, self._copies.sha256_of(name), None)

    def finish(self) -> None:
        """Build the indexes."""
        self._staging.finish()

    def compare(self, sources: Sequence[LoadedSource], meter: ProgressMeter) -> None:
        """Read every document back, and compare it with its file; the digest of each source is known then.

        :raises MigrationFailed: one differs; says which
        """
        found: dict[int, ReadBack] = {}
        results = self._compare(meter)
        for task, result in zip(self._tasks, results, strict=True):
            before = found.get(task.source_id)
            found[task.source_id] = before.joined(result) if before else result
        for loaded in sources:
            if not loaded.error:
                self._settle(loaded, found[loaded.source_id])
        self._require_no_more(sources)

    def _compare(self, meter: ProgressMeter) -> list[ReadBack]:
        """What each task has shown; large ones may be several by then."""
        if self._worker is None:
            return self._compare_here(self._tasks, meter)
        pieces = [*_portions_to_share(self._tasks)]
        self._tasks = [*chain.from_iterable(pieces)]
        jobs = [CompareJob(self._staging.path, ColumnList(piece)) for piece in pieces]
        return [*chain.from_iterable(run_shared(jobs, self._worker, meter.add))]

    def _compare_here(self, tasks: Sequence[CompareTask], meter: ProgressMeter) -> list[ReadBack]:
        with closing(Comparison(self._staging.path, meter.add)) as comparison:
            return list(comparison.run(tasks))

    def _settle(self, loaded: LoadedSource, found: ReadBack) -> None:
        """Note a source's digest; one that does not read back is loaded with care, for orjson may have lost something.

        :raises MigrationFailed: it does not read back even then
        """
        if found.difference and loaded.as_written:
            found = self._load_again(loaded)
        if found.difference:
            raise MigrationFailed(
                f"What {self._staging.path.name} holds of {loaded.source.name} does not read back as what the file "
                f"holds: {found.difference}.",
                hint="Nothing was changed. Please report this as a bug, with the output of 'migrator doctor'.",
            )
        loaded.digest = found.digest()

    def _load_again(self, loaded: LoadedSource) -> ReadBack:
        """
        :raises MigrationFailed: the copy is not what was copied any more
        """
        meter = ProgressMeter(ignore_progress, "load", 0)
        with staged_errors("load sessions again", self._staging.path):
            self._staging.connection.execute("BEGIN")
            self._staging.drop_source(loaded.source_id)
            loaded.forget()
            copy = self._copies.path_of(loaded.source.name)
            self._loader(meter).load(loaded, copy)
            self._staging.rows.flush()
            self._staging.connection.execute("COMMIT")
        found = ReadBack(b"") if loaded.error else self._compare_here([self._to_compare(loaded, copy)], meter)[0]
        if sha256_of(copy) != self._copies.sha256_of(loaded.source.name):  # it was proven by what was loaded first
            raise damaged_copy(copy)
        return found

    def _require_no_more(self, sources: Iterable[LoadedSource]) -> None:
        """Every session was read back with all of its own; make sure that nothing is there that belongs to none.

        :raises MigrationFailed: there is
        """
        counts = [counts for loaded in sources for counts in loaded.counts.values()]
        expected = (sum(count.instances for count in counts), sum(count.messages for count in counts))
        with staged_errors("count the rows", self._staging.path):
            [found] = self._staging.connection.execute(queries.CHILD_COUNTS)
        if found != expected:
            raise MigrationFailed(
                f"The new database has {found[0]} instances and {found[1]} messages, the files have {expected[0]} and "
                f"{expected[1]}.",
                hint="The disk may be failing. Nothing was changed.",
            )


def _size(task: CompareTask) -> int:
    """Bytes; files as a whole, which are loaded with care, are small, or few."""
    return sum(task.portion.sizes) if task.portion else 0


def _portions_to_share(tasks: Sequence[CompareTask]) -> Iterator[list[CompareTask]]:
    """The tasks in portions to share, large ones cut."""
    sizes = [*map(_size, tasks)]
    enough = sum(sizes) // PIECES
    piece: list[CompareTask] = []
    room = enough
    for task, size in zip(tasks, sizes, strict=True):
        for part, taken in _cut(task, size, enough):
            piece.append(part)
            room -= taken
            if room <= 0:
                yield piece
                piece, room = [], enough
    if piece:
        yield piece


def _cut(task: CompareTask, size: int, at_most: int) -> Iterable[tuple[CompareTask, int]]:
    """The task, of so many bytes, in parts that are not much larger than ``at_most``, each with its size."""
    if task.portion is None or size <= at_most:
        return ((task, size),)
    return ((task._replace(portion=portion), sum(portion.sizes)) for portion in task.portion.cut(at_most))
