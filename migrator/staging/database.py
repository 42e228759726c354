"""The database under construction, with indexes built late; and a part of it that is filled by itself.

It has the schema of the real one and is published as a whole, or thrown away as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from migrator.database import queries, schema
from migrator.database.columns import WORKSPACE_COLUMNS
from migrator.database.connection import remove_database
from migrator.database.documents import insert_message
from migrator.database.rows import derived_key, rekey_session
from migrator.staging.connection import CACHE, as_uri, create_staged, staged_errors
from migrator.staging.row_writer import RowWriter, insert_many
from migrator.workspace import is_placeholder, placeholder


class Staging:
    """A staging database that is open for loading; a context manager that closes it.

    :ivar rows: takes what is loaded
    """

    def __init__(self, path: Path) -> None:
        remove_database(path)
        self.path = path
        self.connection = create_staged(path, tables=True)
        with staged_errors("prepare the load", path):
            self._indexes = schema.set_indexes_aside(self.connection)
            self.connection.execute("BEGIN")
        self.rows = RowWriter(self.connection, path)
        self._workspaces: dict[str, tuple[int, str]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.connection.close()

    def workspace_id(self, workspace_hash: str, path: str) -> int:
        """The row id that a workspace will have."""
        known = self._workspaces.get(workspace_hash)
        number = known[0] if known else len(self._workspaces) + 1
        if known is None or is_placeholder(known[1]):  # a later file may show the path that the first one did not
            self._workspaces[workspace_hash] = (number, path)
        return number

    def take_over(self, shard: Path, continued: int, behind: int) -> None:
        """Take the rows of a :class:`Shard`, behind the ones that are here.

        :param continued: a source of which the shard has not the first part
        :param behind: how many elements of it precede
        """
        self.rows.flush()
        connection = self.connection
        with staged_errors("take over a part of", self.path):
            connection.execute("COMMIT")
            connection.execute(queries.ATTACH_SHARD, (as_uri(shard),))
            connection.execute("BEGIN")
            self._free_session_keys()
            for statement in queries.TAKE_OVER_PLACED:
                connection.execute(statement, (continued, behind))
            for statement in queries.TAKE_OVER:
                connection.execute(statement)
            [(count,)] = connection.execute(queries.SHARD_MESSAGE_COUNT)
            connection.execute(queries.TAKE_OVER_MESSAGES)
            if connection.changes() < count:
                for row in connection.execute(queries.SHARD_TAKEN_MESSAGES).fetchall():
                    insert_message(connection, row)
            connection.execute("COMMIT")
            connection.execute(queries.DETACH_SHARD)
            connection.execute("BEGIN")

    def _free_session_keys(self) -> None:
        """Give sessions of the shard whose key is taken here another one."""
        taken: list[Any] = self.connection.execute(queries.SHARD_TAKEN_SESSIONS).fetchall()
        names = {number: name for name, (number, _) in self._workspaces.items()} if taken else {}
        for row in taken:
            key, workspace_id, position = row[0], row[1], row[16]
            free = derived_key(key, names[workspace_id], position)
            while self.connection.execute(queries.SHARD_KEY_TAKEN, (free,)).fetchone():
                free += "#"
            self.connection.execute(queries.REKEY_SHARD_SESSION, (free, rekey_session(row, free)[17], key))
            for statement in queries.REKEY_SHARD_CHILDREN:
                self.connection.execute(statement, (free, key))

    def drop_source(self, source_id: int) -> None:
        """Take back everything of a source, wherever it is."""
        self.rows.flush()
        with staged_errors("take back a file", self.path):
            for statement in queries.DROP_SOURCE:
                self.connection.execute(statement, (source_id,))

    def finish(self) -> None:
        """Write the rest, build the indexes, gather the statistics that the query planner wants."""
        self.rows.flush()
        with staged_errors("build the indexes", self.path):
            insert_many(self.connection, "workspaces", WORKSPACE_COLUMNS, [*self._workspace_rows()])
            # Sorting is given to threads where it does not fit into the cache: the fastest cache is a small one.
            self.connection.execute("PRAGMA threads = 2")
            self.connection.execute("PRAGMA cache_size = -2000")
            for statement in self._indexes:
                self.connection.execute(statement)
            self.connection.execute("COMMIT")
            self.connection.execute(f"PRAGMA cache_size = {CACHE}")
            self.connection.execute("PRAGMA analysis_limit = 1000")
            self.connection.execute("ANALYZE")

    def _workspace_rows(self) -> Iterator[tuple[int, str, str]]:
        """Two hashes may claim one path (a link and what it points to); the second keeps a placeholder."""
        claimed: set[str] = set()
        for workspace_hash, (number, path) in self._workspaces.items():
            yield number, placeholder(workspace_hash) if path in claimed else path, workspace_hash
            claimed.add(path)
