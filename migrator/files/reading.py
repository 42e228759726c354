"""Bounded reads of paths that may be anything: a pipe, an endless device, or a file larger than memory."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import BinaryIO

from migrator.files.os_errors import os_errors

CHUNK = 1 << 20
SMALL = 1 << 16  # bytes
_CLOSED = -1  # in place of a descriptor
Place = str | os.PathLike[str]
# O_NONBLOCK: opening a pipe would wait for a writer. O_BINARY: Windows would convert line ends.
READ = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)


def contents(path: Place, at_most: int) -> bytes:
    """Read all of a small file.

    :param at_most: bytes; a larger file is not one that we wrote
    :raises OSError: it cannot be read, is not a regular file, or is larger
    """
    descriptor = os.open(path, READ)
    with os.fdopen(descriptor, "rb") as file:
        if size_of_file(descriptor) > at_most:
            raise OSError(errno.EFBIG, f"it has more than {at_most:,} bytes, so migrator did not write it")
        return file.read(at_most + 1)


def size_of_file(descriptor: int) -> int:
    """Return the size of an open file.

    :raises OSError: it is a pipe or a device, so that reading it might never end
    """
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file")
    return found.st_size


def small(path: Place) -> bytes | None:
    """Read all of a small file with few system calls, which cost as much as its bytes do; None for a larger file.

    :raises OSError: it cannot be read, or is not a regular file
    """
    content, descriptor = _begin(path)
    if content is None:
        os.close(descriptor)
    return content


def opened(path: Place) -> BinaryIO:
    """Open a file for reading, unbuffered; a small file is read into memory at once.

    :raises OSError: it cannot be read, or is not a regular file
    """
    content, descriptor = _begin(path)
    return os.fdopen(descriptor, "rb", buffering=0) if content is None else BytesIO(content)


@contextmanager
def read_chunks(path: Place) -> Iterator[Iterator[bytes]]:
    """Give the block the bytes of a file, in chunks.

    :raises StorageIOError: it cannot be read, now or while the chunks are read
    """
    with os_errors("read", path):
        file = opened(path)
    with file:
        yield _chunks(file, path)


def _begin(path: Place) -> tuple[bytes | None, int]:
    """Read all of a small file; for a larger one, return None and the descriptor of the open file.

    :raises OSError: it cannot be read, or is not a regular file
    """
    descriptor = os.open(path, READ)
    try:
        size = size_of_file(descriptor)
        content = os.read(descriptor, size + 1) if 0 < size <= SMALL else b""
        if not content or len(content) != size:  # its size changed in between
            os.lseek(descriptor, 0, os.SEEK_SET)
            return None, descriptor
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return content, _CLOSED


def _chunks(file: BinaryIO, path: Place) -> Iterator[bytes]:
    with os_errors("read", path):
        while chunk := file.read(CHUNK):
            yield chunk


def tee(chunks: Iterable[bytes], on_chunk: Callable[[bytes], object]) -> Iterator[bytes]:
    """Pass chunks on, after giving each to ``on_chunk``, such as the ``update`` of a digest."""
    for chunk in chunks:
        on_chunk(chunk)
        yield chunk
