"""The JSON files as the second store in hybrid mode: they repeat what the first holds, and others may write to them."""

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
    """JSON files that are written over only where the first store has all that is in them.

    What an old build has written into one since is not known to the first store. It stays as it is, and every write to
    it fails, until a migration has taken it up.

    :param journal_path: where the journal is, or will be made: it remembers what was written
    :raises ConnectionFailed: the journal can't be opened
    """

    def __init__(self, data_dir: DataDir, journal_path: Path, *, lock_timeout: float = LOCK_TIMEOUT) -> None:
        super().__init__(data_dir, lock_timeout=lock_timeout)
        self._journal = Journal(journal_path)

    def close(self) -> None:
        super().close()
        self._journal.close()

    def _read_last(self, workspace: WorkspaceRef) -> list[WorktreeSession] | None:
        """None of a damaged file that a migration has taken up: what is no session in it is in quarantine."""
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
                f"Another program has changed {self._path(workspace)}; what it wrote is not in the first store.",
                hint="'migrator migrate' takes it up. Nothing of it was changed.",
            )
        digest = hashlib.sha256()
        durable.replace(self._target(workspace), tee(app_file(documents), digest.update))
        self._journal.record_known({workspace.hash: digest.hexdigest()})
