"""Who may use a file: chat history is its owner's alone. What we make is private from the start, see ``durable``."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def is_open_to_others(path: Path) -> bool:
    """Whether anybody but the owner may use a file or a folder; of a link, and of what is not there, nobody says so."""
    if os.name == "nt":
        return False  # its files inherit who may use them from the user's folder
    try:
        found = path.lstat()
    except OSError:
        return False
    return not stat.S_ISLNK(found.st_mode) and bool(found.st_mode & 0o077)


def make_private(path: Path) -> bool:
    """Take everybody but the owner out of the mode of a file or a folder of ours.

    :returns: False where there was nothing to take, or somebody else owns it: whoever looks later tells
    """
    if not is_open_to_others(path):
        return False
    try:
        path.chmod(stat.S_IMODE(path.lstat().st_mode) & 0o700)
    except OSError:
        return False
    return True
