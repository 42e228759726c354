"""Copies of files, and second names for them: nothing that has a name already is ever replaced."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from migrator.errors import MigrationFailed, StorageIOError
from migrator.files import durable
from migrator.files.reading import Place, read_chunks, tee

if TYPE_CHECKING:
    import hashlib


def copy_new(
    source: Place, target: Place, *, sync: bool = True, on_chunk: Callable[[bytes], None] | None = None
) -> tuple[int, str]:
    """Copy to a file that does not exist yet and sync it.

    :param sync: False leaves the syncing to :func:`durable.sync_files`, which is faster for many
    :param on_chunk: is given what is copied, chunk by chunk
    :returns: how many bytes were read, and their SHA-256 in hex
    """
    digest = new_sha256()
    with read_chunks(source) as read:
        chunks = read if on_chunk is None else tee(read, on_chunk)
        size = durable.write_new(target, tee(chunks, digest.update), sync=sync)
    return size, digest.hexdigest()


def publish_copy(source: Path, target: Path) -> bool:
    """A second name for a file, or a copy where there are no hard links; False when the name is taken."""
    named = durable.link_new(source, target)
    if named is None:
        try:
            copy_new(source, target)
        except BaseException as error:
            if isinstance(error.__cause__, FileExistsError):  # somebody was faster, or it is a link to nothing
                return False
            durable.remove(target)  # half a copy must not look like one
            raise
    elif not named:
        return False
    durable.sync_folder(target.parent)
    return True


def keep_copy(source: Path, path: Path, mark: str) -> Path:
    """Give a file's contents a second name: that of ``path`` with ``mark`` and, if need be, a number.

    Whoever tries again finds the name that the first attempt gave.
    """
    names = (f"{path.name}.{mark}{f'-{number}' if number else ''}" for number in itertools.count())
    for kept in map(path.with_name, names):
        if publish_copy(source, kept) or (kept.is_file() and sha256_of(kept) == sha256_of(source)):
            break
    return kept


def new_sha256(data: bytes = b"") -> hashlib._Hash:
    """A SHA-256, begun with some bytes."""
    import hashlib  # takes milliseconds to load, and where all files are known nothing is hashed

    return hashlib.sha256(data)


def sha256_of(path: Place) -> str:
    """The SHA-256 of a file's bytes, in hex."""
    digest = new_sha256()
    with read_chunks(path) as chunks:
        for chunk in chunks:
            digest.update(chunk)
    return digest.hexdigest()


def checked_chunks(path: Path, sha256: str) -> Iterator[bytes]:
    """The bytes of a file, to be written elsewhere; gives up in the end if they are not those of the SHA-256.

    :raises StorageIOError: they are not, or can't be read; whoever writes them must not keep what was written
    """
    digest = new_sha256()
    with read_chunks(path) as chunks:
        yield from tee(chunks, digest.update)
    if digest.hexdigest() != sha256:
        raise StorageIOError(f"{path} changed while it was read.", hint="Run the command again.")


def damaged_copy(copy: Place) -> MigrationFailed:
    """What to raise for a copy that is not what was copied."""
    return MigrationFailed(
        f"The backup copy {copy} does not read back as what was written.",
        hint="The disk may be failing. Nothing was changed.",
    )
