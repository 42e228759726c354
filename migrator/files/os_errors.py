"""Translates errors of the operating system to ours, with a code and a hint."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike

from migrator.errors import StorageIOError
from migrator.files.owners import who_owns

_PERMISSIONS = "Check its owner and permissions with 'ls -l', then run the command again."
# The code and the hint for each error number.
_OS_HINTS = {
    errno.ENOENT: ("file.missing", None),
    errno.ENOSPC: ("disk.full", "Free some space on that disk, then run the command again."),
    errno.EDQUOT: ("disk.quota_exceeded", "Your disk quota is used up: free some space, then run the command again."),
    errno.EACCES: ("file.permission_denied", _PERMISSIONS),
    errno.EPERM: ("file.permission_denied", _PERMISSIONS),
    errno.EROFS: ("disk.read_only", "Mount the file system writable, then run the command again."),
    errno.ENOTDIR: (
        "file.not_a_directory",
        "Something in that path is not a folder. In the data directory, 'migrator doctor' says what to move.",
    ),
    errno.EISDIR: (
        "file.is_a_directory",
        "It is a folder, not a file. In the data directory, 'migrator doctor' says what to move.",
    ),
    errno.EEXIST: ("file.exists", "Files are never overwritten: choose another name, or move the file away."),
    errno.EIO: ("disk.io_error", "The disk reports an error: check it before you continue."),
    errno.EFBIG: ("file.too_large", "It is larger than the file system or your limits ('ulimit -f') allow."),
}


def code_and_hint(error: OSError) -> tuple[str | None, str | None]:
    """Return the code and the hint for an error of the operating system."""
    return _OS_HINTS.get(error.errno or 0, (None, None))


def reason_of(error: OSError, path: str | PathLike[str]) -> str:
    """Return why the system refused something, as the end of a sentence; without permission, also whose it is."""
    reason = f"{error.strerror or error}."
    return reason + who_owns(path) if error.errno in (errno.EACCES, errno.EPERM) else reason


@contextmanager
def os_errors(action: str, path: str | PathLike[str]) -> Iterator[None]:
    """Translate an OSError within the block to StorageIOError; ``action`` is a verb such as ``read``."""
    try:
        yield
    except OSError as error:
        code, hint = code_and_hint(error)
        raise StorageIOError(f"Cannot {action} {path}: {reason_of(error, path)}", code=code, hint=hint) from error


@contextmanager
def remaining_os_errors() -> Iterator[None]:
    """Translate any OSError within the block that was not translated where it happened; also a decorator.

    Looking whether a path exists can fail, too: in a folder of another user, for example.
    """
    try:
        yield
    except OSError as error:
        with os_errors("access", error.filename or "a file"):
            raise
