"""One thing that the doctor looked at, and the command that mends it."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Level = Literal["ok", "note", "problem"]

REPAIR = "migrator verify --repair"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    :ivar level: ``ok``; ``note``: nothing to do; ``problem``: something needs the user
    :ivar command: what mends it, or shows more
    """

    level: Level
    subject: str
    message: str
    command: str | None = None


def command(*words: str | Path) -> str:
    """A command line for a shell, each word quoted where it has to be."""
    return shlex.join(os.fspath(word) for word in words)


def that_moves_it_away(path: Path) -> str:
    """The command that makes room for what belongs there."""
    return command("mv", path, f"{path}.away")


def that_gives_it_back(path: Path) -> str:
    """The command after which the user may use a file or a folder that the system refuses."""
    if os.name == "nt":
        return command("icacls", path)
    if path.lstat().st_uid == os.getuid():
        return command("chmod", "u+rwx" if path.is_dir() else "u+rw", path)
    return command("sudo", "chown", str(os.getuid()), path)
