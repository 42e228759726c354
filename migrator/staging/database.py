"""The staging database: it has the schema of the real one, and is published or discarded as a whole.

Its indexes are built last, and shards that were loaded separately are merged into it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from migrator.database import schema
from migrator.database.columns import WORKSPACE_COLUMNS, MessageRow, SessionRow
from migrator.database.connection import AnyConnection, remove_database
from migrator.database.documents import insert_message
from migrator.database.rows import derived_key, free_key, rekey
from migrator.staging import queries
from migrator.staging.connections.interface import LoaderName
from migrator.staging.connections.opening import CACHE, as_uri, create_staged, staged_errors
from migrator.staging.row_writer import RowWriter
from migrator.worker.limits import LIMITS, Limits
from migrator.workspace import is_placeholder, placeholder


class StagingDatabase:
    """A staging database that is open for loading; as a context manager it closes itself.

    :ivar loader: loads it and reads it back, in both processes
    :ivar rows: receives the rows to insert
    """

    def __init__(self, path: Path, loader: LoaderName, limits: Limits = LIMITS) -> None:
        remove_database(path)
        self.path = path
        self.loader = loader
        self.connection = create_staged(path, loader, tables=True)
        with staged_errors("prepare loading", path):
            self._indexes = schema.drop_plain_indexes(self.connection)
            self.connection.execute("BEGIN")
        self.rows = RowWriter(self.connection, path, limits.batch)
        self._workspaces: dict[str, tuple[int, str]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def workspace_id(self, workspace_hash: str, path: str) -> int:
        """Return the row id that a workspace will have."""
        known = self._workspaces.get(workspace_hash)
        number = known[0] if known else len(self._workspaces) + 1
        if known is None or is_placeholder(known[1]):  # a later file may reveal the path
            self._workspaces[workspace_hash] = (number, path)
        return number

    def merge_in(self, shard: Path, continued: int, preceding: int) -> None:
        """Append the rows of a shard.

        :param continued: a source whose first elements are not in the shard
        :param preceding: how many elements of it come before those in the shard
        """
        self.rows.flush()
        connection = self.connection
        with staged_errors("merge a shard", self.path):
            connection.execute("COMMIT")
            connection.execute(queries.ATTACH, (as_uri(shard), "shard"))
            connection.execute("BEGIN")
            taken: list[Any] = connection.execute(queries.SHARD_TAKEN_SESSIONS).fetchall()
            names = {number: name for name, (number, _) in self._workspaces.items()} if taken else {}
            for session in map(SessionRow._make, taken):  # this database already has their key
                rekey_attached_session(connection, "shard", session, names[session.workspace_id])
            for statement in queries.MERGE_IN_PLACED:
                connection.execute(statement, (continued, preceding))
            for statement in queries.MERGE_IN:
                connection.execute(statement)
            [(count,)] = connection.execute(queries.SHARD_MESSAGE_COUNT)
            connection.execute(queries.MERGE_IN_MESSAGES)
            if connection.changes() < count:
                for message in map(MessageRow._make, connection.execute(queries.SHARD_TAKEN_MESSAGES).fetchall()):
                    insert_message(connection, message)
            connection.execute("COMMIT")
            connection.execute(queries.DETACH, ("shard",))
            connection.execute("BEGIN")

    def drop_source(self, source_id: int) -> None:
        """Delete all rows of a source."""
        self.rows.flush()
        with staged_errors("remove a file's rows", self.path):
            for statement in queries.DROP_SOURCE:
                self.connection.execute(statement, (source_id,))

    def finish(self) -> None:
        """Write the remaining rows, build the indexes, and collect statistics for the query planner."""
        self.rows.flush()
        claimed: set[str] = set()
        rows: list[tuple[int, str, str]] = []
        for workspace_hash, (number, path) in self._workspaces.items():
            # Two hashes may have the same path (a link and its target); the second keeps a placeholder.
            rows.append((number, placeholder(workspace_hash) if path in claimed else path, workspace_hash))
            claimed.add(path)
        with staged_errors("build the indexes", self.path):
            self.connection.insert("workspaces", WORKSPACE_COLUMNS, rows)
            # Sorting uses threads only if it does not fit into the cache, so a small cache is faster here.
            self.connection.execute("PRAGMA threads = 2")
            self.connection.execute("PRAGMA cache_size = -2000")
            for statement in self._indexes:
                self.connection.execute(statement)
            self.connection.execute("COMMIT")
            self.connection.execute(f"PRAGMA cache_size = {CACHE}")
            self.connection.execute("PRAGMA analysis_limit = 1000")
            self.connection.execute("ANALYZE")


def rekey_attached_session(connection: AnyConnection, schema: str, row: SessionRow, workspace_hash: str) -> None:
    """Give a session of an attached database a new key, because the main database already has its key."""
    taken = queries.key_taken(schema, "sessions")
    spare = derived_key(row.id, workspace_hash, row.position or 0)
    key = free_key(row.id, spare, lambda key: connection.execute(taken, (key,)).fetchone())
    bound = (key, rekey(row, key).rescued_data, row.id)
    for statement in queries.rekey_session(schema):
        connection.execute(statement, bound)


def rekey_attached_message(connection: AnyConnection, schema: str, row: MessageRow) -> None:
    """Give a message of an attached database a new key, because the main database already has its key."""
    taken = queries.key_taken(schema, "chat_messages")
    spare = derived_key(row.id, row.session_id, row.position or 0)
    key = free_key(row.id, spare, lambda key: connection.execute(taken, (key,)).fetchone())
    connection.execute(queries.rekey_message(schema), (key, rekey(row, key).rescued_data, row.id))
