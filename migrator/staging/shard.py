"""Shards, parts of a staging database that are loaded separately, and the job that loads one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from typing import NamedTuple

from migrator.database import schema
from migrator.database.connection import remove_database
from migrator.inventory.source_files import Source
from migrator.progress import OnProgress
from migrator.staging import queries
from migrator.staging.connections.interface import LoaderName
from migrator.staging.connections.opening import create_staged, staged_errors
from migrator.staging.loader import Loader, LoadTask
from migrator.staging.results import LoadedPart, LoadedSource
from migrator.staging.row_writer import RowWriter
from migrator.worker.limits import Limits

_SHARED_TABLES = ("sessions", "session_runtime_mix", "instances", "chat_messages", "quarantine")


@contextmanager
def new_shard(path: Path, loader: LoaderName, limits: Limits) -> Iterator[RowWriter]:
    """Create a shard: a database file with the tables for sessions, usually loaded by the worker.

    The block gets the writer for its rows; afterwards the remaining rows are written and the file is closed.
    """
    remove_database(path)
    with closing(create_staged(path, loader, tables=False)) as connection:
        with staged_errors("prepare loading", path):
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
    """Return the statements that create the tables of a shard."""
    with closing(schema.fresh()) as model:
        return [model.execute(queries.TABLE_SQL, (table,)).fetchone()[0] for table in _SHARED_TABLES]


class LoadJob(NamedTuple):
    """The job of loading sources into a shard, in either process."""

    shard: Path
    loader: LoaderName
    tasks: Sequence[LoadTask]
    limits: Limits

    def run(self, on_progress: OnProgress) -> list[LoadedPart | None]:
        """Load the sources, and return each result; None for a file that is not app-formatted."""
        ids = {task.workspace_hash: task.workspace_id for task in self.tasks}
        paths = {task.workspace_hash: task.workspace_path for task in self.tasks}
        parts: list[LoadedPart | None] = []
        with new_shard(self.shard, self.loader, self.limits) as rows:
            loader = Loader(rows, lambda name, _: ids[name], paths, on_progress, self.limits)
            for name, workspace_hash, _, _, source_id, copy, sha256, within in self.tasks:
                loaded = LoadedSource(Source(name, copy, "workspace", workspace_hash), source_id, copy, sha256)
                found = loader.load_fast(loaded, within)
                part = found and LoadedPart(loaded.elements, loaded.counts[workspace_hash], loaded.rejected, found)
                parts.append(part)
        return parts
