"""A part of a staging database that is filled by itself, and the job that fills it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Self

from migrator.database import schema
from migrator.database.connection import remove_database
from migrator.inventory.source_files import Source
from migrator.progress import OnProgress
from migrator.staging import queries
from migrator.staging.connection import create_staged, staged_errors
from migrator.staging.loader import Loader, LoadTask
from migrator.staging.results import LoadedPart, LoadedSource
from migrator.staging.row_writer import RowWriter
from migrator.worker.limits import Limits

_SHARED_TABLES = ("sessions", "session_runtime_mix", "instances", "chat_messages", "quarantine")


class Shard:
    """A part of a staging database in a file of its own, mostly the worker's: the tables that sessions go to.

    A context manager, which writes the rest and closes the file.

    :ivar rows: takes what is loaded
    """

    def __init__(self, path: Path, limits: Limits) -> None:
        remove_database(path)
        self.path = path
        self.connection = create_staged(path, tables=False)
        with staged_errors("prepare the load", path):
            for statement in _shared_tables():
                self.connection.execute(statement)
            self.connection.execute("BEGIN")
        self.rows = RowWriter(self.connection, path, limits.batch)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self.rows.flush()
                with staged_errors("load sessions", self.path):
                    self.connection.execute("COMMIT")
        finally:
            self.connection.close()


@cache
def _shared_tables() -> list[str]:
    """The statements that make them."""
    with closing(schema.fresh()) as model:
        return [model.execute(queries.TABLE_SQL, (table,)).fetchone()[0] for table in _SHARED_TABLES]


@dataclass(frozen=True)
class LoadJob:
    """What is to be loaded into a shard, by whichever process."""

    shard: Path
    tasks: Sequence[LoadTask]
    limits: Limits

    def run(self, on_progress: OnProgress) -> list[LoadedPart | None]:
        """What became of each; None for one that is not app-formatted."""
        ids = {task.workspace_hash: task.workspace_id for task in self.tasks}
        paths = {task.workspace_hash: task.workspace_path for task in self.tasks}
        with Shard(self.shard, self.limits) as shard:
            loader = Loader(shard.rows, lambda name, _: ids[name], paths, on_progress, self.limits)
            return [_loaded(loader, task) for task in self.tasks]


def _loaded(loader: Loader, task: LoadTask) -> LoadedPart | None:
    source = Source(task.name, task.copy, "workspace", task.workspace_hash)
    loaded = LoadedSource(source, task.source_id, task.copy, task.sha256)
    found = loader.load_fast(loaded, task.within)
    if found is None:
        return None
    return LoadedPart(loaded.elements, loaded.counts[task.workspace_hash].numbers(), loaded.rejected, found)
