"""Files that a command gives out: all of them come to be, each whole, or none does; nothing is ever overwritten.

They wait in a hidden folder beside until the last is on the disk, and then get second names, in their places. Whatever
ended a command, the next of its kind knows by that folder what is left over, and begins as if there had been none.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from migrator.errors import StorageIOError
from migrator.files import copying, durable
from migrator.files.os_errors import os_errors

# What to tell where something has the name already.
Taken = Callable[[Path], StorageIOError]

_WAITING = re.compile(r"([0-9a-f]{64})\.(.+)", re.DOTALL)


class NewFiles:
    """Files on their way into a folder; made by :func:`new_files`."""

    def __init__(self, folder: Path, waiting: Path, taken: Taken) -> None:
        self.folder = folder
        self.waiting = waiting
        self._taken = taken
        self._added: list[tuple[Path, str]] = []

    def require_free(self, *names: str) -> None:
        """
        :raises StorageIOError: something has one of the names
        """
        for name in names:
            if os.path.lexists(self.folder / name):
                raise self._taken(self.folder / name)

    def add(self, name: str, chunks: Iterable[bytes]) -> str:
        """Write one file, to be in its place when all are written; returns the SHA-256 of its bytes, in hex."""
        self.require_free(name)
        digest = hashlib.sha256()
        written = self.waiting / name
        durable.write_new(written, copying.hashed(chunks, digest))
        named = self.waiting / f"{digest.hexdigest()}.{name}"
        durable.move_over(written, named)
        self._added.append((named, name))
        return digest.hexdigest()

    def publish(self) -> None:
        """
        :raises StorageIOError: another program took one of the names meanwhile
        """
        for named, name in self._added:
            if not copying.publish_copy(named, self.folder / name):
                raise self._taken(self.folder / name)


@contextmanager
def new_files(folder: Path, what: str, taken: Taken) -> Iterator[NewFiles]:
    """Give out files: what is added within the block is in the folder after it, or, after an error, nothing is.

    :param folder: has to be there
    :param what: names the command's own hidden folder
    :raises StorageIOError: another process is at it, or something can't be written
    """
    waiting = folder / f".{what}{durable.BESIDE}"
    with _alone(folder / f".{what}.lock{durable.BESIDE}", folder):
        _take_back(folder, waiting)
        files = NewFiles(folder, waiting, taken)
        try:
            durable.make_private_folder(waiting)
            yield files
            files.publish()
        except BaseException:
            _take_back(folder, waiting)
            raise
        durable.remove_folder(waiting)


def write_new_file(target: Path, chunks: Iterable[bytes], taken: Taken) -> None:
    """Give out one file, into a folder that is there.

    :raises StorageIOError: it exists already, or can't be written
    """
    place = Path(os.path.abspath(target))
    with os_errors("create", target):
        os.stat(place.parent)
    with new_files(place.parent, place.name, taken) as files:
        files.add(place.name, chunks)


@contextmanager
def _alone(path: Path, folder: Path) -> Iterator[None]:
    """Be the only process that gives out this to this folder; the file of the lock does not stay."""
    from filelock import FileLock, Timeout  # nobody else pays for its loading

    lock = FileLock(path, timeout=0, mode=0o600)
    with os_errors("write into", folder):
        try:
            lock.acquire()
        except Timeout:
            raise StorageIOError(
                f"Another process writes into {folder}.", hint="Run the command again when that one is done."
            ) from None
    try:
        yield
    finally:
        with suppress(StorageIOError):  # where an open file can't be removed, letting go of the lock removes it
            durable.remove(path)
        lock.release()


def _take_back(folder: Path, waiting: Path) -> None:
    """Remove what waits; and of what is in its place already, all, unless that is all there is."""
    names = os.listdir(waiting) if waiting.is_dir() else []
    found = [(folder / match[2], match[1]) for match in map(_WAITING.fullmatch, names) if match]
    placed = [(path, sha256) for path, sha256 in found if path.is_file() and copying.sha256_of(path) == sha256]
    if len(placed) < len(names):
        for path, _ in placed:
            durable.remove(path)
    durable.remove_folder(waiting)
