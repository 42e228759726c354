"""What is done for a part of the files, by this process or by a second one: loading it, and reading it back."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from sqlite3 import Connection

from migrator.as_written import Extent
from migrator.migration.load import LoadedSource, Loader
from migrator.migration.readback import Comparison, Portion, ReadBack
from migrator.migration.staging import Shard, open_staged

Seen = Callable[[str, int], None]
Loaded = tuple[LoadedSource, list[int]]


@dataclass(frozen=True)
class LoadTask:
    """An extent of a source to load.

    :ivar loaded: the source, with nothing of it loaded yet
    :ivar workspace_id: the row id that its workspace will have
    """

    loaded: LoadedSource
    copy: Path
    within: Extent
    workspace_id: int


@dataclass(frozen=True)
class LoadJob:
    """Extents to load into a shard.

    :ivar paths: workspace hash to workspace path, as far as known
    """

    shard: Path
    tasks: Sequence[LoadTask]
    paths: dict[str, str]

    def run(self, seen: Seen) -> list[Loaded | None]:
        """What became of each, and the sizes of its elements; None for one that is not as the app writes it."""
        ids = {task.loaded.source.workspace_hash: task.workspace_id for task in self.tasks}
        results: list[Loaded | None] = []
        with closing(Shard(self.shard)) as shard, without_collector():
            loader = Loader(shard.rows, lambda name, _: ids[name], self.paths, seen)
            for task in self.tasks:
                sizes = loader.load_as_written(task.loaded, task.copy, task.within)
                results.append(None if sizes is None else (task.loaded, sizes))
        return results


@dataclass(frozen=True)
class CompareTask:
    """A source to read back, or a part of it.

    :ivar first: the position that the file's first element has in the database
    :ivar portion: which part, of one that was loaded as the app writes it; None for a file as a whole
    """

    name: str
    source_id: int
    first: int
    copy: Path
    portion: Portion | None

    def run(self, connection: Connection, staging: Path, seen: Seen) -> ReadBack:
        """Compare it with its file."""
        comparison = Comparison(connection, staging, self.source_id, self.first, partial(seen, self.name))
        return comparison.of_file(self.copy) if self.portion is None else comparison.of_portion(self.copy, self.portion)


@dataclass(frozen=True)
class CompareJob:
    """What is to be read back from a staging database that is finished."""

    staging: Path
    tasks: Sequence[CompareTask]

    def run(self, seen: Seen) -> list[ReadBack]:
        """What each task has shown."""
        with closing(open_staged(self.staging)) as connection, without_collector():
            return [task.run(connection, self.staging, seen) for task in self.tasks]


@contextmanager
def without_collector() -> Iterator[None]:
    """Without Python's cycle collector, which would go over a million rows again and again: they have no cycles."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
