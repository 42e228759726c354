"""Copy source files and read the copies back; a worker process helps with many small files."""

from __future__ import annotations

import os
from collections.abc import Container, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from migrator.errors import Message, MigratorError, StorageIOError
from migrator.files import copying, durable
from migrator.inventory.source_files import Source
from migrator.inventory.workspace_paths import PathEvidence, SharedEvidence
from migrator.progress import OnProgress, ProgressMeter
from migrator.worker.limits import Limits
from migrator.worker.process import WorkerProcess
from migrator.worker.sharing import run_shared
from migrator.workspace import hash_of_text

ADOPTED = "adopted"  # the folder of a backup with the copies of adopted files
_COPIED_AT_ONCE = 2  # threads: one can hash while the other waits for the disk


class BackedUpFile(NamedTuple):
    """One file of a backup.

    :ivar file: the copy, relative to the backup's folder
    """

    source: Source
    file: str
    size: int
    sha256: str


class CopyTask(NamedTuple):
    """A source to copy; small, because tens of thousands may be sent to the worker process.

    :ivar file: the copy, relative to the backup's folder
    :ivar size: in bytes, for the progress
    :ivar unnamed: the hash of its workspace, if the path of that is unknown; empty for a file of several workspaces
    """

    name: str
    place: str
    file: str
    size: int
    unnamed: str | None


# Size and SHA-256 of a copy, hash and path of each workspace that it proves, and why there is no copy.
CopyResult = tuple[int, str, Sequence[tuple[str, str]], Message | None]


class CopyJob(NamedTuple):
    """Sources to copy into a new, empty backup folder."""

    working: str
    tasks: Sequence[CopyTask]

    def run(self, on_progress: OnProgress) -> list[CopyResult]:
        """Copy each source.

        :raises StorageIOError: a copy cannot be written
        """
        results = []
        for task in self.tasks:
            results.append(_copy(self.working, task))
            on_progress(task.name, task.size, 0)
        return results

    def run_again(self, on_progress: OnProgress) -> list[CopyResult]:
        """Copy all of them after an unfinished run, which may have copied some."""
        for task in self.tasks:
            durable.remove(Path(self.working, task.file))
        return self.run(on_progress)


class ReadBackJob(NamedTuple):
    """Copies to read back: each file of the backup's folder with its expected SHA-256."""

    working: str
    files: Sequence[tuple[str, str]]

    def run(self, on_progress: OnProgress) -> str:
        """The path of the first copy that differs, or an empty text."""
        del on_progress  # what runs at the same time reports progress
        paths = ((f"{self.working}{os.sep}{file}", sha256) for file, sha256 in self.files)
        return next((path for path, sha256 in paths if copying.sha256_of(path) != sha256), "")

    def require_whole(self) -> None:
        """Read every copy back.

        :raises MigrationFailed: a copy is not what was written
        """
        damaged = self.run(lambda _name, _size, _sessions: None)
        if damaged:
            raise copying.damaged_copy(damaged)


def copy_all(
    working: Path,
    sources: Sequence[Source],
    paths: Container[str],
    worker: WorkerProcess | None,
    meter: ProgressMeter,
    limits: Limits,
) -> tuple[list[BackedUpFile | Message], dict[str, str]]:
    """Copy the sources into a new, empty backup folder; nothing is synced.

    :param paths: the hashes of the workspaces whose paths are known
    :returns: the copy of each source, or why there is none; and, by hash, the workspace paths that the files prove
    :raises StorageIOError: a copy cannot be written
    """
    tasks = []
    for source in sources:
        workspace = source.workspace_hash
        unnamed = None if workspace in paths else workspace or ""
        tasks.append(CopyTask(source.name, source.place, _name_of_copy(source), source.size, unnamed))
    for folder in {os.path.dirname(task.file) for task in tasks}:
        durable.make_private_folder(working / folder)
    meter.expect(sum(source.size for source in sources))
    if limits.are_many_small([source.size for source in sources]):
        together = limits.copy_files
        jobs = [
            CopyJob(os.fspath(working), tasks[start : start + together]) for start in range(0, len(tasks), together)
        ]
        results = [*chain.from_iterable(run_shared(jobs, worker, meter.add, CopyJob.run_again))]
    else:
        results = []
        with ThreadPoolExecutor(_COPIED_AT_ONCE) as pool:
            for task, result in zip(tasks, pool.map(partial(_copy, os.fspath(working)), tasks), strict=True):
                results.append(result)
                meter.add(task.name, task.size, sessions=0)
    copied: list[BackedUpFile | Message] = []
    proven = dict[str, str]()
    for source, task, (size, sha256, shown, error) in zip(sources, tasks, results, strict=True):
        copied.append(error or BackedUpFile(source, task.file, size, sha256))
        for file_hash, path in shown:
            if file_hash not in paths and (task.unnamed or file_hash not in proven):  # a file's own proof counts more
                proven[file_hash] = path
    return copied, proven


def _name_of_copy(source: Source) -> str:
    """The path of a source's copy in the backup's folder; the name of an adopted file may be anything."""
    if source.kind == "adopted":
        return f"{ADOPTED}/{hash_of_text(source.name)}.json"
    return f"workspaces/{source.workspace_hash}/sessions.json" if source.kind == "older" else source.name


def _copy(working: str, task: CopyTask) -> CopyResult:
    """Copy one source; an unreadable source gives a result with the reason.

    :raises StorageIOError: the copy cannot be written
    """
    target = f"{working}{os.sep}{task.file}"  # faster than a Path, for tens of thousands of files
    proof = None if task.unnamed is None else PathEvidence(task.unnamed) if task.unnamed else SharedEvidence()
    try:
        size, sha256 = copying.copy_new(task.place, target, sync=False, on_chunk=proof.feed if proof else None)
        return size, sha256, proof.proven if proof else (), None
    except StorageIOError as error:
        if _readable(task.place):
            raise
        if os.path.exists(target):
            durable.remove(Path(target))
        message = error.message.replace(task.place, task.name)  # the data directory may be moved
        return 0, "", proof.proven if proof else (), Message(message, code=error.code, hint=error.hint)


def _readable(path: str) -> bool:
    try:
        copying.sha256_of(path)
    except MigratorError:
        return False
    return True
