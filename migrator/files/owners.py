"""Keeps what root makes in another user's folder usable for that user, and names the owner of what cannot be used.

Everything goes by the descriptor of what was just created, so that no link is followed.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

Place = str | os.PathLike[str]


def hand_over(descriptor: int, path: Place) -> None:
    """Give what root has just created to the owner of its folder, if that is another user.

    :param descriptor: the one that it was created with
    """
    if is_root():
        found = os.stat(os.path.dirname(os.path.abspath(path)))
        if found.st_uid != 0:
            _give(descriptor, found)


def hand_over_folder(path: Place) -> None:
    """As :func:`hand_over`, for a folder; a link is not followed."""
    if is_root():
        with _opened(path, os.O_RDONLY | os.O_DIRECTORY) as descriptor:
            hand_over(descriptor, path)


def make_like(path: Place, replaced: Place) -> None:
    """Give a file of ours, which root is about to rename, the owner and the mode of the one that it replaces."""
    if not is_root():
        return
    with suppress(FileNotFoundError):
        found = os.lstat(replaced)
        if stat.S_ISREG(found.st_mode) and found.st_uid != 0:
            with _opened(path, os.O_RDONLY) as descriptor:
                _give(descriptor, found)
                os.fchmod(descriptor, stat.S_IMODE(found.st_mode) & 0o777)


def is_root() -> bool:
    """Whether this process may give files away."""
    return hasattr(os, "geteuid") and os.geteuid() == 0


def _give(descriptor: int, to: os.stat_result) -> None:
    with suppress(OSError):  # a drive that keeps no owners, or that does not trust this root
        os.fchown(descriptor, to.st_uid, to.st_gid)


@contextmanager
def _opened(path: Place, flags: int) -> Iterator[int]:
    descriptor = os.open(path, flags | os.O_NOFOLLOW)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def user_name(uid: int) -> str:
    """Return the name of a user, or the number if there is none."""
    with suppress(ImportError, KeyError):
        import pwd  # only for a message

        return repr(pwd.getpwuid(uid).pw_name)
    return str(uid)


def is_out_of_reach(path: Place) -> bool:
    """Return whether a folder above a path keeps this user out, so that nobody here knows if anything is there."""
    try:
        os.lstat(path)
    except PermissionError:
        return True
    except OSError:
        return False
    return False


def who_owns(path: Place) -> str:
    """Return a sentence that names the owner of what this user may not use, after a space; empty if it is the user.

    Where a folder above cannot be searched, it is the first such one that counts.
    """
    if not hasattr(os, "geteuid"):
        return ""
    place = Path(os.path.abspath(path))
    for found in (place, *place.parents):
        with suppress(OSError):
            owner = found.stat().st_uid
            if owner == os.geteuid():
                return ""
            return f" {'It' if found == place else found} belongs to the user {user_name(owner)}."
    return ""
