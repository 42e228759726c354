"""Plain copies of the source files, taken before anything else happens, and proven before anything counts.

Two backups of the same files have the same id, so that a retry does not fill the disk.
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
from migrator.backups.manifest import give_name, read_manifest, stamp, working_folder, write_listing
from migrator.data_dir import DataDir
from migrator.errors import BackupError, Message
from migrator.files import durable
from migrator.inventory.source_files import Source
from migrator.progress import ProgressMeter
from migrator.worker.limits import LIMITS, Limits
from migrator.worker.process import WorkerProcess


class Backup(NamedTuple):
    """A whole backup.

    :ivar folder: None where not one source could be copied
    :ivar copies: by the source's name
    """

    folder: Path | None
    copies: dict[str, BackedUpFile]


class BackupWriter:
    """A backup that is being taken: the copies can be read while they are synced, listed and read back.

    :ivar unreadable: the sources that could not be copied, with the reason, by name
    """

    def __init__(self, data_dir: DataDir, working: Path, worker: WorkerProcess | None, limits: Limits) -> None:
        self._root, self._backups = data_dir.root, working.parent
        self._working = working
        self._prefix = os.path.join(working, "")  # of tens of thousands of paths
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
        """Bytes of all copies."""
        return sum(copy.size for copy in self.copies.values())

    def copy_of(self, name: str) -> tuple[str, str]:
        """Where the copy of a source is, until :meth:`finish`; and what it holds, as a SHA-256 in hex."""
        copy = self.copies[name]
        return self._prefix + copy.file, copy.sha256

    def copy(self, sources: Sequence[Source], paths: Container[str], meter: ProgressMeter) -> dict[str, str]:
        """Copy every readable source.

        :param paths: the hashes of the workspaces whose paths are known
        :returns: the paths that the files of others prove, by their hashes
        :raises StorageIOError: the backup can't be written
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
        """Begin to sync the copies: there will be no more of them."""
        self._syncing = self._pool.submit(self._sync)

    def start_verify(self, verified: Container[str]) -> None:
        """Begin to list the copies and to read back those that nobody has, beside what needs one processor alone.

        :param verified: the sources whose copies somebody has read as a whole, and found to be what was copied
        """
        self._unverified = [copy for name, copy in self.copies.items() if name not in verified]
        self._verifying = self._pool.submit(self._verify)

    def finish(self) -> Backup:
        """Wait until the copies are proven, and give the backup its name.

        :raises StorageIOError: the backup can't be written
        :raises MigrationFailed: a copy does not read back as what was copied
        """
        job_id = self._verifying.result()
        if job_id is not None and self._worker is not None and self._worker.result(job_id) != "":
            self._read_back_job().require_whole()  # the worker is gone, or has found something: look again, here
        folder = self._syncing.result()
        if folder is not None:
            durable.remove_folder(self._working)  # the publishing may need the space
        elif self.copies:
            folder = give_name(self._working, self._backups, f"{self._now}-{self._fingerprint[:8]}")
        return Backup(folder, self.copies)

    def close(self) -> None:
        """Wait for what is under way."""
        self._pool.shutdown(cancel_futures=True)

    @cached_property
    def _fingerprint(self) -> str:
        """What the backup holds, as one SHA-256: names and contents, as sorted lines."""
        lines = sorted(f"{copy.sha256}  {copy.file}" for copy in self.copies.values())
        return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()

    def _sync(self) -> Path | None:
        """Sync the copies, if there is no earlier backup of exactly these files; else, and nothing is done, that."""
        earlier = self._earlier()
        if earlier is None and self.copies:
            files = [copy.file for copy in self.copies.values()]
            durable.sync_files(self._working, files)
            for folder in {file.rpartition("/")[0] for file in files}:
                durable.sync_folder(self._working / folder)
        return earlier

    def _earlier(self) -> Path | None:
        """An earlier backup of exactly these files, if there is one and it is still whole."""
        if not any(self._backups.glob("[0-9]*")):  # not even a fingerprint is needed then
            return None
        expected = {copy.file: copy.sha256 for copy in self.copies.values()}
        for folder in sorted(self._backups.glob(f"[0-9]*-{self._fingerprint[:8]}*")):
            with suppress(BackupError):
                listed = {file.file: file.sha256 for file in read_manifest(folder).files}
                if listed == expected and not verify_backup(folder).damage:
                    return folder
        return None

    def _verify(self) -> int | None:
        """List the copies and read them back; where the worker does that, the id of its job."""
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
    """A backup to be taken within the block, with the worker's help; what has no name at its end is removed."""
    with working_folder(data_dir.backups) as working:
        backup = BackupWriter(data_dir, working, worker, limits)
        with closing(backup):
            yield backup
