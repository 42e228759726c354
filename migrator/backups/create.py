"""Back up the source files: copied before anything else happens, verified before the migration counts.

A backup of the same files is taken only once, so that a retry does not fill the disk.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Container, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from migrator.backups.catalog import verify_backup
from migrator.backups.copy_files import BackedUpFile, ReadBackJob, copy_all
from migrator.backups.manifest import give_name, next_sequence, read_manifest, stamp, working_folder, write_listing
from migrator.data_dir import DataDir
from migrator.errors import BackupError, Message
from migrator.files import durable
from migrator.inventory.source_files import Source
from migrator.progress import ProgressMeter
from migrator.worker.limits import LIMITS, Limits
from migrator.worker.process import WorkerProcess


class Backup(NamedTuple):
    """A complete backup.

    :ivar folder: None if no source could be copied
    :ivar copies: by the source's name
    """

    folder: Path | None
    copies: dict[str, BackedUpFile]


class BackupWriter:
    """A backup in progress: its copies can be used while they are synced, listed and read back.

    :ivar unreadable: why a source could not be copied, by its name
    """

    def __init__(self, data_dir: DataDir, working: Path, worker: WorkerProcess | None, limits: Limits) -> None:
        self._root, self._backups = data_dir.root, working.parent
        self._working = working
        self._prefix = os.path.join(working, "")  # joined once, for tens of thousands of paths
        self._worker = worker
        self._limits = limits
        self._now = stamp()
        self._syncing: Future[Path | None]  # since start_sync
        self._verifying: Future[int | None]  # since start_verify
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="backup")
        self._unverified: list[BackedUpFile]  # since start_verify
        self.copies: dict[str, BackedUpFile] = {}
        self.unreadable: dict[str, Message] = {}

    @property
    def size(self) -> int:
        """The size of all copies, in bytes."""
        return sum(copy.size for copy in self.copies.values())

    def copy_of(self, name: str) -> tuple[str, str]:
        """The path of a source's copy, valid until :meth:`finish`, and its SHA-256 in hex."""
        copy = self.copies[name]
        return self._prefix + copy.file, copy.sha256

    def copy(self, sources: Sequence[Source], paths: Container[str], meter: ProgressMeter) -> dict[str, str]:
        """Copy every readable source.

        :param paths: the hashes of the workspaces whose paths are known
        :returns: by hash, the paths of other workspaces that the files prove
        :raises StorageIOError: the backup cannot be written
        """
        self.unreadable |= {source.name: source.error for source in sources if source.error}
        readable = [source for source in sources if not source.error]
        results, proven = copy_all(self._working, readable, paths, self._worker, meter, self._limits)
        for source, copied in zip(readable, results, strict=True):
            if isinstance(copied, BackedUpFile):
                self.copies[source.name] = copied
            else:
                self.unreadable[source.name] = copied
        return proven

    def start_sync(self) -> None:
        """Start to sync the copies; no more may be added."""
        self._syncing = self._pool.submit(self._sync)

    def start_verify(self, verified: Container[str]) -> None:
        """Start to write the list of the copies and to read them back, in the background.

        :param verified: the sources whose copies were read back already
        """
        self._unverified = [copy for name, copy in self.copies.items() if name not in verified]
        self._verifying = self._pool.submit(self._verify)

    def finish(self) -> Backup:
        """Wait until the copies are verified, then give the backup its name.

        :raises StorageIOError: the backup cannot be written
        :raises MigrationFailed: a copy is not what was copied
        """
        job_id = self._verifying.result()
        if job_id is not None and self._worker is not None and self._worker.result(job_id) != "":
            self._read_back_job().require_whole()  # the worker died or found a difference: check here
        folder = self._syncing.result()
        if folder is not None:
            durable.remove_folder(self._working)  # publishing may need the space
        elif self.copies:
            folder = give_name(self._working, self._backups, f"{self._now}-{self._fingerprint[:8]}")
        return Backup(folder, self.copies)

    def close(self) -> None:
        """Wait for the background work to end."""
        self._pool.shutdown(cancel_futures=True)

    @cached_property
    def _fingerprint(self) -> str:
        """One SHA-256 over the names and contents of all copies."""
        lines = sorted(f"{copy.sha256}  {copy.file}" for copy in self.copies.values())
        return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()

    def _sync(self) -> Path | None:
        """Sync the copies, or return an earlier backup of exactly these files if there is one."""
        earlier = self._earlier()
        if earlier is None and self.copies:
            files = [copy.file for copy in self.copies.values()]
            durable.sync_files(self._working, files)
            for folder in {file.rpartition("/")[0] for file in files}:
                durable.sync_folder(self._working / folder)
        return earlier

    def _earlier(self) -> Path | None:
        """An undamaged earlier backup of exactly these files, if there is one."""
        if not any(self._backups.glob("[0-9]*")):  # saves computing the fingerprint
            return None
        expected = {copy.file: copy.sha256 for copy in self.copies.values()}
        for folder in sorted(self._backups.glob(f"[0-9]*-{self._fingerprint[:8]}*")):
            with suppress(BackupError):
                listed = {file.file: file.sha256 for file in read_manifest(folder).files}
                if listed == expected and not verify_backup(folder).damage:
                    return folder
        return None

    def _verify(self) -> int | None:
        """Write the list and read the copies back; returns the id of the job if the worker process reads them."""
        if self._syncing.result() is not None:
            return None
        job, job_id = self._read_back_job(), None
        if self._worker is not None and self._limits.are_many_small([copy.size for copy in self._unverified]):
            job_id = self._worker.submit(job)
        files = [
            {
                "source": copy.source.name,
                "file": copy.file,
                "size": copy.size,
                "sha256": copy.sha256,
                "mtime_ns": copy.source.mtime_ns,
            }
            for copy in self.copies.values()
        ]
        if files:
            manifest = {
                "sequence": next_sequence(self._backups),
                "format": 1,
                "created_at": self._now,
                "data_dir": os.fspath(self._root),
                "fingerprint": self._fingerprint,
                "files": files,
                "unreadable": self.unreadable,
            }
            write_listing(self._working, manifest, files)
        if job_id is None:
            job.require_whole()
        return job_id

    def _read_back_job(self) -> ReadBackJob:
        return ReadBackJob(os.fspath(self._working), [(copy.file, copy.sha256) for copy in self._unverified])


@contextmanager
def new_backup(
    data_dir: DataDir, worker: WorkerProcess | None = None, limits: Limits = LIMITS
) -> Iterator[BackupWriter]:
    """Take a backup within the block, with the worker's help; it is removed unless it is finished."""
    with working_folder(data_dir.backups) as working:
        backup = BackupWriter(data_dir, working, worker, limits)
        with closing(backup):
            yield backup
