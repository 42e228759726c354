"""Copies of files, and second names for them: nothing that has a name already is ever replaced."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

from migrator import durable
from migrator.contents import Place, reading, shown
from migrator.digests import hashed, new_sha256, sha256_of


def copy_new(
    source: Place, target: Place, *, sync: bool = True, look_at: Callable[[bytes], None] | None = None
) -> tuple[int, str]:
    """Copy to a file that does not exist yet and sync it.

    :param sync: False leaves the syncing to :func:`durable.sync_files`, which is faster for many
    :param look_at: is shown what is copied, piece by piece
    :returns: how many bytes were read, and their SHA-256 in hex
    """
    digest = new_sha256()
    with reading(source) as pieces:
        chunks = pieces if look_at is None else shown(pieces, look_at)
        size = durable.write_new(target, hashed(chunks, digest), sync=sync)
    return size, digest.hexdigest()


def publish_copy(source: Path, target: Path) -> bool:
    """A second name for a file, or a copy where there are no hard links; False when the name is taken."""
    named = durable.second_name(source, target)
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


def keep_beside(path: Path, mark: str) -> Path:
    """Give a file a second name beside its own, with ``mark`` and, if need be, a number; returns the name."""
    return keep_beside_as(path, path, mark)


def keep_beside_as(source: Path, path: Path, mark: str) -> Path:
    """The same for another file's contents: ``source`` gets a name that begins with that of ``path``.

    Whoever tries again finds the name that the first attempt gave.
    """
    for number in itertools.count():
        aside = path.with_name(f"{path.name}.{mark}{f'-{number}' if number else ''}")
        if publish_copy(source, aside) or (aside.is_file() and sha256_of(aside) == sha256_of(source)):
            return aside
    raise AssertionError("there is always another number")
