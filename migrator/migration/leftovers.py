"""What a run that was killed leaves behind, and how it goes."""

from __future__ import annotations

import os
import time
from pathlib import Path

from migrator.data_dir import INCOMPLETE, DataDir
from migrator.files import durable

REHEARSAL = ".rehearsal-"  # where a dry run does everything
SCRATCH = ".rollback-"  # where files are prepared that are to take their places

# The app's own process writes into sessions/ without our lock; nothing takes it this long (seconds).
_OLD = 3600


def scratch_folder(data_dir: DataDir) -> Path:
    """Where this process prepares files that are to take their places; a dead one's goes with the next lock."""
    return data_dir.output / f"{SCRATCH}{os.getpid()}"


def leftovers(data_dir: DataDir) -> list[Path]:
    """What killed runs left; ours alone, and dead only while nobody holds the lock.

    Half-written files in ``sessions/`` count when they are old: the app may be about to rename a new one.
    """
    found = data_dir.under_construction()
    for folder, patterns in (
        (data_dir.output, (durable.LEFTOVERS, f"{REHEARSAL}*", f"{SCRATCH}*")),
        (data_dir.backups, (f"{INCOMPLETE}*",)),
    ):
        for pattern in patterns:
            found += sorted(folder.glob(pattern)) if folder.is_dir() else []
    if data_dir.sessions.is_dir():
        found += [path for path in sorted(data_dir.sessions.glob(durable.LEFTOVERS)) if _is_old(path)]
    return found


def in_sight(data_dir: DataDir) -> bool:
    """Whether killed runs left anything beside the database or the flag: a look that costs next to nothing."""
    begin = (f"{data_dir.staging.name}", REHEARSAL, SCRATCH)
    return any(
        name.startswith(begin) or (name.startswith(".") and name.endswith(durable.BESIDE))
        for folder in {data_dir.staging.parent, data_dir.output}
        if folder.is_dir()
        for name in os.listdir(folder)
    )


def rehearsals(data_dir: DataDir) -> list[Path]:
    """What dry runs left that were killed."""
    return sorted(data_dir.output.glob(f"{REHEARSAL}*"))


def remove_leftover(path: Path) -> None:
    """Remove one of :func:`leftovers`."""
    if path.is_dir() and not path.is_symlink():
        durable.remove_folder(path)
    else:
        durable.remove(path)


def _is_old(path: Path) -> bool:
    try:
        return time.time() - path.lstat().st_mtime > _OLD
    except OSError:
        return False
