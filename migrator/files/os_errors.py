"""The operating system's errors, as ours."""

from __future__ import annotations

import errno
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


class os_errors:  # noqa: N801 - read as a function
    """Translate an OSError within the block to StorageIOError: ``action`` is a verb such as ``read``."""

    __slots__ = ("_action", "_path")

    def __init__(self, action: str, path: str | PathLike[str]) -> None:
        self._action = action
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError):
            reason = error.strerror or str(error)
            message = f"Cannot {self._action} {self._path}: {reason}."
            raise StorageIOError(message, hint=_OS_HINTS.get(error.errno or 0)) from error
