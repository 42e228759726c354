"""One migrator at a time in a data directory, across processes."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from migrator.data_dir import INCOMPLETE, PREPARED, DataDir
from migrator.errors import MigrationFailed, MigrationLocked
from migrator.files import durable
from migrator.files.locks import described, locked, locks_on

DRY_RUN = ".rehearsal-"  # where a dry run does everything
# The app's own process writes into sessions/ without our lock; nothing takes it this long (seconds).
_OLD = 3600


@contextmanager
def exclusive(data_dir: DataDir, *, keep: bool = True) -> Iterator[list[Path]]:
    """Be the only migrator in the data directory; the lock ends with the process, however that ends.

    Whoever has it knows that nobody else is at work: what dead runs left is removed, and given out.

    :param keep: leave the lock's file behind, as always when something was changed; without it, of what dead runs
        left only that of dry runs goes
    :raises MigrationLocked: there is another one
    """
    if not data_dir.root.exists():
        yield []  # no data directory: nothing to migrate, nothing to protect
        return
    lock = data_dir.lock
    with ExitStack() as stack:
        try:
            is_held = stack.enter_context(locked(lock, temporary=not keep and not lock.exists()))
        except OSError as error:
            raise MigrationFailed(
                f"Cannot make the lock file {lock}: {error.strerror or error}.",
                hint="Check that you may write in that folder. Nothing was changed.",
            ) from error
        if not is_held:
            raise MigrationLocked(
                f"Another migrator is at work in {data_dir.root} (it holds {lock.name}).",
                hint="Wait until it is done; 'migrator status' tells how far things are.",
            )
        dead = leftovers(data_dir) if keep else sorted(data_dir.root.glob(f"{DRY_RUN}*"))
        for path in dead:
            remove_leftover(path)
        yield dead


def lock_holder(data_dir: DataDir) -> str | None:
    """Who holds the lock now, in words; None where nobody does. For a moment, nobody else can take it."""
    if not data_dir.lock.exists():
        return None
    try:
        with locked(data_dir.lock) as is_free:
            if is_free:
                return None
    except OSError:
        return None  # we may not even open it; whoever takes it for real says so
    found = [lock.process for lock in locks_on(data_dir.lock) if lock.kind == "FLOCK" and lock.process]
    return described(found[0]) if found else "another process"


def leftovers(data_dir: DataDir) -> list[Path]:
    """What killed runs left; ours alone, and dead only while nobody holds the lock.

    Half-written files in ``sessions/`` count when they are old: the app may be about to rename a new one.
    """
    found = data_dir.under_construction()
    for pattern in (durable.LEFTOVERS, f"{DRY_RUN}*", f"{PREPARED}*"):
        found += sorted(data_dir.root.glob(pattern))
    found += sorted(data_dir.backups.glob(f"{INCOMPLETE}*"))
    for path in sorted(data_dir.sessions.glob(durable.LEFTOVERS)):
        with suppress(OSError):
            if time.time() - path.lstat().st_mtime > _OLD:
                found.append(path)
    return found


def has_stale_files(data_dir: DataDir) -> bool:
    """Whether killed runs left anything beside the database or the flag: a look that costs next to nothing."""
    staging = data_dir.staging
    begin = (staging.name, DRY_RUN, PREPARED)
    return any(
        name.startswith(begin) or (name.startswith(".") and name.endswith(durable.BESIDE))
        for folder in {staging.parent, data_dir.root}
        if folder.is_dir()
        for name in os.listdir(folder)
    )


def remove_leftover(path: Path) -> None:
    """Remove one of :func:`leftovers`."""
    if path.is_dir() and not path.is_symlink():
        durable.remove_folder(path)
    else:
        durable.remove(path)
