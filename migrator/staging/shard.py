"""A part of a staging database that is filled by itself, and the job that fills it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

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


@contextmanager
def new_shard(path: Path, limits: Limits) -> Iterator[RowWriter]:
    """A part of a staging database in a file of its own, mostly the worker's: the tables that sessions go to.

    What takes the rows, within the block; then the rest is written and the file closed.
    """
    remove_database(path)
    with closing(create_staged(path, tables=False)) as connection:
        with staged_errors("prepare the load", path):
            for statement in _shared_tables():
                connection.execute(statement)
            connection.execute("BEGIN")
        rows = RowWriter(connection, path, limits.batch)
        yield rows
        rows.flush()
        with staged_errors("load sessions", path):
            connection.execute("COMMIT")


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
        parts: list[LoadedPart | None] = []
        with new_shard(self.shard, self.limits) as rows:
            loader = Loader(rows, lambda name, _: ids[name], paths, on_progress, self.limits)
            for name, workspace_hash, _, _, source_id, copy, sha256, within in self.tasks:
                loaded = LoadedSource(Source(name, copy, "workspace", workspace_hash), source_id, copy, sha256)
                found = loader.load_fast(loaded, within)
                part = found and LoadedPart(loaded.elements, loaded.counts[workspace_hash], loaded.rejected, found)
                parts.append(part)
        return parts
