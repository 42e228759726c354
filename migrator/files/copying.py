"""Copies files and gives them second names; an existing file is never replaced."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from migrator.errors import MigrationFailed, StorageIOError
from migrator.files import durable
from migrator.files.os_errors import os_errors
from migrator.files.reading import Place, read_chunks, small, tee

if TYPE_CHECKING:
    import hashlib


def copy_new(
    source: Place, target: Place, *, sync: bool = True, on_chunk: Callable[[bytes], None] | None = None
) -> tuple[int, str]:
    """Copy a file to a path that does not exist yet, and sync it; where the file system can, share its blocks.

    :param sync: False leaves syncing to :func:`durable.sync_files`, which is faster for many files
    :param on_chunk: called with each chunk that is copied
    :returns: the number of bytes read, and their SHA-256 in hex
    """
    with os_errors("read", source):
        content = small(source)
    if content is not None:  # with as few calls as possible: there may be tens of thousands of them
        if on_chunk is not None:
            on_chunk(content)
        return durable.write_new(target, [content], sync=sync), new_sha256(content).hexdigest()
    digest = new_sha256()
    cloned = durable.clone_new(source, target)
    with read_chunks(target if cloned else source) as read:
        chunks = tee(read if on_chunk is None else tee(read, on_chunk), digest.update)
        size = sum(map(len, chunks)) if cloned else durable.write_new(target, chunks, sync=sync)
    if cloned and sync:
        durable.sync_file(Path(target))
    return size, digest.hexdigest()


def publish_copy(source: Path, target: Path) -> bool:
    """Give a file a second name, or copy it if there are no hard links; returns False if the name is taken."""
    named = durable.link_new(source, target)
    if named is None:
        try:
            if copy_new(source, target)[1] != sha256_of(target):
                raise StorageIOError(
                    f"{target} was not written: reading it back gave other bytes.",
                    code="file.readback_failed",
                    hint="The disk may be failing: write to another one.",
                )
        except BaseException as error:
            if isinstance(error.__cause__, FileExistsError):  # another process was faster, or it is a broken link
                return False
            durable.remove(target)  # an incomplete copy must not look like a complete one
            raise
    elif not named:
        return False
    durable.sync_folder(target.parent)
    return True


def keep_copy(source: Path, path: Path, mark: str) -> Path:
    """Give a file's contents a second name: that of ``path`` with ``mark`` and, if necessary, a number.

    A second attempt finds the name that the first one gave.
    """
    for kept in _names_of_copies(path, mark):
        if publish_copy(source, kept) or _same_content(kept, source):
            break
    return kept


def name_of_copy(source: Path, path: Path, mark: str) -> Path:
    """Return the name that :func:`keep_copy` would give now."""
    names = _names_of_copies(path, mark)
    return next(name for name in names if not os.path.lexists(name) or _same_content(name, source))


def _names_of_copies(path: Path, mark: str) -> Iterator[Path]:
    names = (f"{path.name}.{mark}{f'-{number}' if number else ''}" for number in itertools.count())
    return map(path.with_name, names)


def _same_content(path: Path, other: Path) -> bool:
    return path.is_file() and sha256_of(path) == sha256_of(other)


def new_sha256(data: bytes = b"") -> hashlib._Hash:
    """Start a SHA-256 with some bytes."""
    import hashlib  # takes milliseconds to load, and if all files are known nothing is hashed

    return hashlib.sha256(data)


def sha256_of(path: Place) -> str:
    """Return the SHA-256 of a file, in hex."""
    digest = new_sha256()
    with read_chunks(path) as chunks:
        for chunk in chunks:
            digest.update(chunk)
    return digest.hexdigest()


def has_sha256(path: Place, sha256: str | None) -> bool:
    """Whether there is a file that can be read and has this SHA-256."""
    try:
        return os.path.isfile(path) and sha256_of(path) == sha256
    except StorageIOError:
        return False


def checked_chunks(path: Path, sha256: str) -> Iterator[bytes]:
    """Yield a file's bytes in chunks, and check their SHA-256 at the end.

    :raises StorageIOError: they differ or cannot be read; the caller must discard what it wrote
    """
    digest = new_sha256()
    with read_chunks(path) as chunks:
        yield from tee(chunks, digest.update)
    if digest.hexdigest() != sha256:
        raise StorageIOError(
            f"{path} changed while it was read.", code="file.changed_meanwhile", hint="Run the command again."
        )


def damaged_copy(copy: Place) -> MigrationFailed:
    """Make the error for a backup copy that differs from its original."""
    return MigrationFailed(
        f"The backup copy {copy} differs from what was written. Nothing was changed.",
        code="backup.readback_failed",
        hint="The disk may be failing: check it, then run the command again.",
    )
