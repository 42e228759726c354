"""The SHA-256 of files: what proves that a copy is one, and that nothing has changed since."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from migrator.contents import Place, reading, shown
from migrator.errors import MigrationFailed, StorageIOError

if TYPE_CHECKING:
    import hashlib


def new_sha256(data: bytes = b"") -> hashlib._Hash:
    """A SHA-256, begun with some bytes."""
    import hashlib  # takes milliseconds to load, and where all files are known nothing is hashed

    return hashlib.sha256(data)


def sha256_of(path: Place) -> str:
    """The SHA-256 of a file's bytes, in hex."""
    digest = new_sha256()
    with reading(path) as chunks:
        for chunk in chunks:
            digest.update(chunk)
    return digest.hexdigest()


def proven_chunks(path: Path, sha256: str) -> Iterator[bytes]:
    """The bytes of a file, to be written elsewhere; gives up in the end if they are not those of the SHA-256.

    :raises StorageIOError: they are not, or can't be read; whoever writes them must not keep what was written
    """
    digest = new_sha256()
    with reading(path) as chunks:
        yield from hashed(chunks, digest)
    if digest.hexdigest() != sha256:
        raise StorageIOError(f"{path} changed while it was read.", hint="Run the command again.")


def damaged_copy(copy: Place) -> MigrationFailed:
    """What to raise for a copy that is not what was copied."""
    return MigrationFailed(
        f"The backup copy {copy} does not read back as what was written.",
        hint="The disk may be failing. Nothing was changed.",
    )


def hashed(chunks: Iterable[bytes], digest: hashlib._Hash) -> Iterator[bytes]:
    """The same chunks, each added to the digest as it passes."""
    return shown(chunks, digest.update)
