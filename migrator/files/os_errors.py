"""The operating system's errors, as ours."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike

from migrator.errors import StorageIOError

_OS_HINTS = {
    errno.ENOSPC: "Free some space on that disk and run the command again.",
    errno.EDQUOT: "Your disk quota is used up: free some space and run the command again.",
    errno.EACCES: "Check who owns it and its permissions ('ls -l'), then run the command again.",
    errno.EPERM: "Check who owns it and its permissions ('ls -l'), then run the command again.",
    errno.EROFS: "The file system is mounted read-only: mount it writable and run the command again.",
    errno.ENOTDIR: "Something in that path is no folder. In the data directory, 'migrator doctor' tells what to move.",
    errno.EISDIR: "It is a folder, not a file. In the data directory, 'migrator doctor' tells what to move.",
    errno.EEXIST: "Nothing is overwritten: name another place, or move it away.",
    errno.EIO: "The disk reports a fault: check it before you go on.",
    errno.EFBIG: "It is larger than this file system or your limits ('ulimit -f') allow.",
}


@contextmanager
def os_errors(action: str, path: str | PathLike[str]) -> Iterator[None]:
    """Translate an OSError within the block to StorageIOError: ``action`` is a verb such as ``read``."""
    try:
        yield
    except OSError as error:
        message = f"Cannot {action} {path}: {error.strerror or error}."
        raise StorageIOError(message, hint=_OS_HINTS.get(error.errno or 0)) from error
