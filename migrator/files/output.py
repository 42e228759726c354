"""Files that are prepared where nobody looks, and take their places when all of them are whole and on the disk.

What has a name already is met in one of two ways. :func:`new_files`, for what a command writes anew, refuses: all files
come to be or none does, and nothing is ever overwritten. :class:`Replacements`, for files that go back, keeps a copy:
one by one they take their places, and what was there unexpectedly has another name afterwards.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Container, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path

from migrator.errors import StorageIOError
from migrator.files import copying, durable
from migrator.files.locks import locked
from migrator.files.os_errors import os_errors
from migrator.files.reading import tee

_WAITING = re.compile(r"([0-9a-f]{64})\.(.+)", re.DOTALL)


@contextmanager
def scratch(folder: Path) -> Iterator[None]:
    """A private folder to prepare files in; it does not outlast the block, unless it got another name."""
    try:
        durable.make_private_folder(folder)
        yield
    finally:
        durable.remove_folder(folder)


class Replacements:
    """Files on their way to places that may be taken.

    :param folder: where they wait, made by :func:`scratch`; on the file system of their places if it can be
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._numbers = count()

    def next_path(self) -> Path:
        """Where the next file may be prepared."""
        return self.folder / f"{next(self._numbers)}.json"

    def write(self, chunks: Iterable[bytes]) -> Path:
        """Prepare a file; returns where it waits."""
        path = self.next_path()
        durable.write_new(path, chunks)
        return path

    @staticmethod
    def place(
        written: Path, target: Path, expected: Container[str | None], keep: Callable[[Path], Path]
    ) -> Path | None:
        """Give a prepared file its place.

        :param expected: the SHA-256 of each file that may be replaced
        :param keep: gives any other a second name, or refuses
        :returns: that name, if there is one
        """
        durable.make_private_folder(target.parent)
        is_new = not os.path.lexists(target) or copying.sha256_of(target) in expected
        kept = None if is_new else keep(target)
        durable.move_over(written, target)
        return kept


class NewFiles:
    """Files on their way into a folder; made by :func:`new_files`."""

    def __init__(self, folder: Path, waiting: Path, what: str, hint: str) -> None:
        self.folder = folder
        self._waiting = waiting
        self._what = what
        self._hint = hint
        self._added: list[tuple[Path, str]] = []

    def require_free(self, *names: str) -> None:
        """
        :raises StorageIOError: something has one of the names
        """
        for name in names:
            if os.path.lexists(self.folder / name):
                raise self._exists(name)

    def add(self, name: str, chunks: Iterable[bytes]) -> str:
        """Write one file, to be in its place when all are written; returns the SHA-256 of its bytes, in hex."""
        self.require_free(name)
        digest = copying.new_sha256()
        written = self._waiting / name
        durable.write_new(written, tee(chunks, digest.update))
        named = self._waiting / f"{digest.hexdigest()}.{name}"
        durable.move_over(written, named)
        self._added.append((named, name))
        return digest.hexdigest()

    def publish(self) -> None:
        """
        :raises StorageIOError: another program took one of the names meanwhile
        """
        for named, name in self._added:
            if not copying.publish_copy(named, self.folder / name):
                raise self._exists(name)

    def _exists(self, name: str) -> StorageIOError:
        return StorageIOError(f"{self.folder / name} exists already; {self._what} overwrites nothing.", hint=self._hint)


@contextmanager
def new_files(
    folder: Path, name: str, what: str = "an export", hint: str = "Name an empty folder with --to."
) -> Iterator[NewFiles]:
    """Write files: what is added within the block is in the folder after it, or, after an error, nothing is.

    Whatever ends a command, the next of its kind knows by its hidden folder what is left over, and begins as if there
    had been none.

    :param folder: has to be there
    :param name: of the command's own hidden folder
    :param what: overwrites nothing, for the message where a name is taken; ``hint`` is what to do then
    :raises StorageIOError: another process is at it, or something can't be written
    """
    waiting = folder / f".{name}{durable.BESIDE}"
    with ExitStack() as stack:
        with os_errors("write into", folder):
            is_alone = stack.enter_context(locked(folder / f".{name}.lock{durable.BESIDE}", temporary=True))
        if not is_alone:
            raise StorageIOError(
                f"Another process writes into {folder}.", hint="Run the command again when that one is done."
            )
        _take_back(folder, waiting)
        files = NewFiles(folder, waiting, what, hint)
        try:
            durable.make_private_folder(waiting)
            yield files
            files.publish()
        except BaseException:
            _take_back(folder, waiting)
            raise
        durable.remove_folder(waiting)


def write_new_file(target: Path, chunks: Iterable[bytes], what: str) -> None:
    """Write one file, into a folder that is there.

    :param what: overwrites nothing, for the message where it exists
    :raises StorageIOError: it exists already, or can't be written
    """
    place = Path(os.path.abspath(target))
    with os_errors("create", target):
        os.stat(place.parent)
    with new_files(place.parent, place.name, what, "Name a new file.") as files:
        files.add(place.name, chunks)


def _take_back(folder: Path, waiting: Path) -> None:
    """Remove what waits; and of what is in its place already, all, unless that is all there is."""
    names = os.listdir(waiting) if waiting.is_dir() else []
    found = [(folder / match[2], match[1]) for match in map(_WAITING.fullmatch, names) if match]
    placed = [(path, sha256) for path, sha256 in found if path.is_file() and copying.sha256_of(path) == sha256]
    if len(placed) < len(names):
        for path, _ in placed:
            durable.remove(path)
    durable.remove_folder(waiting)
