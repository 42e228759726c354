"""Copies of source files, made and read back by this process or, of many small files, by a second one as well."""

from __future__ import annotations

import os
from collections.abc import Container, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from migrator.errors import Message, MigratorError, StorageIOError
from migrator.files import copying, durable
from migrator.inventory.source_files import Source
from migrator.inventory.workspace_paths import PathEvidence
from migrator.progress import OnProgress, ProgressMeter
from migrator.worker.limits import Limits
from migrator.worker.process import WorkerProcess
from migrator.worker.sharing import run_shared

_COPIED_AT_ONCE = 2  # threads: hashing takes a processor, copying the disk


class BackedUpFile(NamedTuple):
    """One file of a backup.

    :ivar file: where the copy is, relative to the backup's folder
    """

    source: Source
    file: str
    size: int
    sha256: str


class CopyTask(NamedTuple):
    """A source to be copied. There may be tens of thousands, which are sent to another process.

    :ivar file: where to, relative to the backup's folder
    :ivar size: bytes, for the progress
    :ivar unnamed: the hash of its workspace, where nobody has told that one's path
    """

    name: str
    place: str
    file: str
    size: int
    unnamed: str | None


# Size and SHA-256 of a copy, the path that it proves where that was unknown, and why there is no copy.
CopyResult = tuple[int, str, str | None, Message | None]


@dataclass(frozen=True)
class CopyJob:
    """Sources to be copied into a backup's folder, where nothing is yet."""

    working: str
    tasks: Sequence[CopyTask]

    def run(self, on_progress: OnProgress) -> list[CopyResult]:
        """What each has come to; raises StorageIOError where it is the copies that make trouble."""
        results = []
        for task in self.tasks:
            results.append(_copy(self.working, task))
            on_progress(task.name, task.size, 0)
        return results

    def run_again(self, on_progress: OnProgress) -> list[CopyResult]:
        """Copy all of them where a run that did not come to its end may have copied some."""
        for task in self.tasks:
            durable.remove(Path(self.working, task.file))
        return self.run(on_progress)


@dataclass(frozen=True)
class ReadBackJob:
    """Copies to be read back, each a file of the backup's folder and the SHA-256 that it must have."""

    working: str
    files: Sequence[tuple[str, str]]

    def run(self, on_progress: OnProgress) -> str:
        """The path of the first one that is otherwise, or nothing; beside it, something else shows progress."""
        del on_progress
        paths = ((f"{self.working}{os.sep}{file}", sha256) for file, sha256 in self.files)
        return next((path for path, sha256 in paths if copying.sha256_of(path) != sha256), "")

    def require_whole(self) -> None:
        """Raise MigrationFailed where a file does not read back as what was written."""
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
    """Copy the sources into a backup's folder, where nothing is yet; nothing is synced.

    :param paths: the hashes of the workspaces whose paths are known
    :returns: the copy of each, or why there is none; and the paths of other workspaces that what was read proves, by
        their hashes
    :raises StorageIOError: it is the copies, not the sources, that make trouble
    """
    tasks = []
    for source in sources:
        workspace = source.workspace_hash
        file = f"workspaces/{workspace}/sessions.json" if source.kind == "older" else source.name
        unnamed = None if workspace in paths else workspace
        tasks.append(CopyTask(source.name, source.place, file, source.size, unnamed))
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
    proven = {}
    for source, task, (size, sha256, path, error) in zip(sources, tasks, results, strict=True):
        copied.append(error or BackedUpFile(source, task.file, size, sha256))
        if path is not None and task.unnamed is not None:
            proven[task.unnamed] = path
    return copied, proven


def _copy(working: str, task: CopyTask) -> CopyResult:
    """Copy one source; raises StorageIOError where it is the copy, not the source, that makes trouble."""
    target = f"{working}{os.sep}{task.file}"  # of tens of thousands, a path object for each would be felt
    proof = PathEvidence(task.unnamed) if task.unnamed is not None else None
    try:
        size, sha256 = copying.copy_new(task.place, target, sync=False, on_chunk=proof.feed if proof else None)
        return size, sha256, proof.path if proof else None, None
    except StorageIOError as error:
        if _readable(task.place):
            raise
        if os.path.exists(target):
            durable.remove(Path(target))
        return 0, "", proof.path if proof else None, error.as_message()


def _readable(path: str) -> bool:
    try:
        copying.sha256_of(path)
    except MigratorError:
        return False
    return True
