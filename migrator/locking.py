"""Allows only one migrator at a time in a data directory, across processes."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from migrator.data_dir import INCOMPLETE, PREPARED, DataDir, require_place
from migrator.errors import MigrationFailed, MigrationLocked
from migrator.files import durable
from migrator.files.locks import described, locked, locks_on

DRY_RUN = ".rehearsal-"  # prefix of the folder that a dry run writes to
# Seconds after which a temporary file in sessions/ is left over: the app writes there without our lock, but faster.
_OLD = 3600


@contextmanager
def exclusive(data_dir: DataDir, *, keep: bool = True) -> Iterator[list[Path]]:
    """Be the only migrator in the data directory; the system releases the lock when the process ends.

    While the lock is held no other migrator is running, so what interrupted runs left behind is removed; the block gets
    a list of it.

    :param keep: keep the lock file, as always when something may be changed; False also removes only the leftovers of
        dry runs
    :raises MigrationLocked: another migrator is running
    :raises UsageError: this is not a data directory of the app
    """
    require_place(data_dir)
    if not durable.exists(data_dir.root):
        yield []  # there is only a database, elsewhere: nothing to protect
        return
    lock = data_dir.lock
    with ExitStack() as stack:
        try:
            is_held = stack.enter_context(locked(lock, temporary=not keep and not lock.exists()))
        except OSError as error:
            raise MigrationFailed(
                f"Cannot create the lock file {lock}: {error.strerror or error}. Nothing was changed.",
                code="lock.not_created",
                hint="Check that you have permission to write to that folder.",
            ) from error
        if not is_held:
            raise MigrationLocked(
                f"Another migrator is running in {data_dir.root}.",
                hint="Wait for it to finish; 'migrator status' shows its progress.",
            )
        dead = leftovers(data_dir) if keep else sorted(data_dir.root.glob(f"{DRY_RUN}*"))
        for path in dead:
            remove_leftover(path)
        yield dead


def lock_holder(data_dir: DataDir) -> str | None:
    """Describe the process that holds the lock; None if it is free. The check itself takes the lock for a moment."""
    if not data_dir.lock.exists():
        return None
    try:
        with locked(data_dir.lock) as is_free:
            if is_free:
                return None
    except OSError:
        return None  # the lock file cannot be opened; a command that needs the lock reports that
    found = [lock.process for lock in locks_on(data_dir.lock) if lock.kind == "FLOCK" and lock.process]
    return described(found[0]) if found else "another process"


def leftovers(data_dir: DataDir) -> list[Path]:
    """List what interrupted runs left behind; call this only while no other migrator holds the lock.

    Temporary files in ``sessions/`` count only if they are old: the app may be about to rename a new one.
    """
    found = data_dir.under_construction()
    for pattern in (durable.TEMPORARY_FILES, f"{DRY_RUN}*", f"{PREPARED}*"):
        found += sorted(data_dir.root.glob(pattern))
    found += sorted(data_dir.backups.glob(f"{INCOMPLETE}*"))
    for path in sorted(data_dir.sessions.glob(durable.TEMPORARY_FILES)):
        with suppress(OSError):
            if time.time() - path.lstat().st_mtime > _OLD:
                found.append(path)
    return found


def has_stale_files(data_dir: DataDir) -> bool:
    """Whether interrupted runs left anything next to the database or storage.json; a very fast check."""
    staging = data_dir.staging
    begin = (staging.name, DRY_RUN, PREPARED)
    return any(
        name.startswith(begin) or (name.startswith(".") and name.endswith(durable.TEMPORARY_SUFFIX))
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
