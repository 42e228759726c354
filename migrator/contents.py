"""Reading what may be anything: a name can lead to a pipe, to a device without an end, to more than memory holds."""

from __future__ import annotations

import errno
import os
import stat

# Opening a pipe would wait for whoever writes to it; Windows would turn line ends.
READ = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)


def contents(path: str | os.PathLike[str], at_most: int) -> bytes:
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
