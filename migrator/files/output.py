"""Prepares files in a hidden folder, and puts them in place when all are complete and on disk.

There are two ways to handle a file that exists. :func:`new_files`, for commands that write new files, refuses: either
all files are created or none, and nothing is overwritten. :class:`Replacements` only prepares files;
:func:`replacing.place` puts each in its place, and keeps an unexpected file under another name.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path

from migrator.errors import StorageIOError
from migrator.files import copying, durable
from migrator.files.locks import locked
from migrator.files.os_errors import os_errors
from migrator.files.reading import tee

_PREPARED = re.compile(r"([0-9a-f]{64})\.(.+)", re.DOTALL)


@contextmanager
def scratch(folder: Path) -> Iterator[None]:
    """Provide a private folder to prepare files in; it is removed after the block, unless it was renamed."""
    try:
        durable.make_private_folder(folder)
        yield
    finally:
        durable.remove_folder(folder)


class Replacements:
    """Files that will replace existing ones.

    :param folder: where they are prepared, from :func:`scratch`; preferably on the file system of their targets
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._numbers = count()

    def next_path(self) -> Path:
        """Return a path to prepare the next file at."""
        return self.folder / f"{next(self._numbers)}.json"

    def write(self, chunks: Iterable[bytes]) -> Path:
        """Prepare a file, and return its path."""
        path = self.next_path()
        durable.write_new(path, chunks)
        return path


class NewFiles:
    """New files for a folder; made by :func:`new_files`."""

    def __init__(self, folder: Path, prepared: Path, what: str, hint: str) -> None:
        self.folder = folder
        self._prepared = prepared
        self._what = what
        self._hint = hint
        self._added: list[tuple[Path, str]] = []

    def require_free(self, *names: str) -> None:
        """Check that no file has one of the names.

        :raises StorageIOError: one of the names is taken
        """
        for name in names:
            if os.path.lexists(self.folder / name):
                raise self._exists(name)

    def add(self, name: str, chunks: Iterable[bytes], check: Callable[[Path], object] | None = None) -> str:
        """Write one file and read it back; it takes its place when all files are written.

        A file that has the name and the same bytes is left as it is: an interrupted run may have put it there.

        :param check: called with the written file; what it raises keeps all files from their places
        :returns: the SHA-256 of its bytes, in hex
        :raises StorageIOError: the name is taken, the file cannot be written, or does not hold what was written to it
        """
        digest = copying.new_sha256()
        written = self._prepared / name
        durable.write_new(written, tee(chunks, digest.update))
        if copying.sha256_of(written) != digest.hexdigest():
            raise StorageIOError(
                f"{self.folder / name} was not written: reading it back gave other bytes.",
                code="file.readback_failed",
                hint="The disk may be failing: write to another one.",
            )
        if check is not None:
            check(written)
        if os.path.lexists(self.folder / name):
            self._require_same(name, digest.hexdigest())
            durable.remove(written)
            return digest.hexdigest()
        named = self._prepared / f"{digest.hexdigest()}.{name}"
        durable.move_over(written, named)
        self._added.append((named, name))
        return digest.hexdigest()

    def publish(self) -> None:
        """Put all files in place.

        :raises StorageIOError: another program has taken one of the names in the meantime
        """
        for named, name in self._added:
            if not copying.publish_copy(named, self.folder / name):
                raise self._exists(name)

    def _require_same(self, name: str, sha256: str) -> None:
        found = self.folder / name
        if found.is_symlink() or not found.is_file() or copying.sha256_of(found) != sha256:
            raise self._exists(name)

    def _exists(self, name: str) -> StorageIOError:
        message = f"{self.folder / name} already exists; {self._what} never overwrites files."
        return StorageIOError(message, code="file.exists", hint=self._hint)


@contextmanager
def new_files(
    folder: Path, name: str, what: str = "an export", hint: str = "Choose an empty folder with --to."
) -> Iterator[NewFiles]:
    """Write files into a folder: all files that the block adds, or none after an error.

    If a command is killed, the next one with the same ``name`` finds its hidden folder and removes what it left.

    :param folder: must exist
    :param name: of the command's hidden folder
    :param what: for the message if a name is taken: what never overwrites files; ``hint`` says what to do then
    :raises StorageIOError: another process is writing there, or a file cannot be written
    """
    prepared = folder / f".{name}{durable.TEMPORARY_SUFFIX}"
    with ExitStack() as stack:
        with os_errors("write to", folder):
            is_alone = stack.enter_context(locked(folder / f".{name}.lock{durable.TEMPORARY_SUFFIX}", temporary=True))
        if not is_alone:
            raise StorageIOError(
                f"Another process is writing to {folder}.",
                code="lock.held",
                hint="Wait for it to finish, then run the command again.",
            )
        _undo(folder, prepared)
        files = NewFiles(folder, prepared, what, hint)
        try:
            durable.make_private_folder(prepared)
            yield files
            files.publish()
        except BaseException:
            _undo(folder, prepared)
            raise
        durable.remove_folder(prepared)


def write_new_file(target: Path, chunks: Iterable[bytes], what: str) -> None:
    """Write one new file into a folder that exists.

    :param what: for the message if the file exists: what never overwrites files
    :raises StorageIOError: the file already exists and has other bytes, or cannot be written
    """
    place = Path(os.path.abspath(target))
    with os_errors("create", target):
        os.stat(place.parent)
    with new_files(place.parent, place.name, what, "Choose another name.") as files:
        files.add(place.name, chunks)


def _undo(folder: Path, prepared: Path) -> None:
    """Remove the prepared files, and those already in place unless all of them are."""
    names = os.listdir(prepared) if prepared.is_dir() else []
    found = [(folder / match[2], match[1]) for match in map(_PREPARED.fullmatch, names) if match]
    placed = [(path, sha256) for path, sha256 in found if path.is_file() and copying.sha256_of(path) == sha256]
    if len(placed) < len(names):
        for path, _ in placed:
            durable.remove(path)
    durable.remove_folder(prepared)
