"""What is done for a part of the files, by this process or by a second one: loading it, and reading it back."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from migrator.inventory.source_files import Source
from migrator.progress import OnProgress
from migrator.staging.loader import Loader, LoadTask
from migrator.staging.readback import CompareTask, Comparison, ReadBack
from migrator.staging.results import LoadedPart, LoadedSource
from migrator.staging.shard import Shard
from migrator.worker.columns import ColumnList
from migrator.worker.limits import Limits


@dataclass(frozen=True)
class LoadJob:
    """What is to be loaded into a shard."""

    shard: Path
    tasks: Sequence[LoadTask]
    limits: Limits

    def run(self, on_progress: OnProgress) -> list[LoadedPart | None]:
        """What became of each; None for one that is not as the app writes it."""
        ids = {task.workspace_hash: task.workspace_id for task in self.tasks}
        with Shard(self.shard, self.limits) as shard:
            paths = {task.workspace_hash: task.workspace_path for task in self.tasks}
            loader = Loader(shard.rows, lambda name, _: ids[name], paths, on_progress)
            return ColumnList(_loaded(loader, task) for task in self.tasks)


def _loaded(loader: Loader, task: LoadTask) -> LoadedPart | None:
    source = Source(task.name, task.copy, "workspace", task.workspace_hash)
    loaded = LoadedSource(source, task.source_id)
    found = loader.load_as_written(loaded, task)
    if found is None:
        return None
    return LoadedPart(loaded.elements, loaded.counts[task.workspace_hash].numbers(), loaded.rejected, found)


@dataclass(frozen=True)
class CompareJob:
    """What is to be read back from a staging database that is finished."""

    staging: Path
    tasks: Sequence[CompareTask]

    def run(self, on_progress: OnProgress) -> list[ReadBack]:
        """What each task has shown."""
        with closing(Comparison(self.staging, on_progress)) as comparison:
            return ColumnList(comparison.run(self.tasks))
