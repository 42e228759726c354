"""All sources into the staging database and back out of it, by two processes where that is faster.

A file that looks as the app writes it is loaded without a second look: reading it back is what proves it. Whatever is
otherwise, or does not read back, is loaded with care, by this process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from migrator import as_written
from migrator.as_written import Extent
from migrator.database import queries
from migrator.database.connection import remove_database
from migrator.database.staged import staged_errors
from migrator.errors import MigrationFailed, os_errors
from migrator.migration.jobs import CompareJob, LoadJob, LoadTask
from migrator.migration.load import LoadedPart, LoadedSource, Loader
from migrator.migration.meter import Meter
from migrator.migration.progress import ignore_progress
from migrator.migration.readback import CompareTask, Comparison, Portion, ReadBack
from migrator.migration.second_process import SecondProcess, is_worth_it
from migrator.migration.shared_work import PIECES, share
from migrator.migration.staging import Staging
from migrator.workspace import placeholder

# This process has the rows of the second one to take over as well, and begins with that when its own part is done.
_OWN_SHARE = 0.4
_SHARD = 32 << 20  # bytes of files whose sessions go to one shard


class _Part(NamedTuple):
    """A source of which nobody has seen yet that it is not as the app writes it, or an extent of such a one.

    :ivar within: None for all of it
    """

    loaded: LoadedSource
    size: int
    within: Extent | None = None


class Pipeline:
    """Loads sources into a staging database, and compares what it holds of them with the files.

    :param shards: where the second process may put its parts of the database
    :param copies: where a source's copy is
    :param paths: workspace hash to workspace path, as far as known
    :param second: helps, if it is there
    :param salvage: take what is whole of torn files
    """

    def __init__(
        self,
        staging: Staging,
        shards: Callable[[int], Path],
        copies: Callable[[LoadedSource], str],
        paths: dict[str, str],
        second: SecondProcess | None,
        *,
        salvage: bool = False,
    ) -> None:
        self._staging = staging
        self._shards = shards
        self._copies = copies
        self._paths = paths
        self._second = second
        self._salvage = salvage
        self._tasks: list[CompareTask] = []

    def load(self, sources: Sequence[LoadedSource], meter: Meter) -> None:
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

    def _loader(self, meter: Meter) -> Loader:
        return Loader(self._staging.rows, self._staging.workspace_id, self._paths, meter.add, salvage=self._salvage)

    def _load_with_care(self, loaded: LoadedSource, loader: Loader, meter: Meter) -> None:
        meter.begin(loaded.source.name)
        loader.load(loaded, self._copies(loaded))
        if not loaded.error:
            self._tasks.append(self._task(loaded, None))

    def _load_as_written(self, sources: Sequence[LoadedSource], loader: Loader, meter: Meter) -> None:
        """Load the files that are as the app writes them, and leave those that turn out to be otherwise."""
        for loaded in sources:
            self._workspace(loaded)  # numbered in the order of the sources, whoever loads them
        mine, shards = self._divided([_Part(loaded, loaded.source.size) for loaded in sources])
        jobs = [self._job(number, shard) for number, shard in enumerate(shards)]
        tickets = [self._second.give(job) for job in jobs] if self._second is not None else []
        otherwise = self._load_here(mine, loader)
        for job, shard, ticket in zip(jobs, shards, tickets, strict=True):
            results: list[LoadedPart | None] | None = None
            if self._second is not None:
                results = self._second.result(ticket, meter.add)
            if results is None:  # it is gone
                otherwise |= self._load_here(shard, loader)
            else:
                otherwise |= self._take_over(job, shard, results)
            remove_database(job.shard)
        begun = {task.source_id for task in self._tasks}
        for source_id, loaded in otherwise.items():
            if source_id in begun:
                self._staging.drop_source(source_id)
            loaded.forget()
        self._tasks = [task for task in self._tasks if task.source_id not in otherwise]

    def _workspace(self, loaded: LoadedSource) -> tuple[str, str, int]:
        """The hash and the path of the workspace that a file is of, and the row id that it will have."""
        name = loaded.source.workspace_hash or ""
        path = self._paths.get(name) or placeholder(name)
        return name, path, self._staging.workspace_id(name, path)

    def _divided(self, parts: Sequence[_Part]) -> tuple[list[_Part], list[list[_Part]]]:
        """What this process loads, and what the second one does, shard by shard.

        Files go in their order, large ones in pieces.
        """
        total = sum(part.size for part in parts)
        if self._second is None or not is_worth_it(total, len(parts)):
            return [*parts], []
        mine: list[_Part] = []
        shards: list[list[_Part]] = []
        own, filled = int(total * _OWN_SHARE), 0
        for whole in parts:
            for part in self._cut(whole):
                if own > part.size // 2:
                    mine.append(part)
                    own -= part.size
                    continue
                if not shards or filled >= _SHARD:
                    shards.append([])
                    filled = 0
                shards[-1].append(part)
                filled += part.size
                own = 0
        return mine, shards

    def _cut(self, part: _Part) -> list[_Part]:
        if part.size <= _SHARD + _SHARD // 2:
            return [part]
        copy = self._copies(part.loaded)
        with os_errors("read", copy), open(copy, "rb", buffering=0) as file:
            whole = as_written.extent(file)
            pieces = as_written.cut(file, whole, _SHARD) if whole else []
        return [_Part(part.loaded, piece.end - piece.start, piece) for piece in pieces] or [part]

    def _job(self, number: int, shard: Sequence[_Part]) -> LoadJob:
        tasks = [
            LoadTask(loaded.source.name, *self._workspace(loaded), loaded.source_id, self._copies(loaded), within)
            for loaded, _, within in shard
        ]
        return LoadJob(self._shards(number), tasks)

    def _load_here(self, parts: Sequence[_Part], loader: Loader) -> dict[int, LoadedSource]:
        """Load parts in this process; returns the sources that are not as the app writes them, by number."""
        otherwise: dict[int, LoadedSource] = {}
        for loaded, _, within in parts:
            if loaded.source_id in otherwise:
                continue
            behind = loaded.elements
            found = loader.load_as_written(loaded, self._copies(loaded), within)
            if found is None:
                otherwise[loaded.source_id] = loaded
            else:
                self._tasks.append(self._task(loaded, Portion(behind, *found, whole=within is None)))
        return otherwise

    def _take_over(
        self, job: LoadJob, shard: Sequence[_Part], results: Sequence[LoadedPart | None]
    ) -> dict[int, LoadedSource]:
        """Take what the second process has loaded; returns the sources of which it could not, by number."""
        first = shard[0].loaded  # the others begin in this shard
        self._staging.take_over(job.shard, first.source_id, first.elements)
        otherwise: dict[int, LoadedSource] = {}
        for part, found in zip(shard, results, strict=True):
            loaded = part.loaded
            if found is None:
                otherwise[loaded.source_id] = loaded
            else:
                self._tasks.append(
                    self._task(loaded, Portion(loaded.elements, found.start, found.sizes, part.within is None))
                )
                loaded.join(found)
        return otherwise

    def _task(self, loaded: LoadedSource, portion: Portion | None) -> CompareTask:
        return CompareTask(loaded.source.name, loaded.source_id, loaded.first, self._copies(loaded), portion)

    def finish(self) -> None:
        """Build the indexes."""
        self._staging.finish()

    def compare(self, sources: Sequence[LoadedSource], meter: Meter) -> None:
        """Read every document back, and compare it with its file; the digest of each source is known then.

        :raises MigrationFailed: one differs; says which
        """
        if self._second is not None:
            self._tasks = [*_cut_smaller(self._tasks)]
        found: dict[int, list[ReadBack]] = {}
        for task, result in zip(self._tasks, self._compare(meter), strict=True):
            found.setdefault(task.source_id, []).append(result)
        for loaded in sources:
            if not loaded.error:
                self._settle(loaded, found[loaded.source_id])
        self._require_no_more(sources)

    def _compare(self, meter: Meter) -> list[ReadBack]:
        """What each task has shown."""
        if self._second is None:
            return self._compare_here(self._tasks, meter)
        jobs = [CompareJob(self._staging.path, tasks) for tasks in _pieces(self._tasks)]
        return [*chain.from_iterable(share(jobs, self._second, meter.add))]

    def _compare_here(self, tasks: Sequence[CompareTask], meter: Meter) -> list[ReadBack]:
        with closing(Comparison(self._staging.path, meter.add)) as comparison:
            return list(comparison.run(tasks))

    def _settle(self, loaded: LoadedSource, parts: Sequence[ReadBack]) -> None:
        """Note a source's digest; one that does not read back is loaded with care, for orjson may have lost something.

        :raises MigrationFailed: it does not read back even then
        """
        if loaded.as_written and any(part.difference for part in parts):
            parts = [self._load_again(loaded)]
        difference = next((part.difference for part in parts if part.difference), None)
        if difference is not None:
            raise MigrationFailed(
                f"What {self._staging.path.name} holds of {loaded.source.name} does not read back as what the file "
                f"holds: {difference}.",
                hint="Nothing was changed. Please report this as a bug, with the output of 'migrator doctor'.",
            )
        loaded.digest = ReadBack(b"".join(part.digests for part in parts)).digest()

    def _load_again(self, loaded: LoadedSource) -> ReadBack:
        meter = Meter(ignore_progress, "load", 0)
        with staged_errors("load sessions again", self._staging.path):
            self._staging.connection.execute("BEGIN")
            self._staging.drop_source(loaded.source_id)
            loaded.forget()
            self._loader(meter).load(loaded, self._copies(loaded))
            self._staging.rows.flush()
            self._staging.connection.execute("COMMIT")
        if loaded.error:
            return ReadBack(b"")
        return self._compare_here([self._task(loaded, None)], meter)[0]

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


def _cut_smaller(tasks: Sequence[CompareTask]) -> Iterator[CompareTask]:
    """The same tasks, none much larger than a piece to share."""
    at_most = sum(map(_size, tasks)) // PIECES
    for task in tasks:
        if task.portion is None or _size(task) <= at_most:
            yield task
        else:
            yield from (task._replace(portion=portion) for portion in task.portion.cut(at_most))


def _pieces(tasks: Sequence[CompareTask]) -> Iterator[Sequence[CompareTask]]:
    """The tasks, in portions to share."""
    at_least = sum(map(_size, tasks)) // PIECES
    begin = size = 0
    for end, task in enumerate(tasks, 1):
        size += _size(task)
        if size >= at_least or end == len(tasks):
            yield tasks[begin:end]
            begin, size = end, 0
