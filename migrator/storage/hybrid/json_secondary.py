"""The JSON files as the second store of hybrid mode: a copy of the first store, which older builds may still change."""

from __future__ import annotations

import hashlib
from pathlib import Path

from migrator.data_dir import DataDir
from migrator.documents.app_format import app_file
from migrator.documents.document import WorktreeSession, canonical_bytes
from migrator.errors import StaleStoreError, StorageIOError, ValidationError
from migrator.files import copying, durable
from migrator.files.reading import tee
from migrator.storage.arguments import WorkspaceRef
from migrator.storage.hybrid.journal import Journal
from migrator.storage.json_files import LOCK_TIMEOUT, JsonStorage


class MirrorFiles(JsonStorage):
    """JSON files that are overwritten only if the first store has everything in them.

    The first store does not know what an older build has written to a file since. Such a file is left unchanged, and
    every write to it fails, until a migration has merged it.

    :param journal_path: the journal's path; it records the files' content and is created if it is missing
    :raises ConnectionFailed: the journal cannot be opened
    """

    def __init__(self, data_dir: DataDir, journal_path: Path, *, lock_timeout: float = LOCK_TIMEOUT) -> None:
        super().__init__(data_dir, lock_timeout=lock_timeout)
        self._journal = Journal(journal_path)

    def close(self) -> None:
        super().close()
        self._journal.close()

    def _read_replaceable(self, workspace: WorkspaceRef) -> list[WorktreeSession] | None:
        """Read the documents; None for a damaged file that was migrated, whose invalid sessions are in quarantine."""
        try:
            return self._read(workspace)
        except (StorageIOError, ValidationError):
            if self._is_known(workspace):
                return None
            raise

    def _is_known(self, workspace: WorkspaceRef) -> bool:
        return self._journal.is_known(workspace.hash, copying.sha256_of(self._path(workspace)))

    def _replace(
        self, workspace: WorkspaceRef, found: list[WorktreeSession] | None, documents: list[WorktreeSession]
    ) -> None:
        is_known = found is None or self._is_known(workspace)
        if not is_known and [*map(canonical_bytes, found or ())] != [*map(canonical_bytes, documents)]:
            raise StaleStoreError(
                f"Another program has changed {self._path(workspace)}; its changes are not in SQLite yet.",
                code="hybrid.file_changed",
                hint="'migrator migrate' merges them. The file was not changed.",
            )
        digest = hashlib.sha256()
        durable.replace(self._target(workspace), tee(app_file(documents), digest.update))
        self._journal.record_known({workspace.hash: digest.hexdigest()})
