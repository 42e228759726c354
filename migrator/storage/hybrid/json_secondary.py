"""The JSON files as the second store of hybrid mode: a copy of the first store, which older builds may still change."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from migrator.data_dir import DataDir
from migrator.database import queries
from migrator.database.connection import connect, snapshot, transaction
from migrator.database.pool import ConnectionPool
from migrator.documents.document import WorktreeSession, canonical_bytes
from migrator.errors import StaleStoreError, StorageIOError, ValidationError
from migrator.files import durable, replacing
from migrator.files.replacing import Seen
from migrator.locking import LOCK_TIMEOUT, file_locked
from migrator.storage import arguments
from migrator.storage.arguments import WorkspaceRef
from migrator.storage.hybrid.written_files import is_known, record_written
from migrator.storage.json_files import JsonStorage


class MirrorFiles(JsonStorage):
    """JSON files that are overwritten only if the first store has everything in them.

    The first store does not know what an older build has written to a file since. Such a file is left unchanged, and
    every write to it fails, until a migration has merged it.

    A file is written next to its place and recorded in the first store's database. Only then its lock is taken, for the
    last look and the replacement: a rollback waits for that lock while it keeps the database from being written to.
    """

    def __init__(self, data_dir: DataDir, *, lock_timeout: float = LOCK_TIMEOUT) -> None:
        super().__init__(data_dir, lock_timeout=lock_timeout)
        self._database = ConnectionPool(self._connect, size=1, acquire_timeout=lock_timeout)

    def _connect(self) -> sqlite3.Connection:
        return connect(self._data_dir.database, timeout=self._lock_timeout, shared_between_threads=True)

    def close(self) -> None:
        super().close()
        self._database.close()

    @contextmanager
    def _changing(
        self, workspace: WorkspaceRef, *, create: bool = False, discard: bool = False
    ) -> Iterator[list[WorktreeSession]]:
        self._require_open()
        seen = replacing.see(self._path(workspace))
        try:
            found = self._read(workspace)
        except (StorageIOError, ValidationError):
            if not discard or not self._is_known(workspace, seen):
                raise
            found = None  # a damaged file that was migrated; its invalid sessions are in quarantine
        else:
            if found is None and not create:
                raise arguments.workspace_not_found(workspace)
        documents = [*found] if found else []
        yield documents
        is_known = found is None or self._is_known(workspace, seen)
        if not is_known and [*map(canonical_bytes, found or ())] != [*map(canonical_bytes, documents)]:
            raise self._changed(workspace)
        written, sha256 = self._prepare(workspace, documents)
        try:
            self._record(workspace, sha256, seen)
            with file_locked(self._data_dir, self._path(workspace), self._lock_timeout):
                self._replace(workspace, written, sha256, seen)
        finally:
            durable.remove(written)

    def _is_known(self, workspace: WorkspaceRef, seen: Seen | None) -> bool:
        action = "look a file up"
        with self._database.connection() as connection, snapshot(connection, self._data_dir.database, action):
            return seen is not None and is_known(connection, workspace.hash, seen.sha256)

    def _record(self, workspace: WorkspaceRef, sha256: str, seen: Seen | None) -> None:
        """Record a file that is about to be written.

        :raises StaleStoreError: SQLite is not authoritative any more
        """
        path = self._data_dir.database
        with self._database.connection() as connection, transaction(connection, path, "record a file"):
            if connection.execute(queries.STATUS).fetchone() != ("completed",):
                raise StaleStoreError(
                    f"{self._path(workspace)} was not written: SQLite is not authoritative any more.",
                    code="store.rolled_back",
                    hint="Open the store again: open_storage() opens the authoritative one.",
                )
            record_written(connection, workspace.hash, sha256, seen.sha256 if seen else None)

    def _changed(self, workspace: WorkspaceRef) -> StaleStoreError:
        return StaleStoreError(
            f"Another program has changed {self._path(workspace)}; its changes are not in SQLite yet.",
            code="hybrid.file_changed",
            hint="'migrator migrate' merges them. The file was not changed.",
        )
