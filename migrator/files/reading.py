"""Reading what may be anything: a name can lead to a pipe, to a device without an end, to more than memory holds."""

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
# Opening a pipe would wait for whoever writes to it; Windows would turn line ends.
READ = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)


def contents(path: Place, at_most: int) -> bytes:
    """All of a small file.

    :param at_most: bytes; one that is larger is none of those that we write
    :raises OSError: it can't be read, is no file, or is larger
    """
    descriptor = os.open(path, READ)
    with os.fdopen(descriptor, "rb") as file:
        if size_of_file(descriptor) > at_most:
            raise OSError(errno.EFBIG, f"it has more than {at_most:,} bytes, which none of ours has")
        return file.read(at_most + 1)


def size_of_file(descriptor: int) -> int:
    """The size of an open file.

    :raises OSError: it is a pipe or a device, whose reading might never end
    """
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "it is no file")
    return found.st_size


def small(path: Place) -> bytes | None:
    """All of a small file, each call of the operating system for which costs as much as its bytes do; None for others.

    :raises OSError: it can't be read, or is no file
    """
    content, descriptor = _begun(path)
    if content is None:
        os.close(descriptor)
    return content


def opened(path: Place) -> BinaryIO:
    """A file open for reading, without a buffer. A small one is in memory by then.

    :raises OSError: it can't be read, or is no file
    """
    content, descriptor = _begun(path)
    return os.fdopen(descriptor, "rb", buffering=0) if content is None else BytesIO(content)


@contextmanager
def read_chunks(path: Place) -> Iterator[Iterator[bytes]]:
    """The bytes of a file in pieces, for the length of the block.

    :raises StorageIOError: it can't be read; also while the pieces are taken
    """
    with os_errors("read", path):
        file = opened(path)
    with file:
        yield _pieces(file, path)


def _begun(path: Place) -> tuple[bytes | None, int]:
    """All of a small file; of a larger one None, and the descriptor that it is open as.

    :raises OSError: it can't be read, or is no file
    """
    descriptor = os.open(path, READ)
    try:
        size = size_of_file(descriptor)
        content = os.read(descriptor, size + 1) if 0 < size <= SMALL else b""
        if not content or len(content) != size:  # it has another size by now
            os.lseek(descriptor, 0, os.SEEK_SET)
            return None, descriptor
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return content, _CLOSED


def _pieces(file: BinaryIO, path: Place) -> Iterator[bytes]:
    with os_errors("read", path):
        while chunk := file.read(CHUNK):
            yield chunk


def tee(chunks: Iterable[bytes], on_chunk: Callable[[bytes], object]) -> Iterator[bytes]:
    """Pass chunks on, each given to ``on_chunk`` first, such as the ``update`` of a digest."""
    for chunk in chunks:
        on_chunk(chunk)
        yield chunk
