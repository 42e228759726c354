"""Copies of source files, made and read back by this process or, of many small files, by a second one as well."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from migrator import copies, digests, durable
from migrator.errors import MigratorError, StorageIOError
from migrator.migration.discover import Source
from migrator.migration.meter import Meter
from migrator.migration.progress import Listener
from migrator.migration.second_process import SecondProcess, Seen
from migrator.migration.shared_work import share

_COPIED_AT_ONCE = 2  # threads: hashing takes a processor, copying the disk
# Opening and closing small files takes longer than what is done with their bytes, and does not let go of the
# interpreter's lock: there a second process helps, and threads are of no use.
_MANY = 1000
_SMALL = 1 << 16  # bytes of a file
_AT_ONCE = 250  # files


class Copy(NamedTuple):
    """One file of a backup.

    :ivar file: where the copy is, relative to the backup's folder
    """

    source: Source
    file: str
    size: int
    sha256: str


@dataclass(frozen=True)
class CopyJob:
    """Sources to be copied to where nothing is yet.

    :ivar working: the backup's folder
    """

    working: str
    sources: Sequence[Source]

    def run(self, seen: Seen) -> list[Copy | str]:
        """The copy of each source, or why there is none.

        :raises StorageIOError: it is the copies, not the sources, that make trouble
        """
        results = []
        for source in self.sources:
            results.append(_copy(self.working, source))
            seen(source.name, source.size)
        return results

    def run_again(self, seen: Seen) -> list[Copy | str]:
        """The same, where one that did not come to its end may have copied some."""
        for source in self.sources:
            durable.remove(Path(self.working, _place(source)))
        return self.run(seen)


@dataclass(frozen=True)
class ReadBackJob:
    """Files to be read back, each a path and the SHA-256 that it must have."""

    files: Sequence[tuple[str, str]]

    def run(self, seen: Seen) -> str:
        """The first one that is otherwise, or nothing."""
        del seen  # it is done beside something else that shows progress
        return next((path for path, sha256 in self.files if digests.sha256_of(path) != sha256), "")


def are_many_small(sizes: Sequence[int]) -> bool:
    """Whether files of these sizes, in bytes, are so many and so small that a second process helps with them."""
    return len(sizes) >= _MANY and sum(sizes) < len(sizes) * _SMALL


def copy_all(
    working: Path, sources: Sequence[Source], second: SecondProcess | None, listener: Listener
) -> list[Copy | str]:
    """Copy the sources into a backup's folder, where nothing is yet; nothing is synced.

    :returns: the copy of each, or why there is none
    :raises StorageIOError: it is the copies, not the sources, that make trouble
    """
    for folder in {os.path.dirname(_place(source)) for source in sources}:
        durable.make_private_folder(working / folder)
    sizes = [source.size for source in sources]
    meter = Meter(listener, "backup", sum(sizes))
    if not are_many_small(sizes):
        return _by_threads(os.fspath(working), sources, meter)
    return _by_two(os.fspath(working), sources, second, meter)


def _by_threads(working: str, sources: Iterable[Source], meter: Meter) -> list[Copy | str]:
    results = []
    with ThreadPoolExecutor(_COPIED_AT_ONCE) as pool:
        for source, result in zip(sources, pool.map(partial(_copy, working), sources), strict=True):
            results.append(result)
            meter.add(source.name, source.size, sessions=0)
    return results


def _by_two(working: str, sources: Sequence[Source], second: SecondProcess | None, meter: Meter) -> list[Copy | str]:
    jobs = [CopyJob(working, sources[start : start + _AT_ONCE]) for start in range(0, len(sources), _AT_ONCE)]

    def seen(name: str, size: int, _: int) -> None:
        meter.add(name, size, sessions=0)

    return [*chain.from_iterable(share(jobs, second, seen, CopyJob.run_again))]


def _copy(working: str, source: Source) -> Copy | str:
    """The copy of a source, or why there is none.

    :raises StorageIOError: it is the copy, not the source, that makes trouble
    """
    file = _place(source)
    target = f"{working}{os.sep}{file}"  # of tens of thousands, a path object for each would cost as much as the copy
    try:
        size, sha256 = copies.copy_new(source.place, target, sync=False)
    except StorageIOError as error:
        if _readable(source.path):
            raise
        if os.path.exists(target):
            durable.remove(Path(target))
        return str(error)
    return Copy(source, file, size, sha256)


def _readable(path: Path) -> bool:
    try:
        digests.sha256_of(path)
    except MigratorError:
        return False
    return True


def _place(source: Source) -> str:
    """Where a source's copy goes within the backup."""
    if source.kind == "older":
        return f"workspaces/{source.workspace_hash}/sessions.json"
    return source.name
