"""A part of a staging database that is filled by itself."""

from __future__ import annotations

from contextlib import closing
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Self

from migrator.database import schema
from migrator.database.connection import remove_database
from migrator.staging import queries
from migrator.staging.connection import create_staged, staged_errors
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
