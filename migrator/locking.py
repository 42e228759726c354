"""Allows only one migrator at a time in a data directory, and only one writer of a workspace's file, across processes.

Code that needs several locks takes them in this order, so that no two programs wait for each other: the data
directory's, the order of hybrid mode's writes, the database's write transaction, the workspace's file.
"""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

from migrator.data_dir import INCOMPLETE, PREPARED, DataDir, require_place
from migrator.errors import ConnectionFailed, MigrationFailed, MigrationLocked, MigratorError, StorageIOError
from migrator.files import durable
from migrator.files.locks import HOLDER, described, locked, locks_on, named_holder
from migrator.files.os_errors import os_errors, reason_of
from migrator.files.replacing import look_at_replaced
from migrator.ownership import require_own_database
from migrator.progress import Listener, Progress

DRY_RUN = ".rehearsal-"  # prefix of the folder that a dry run writes to
# Seconds after which a temporary file in sessions/ is left over: the app writes there without our lock, but faster.
_OLD = 3600
_PERMISSION = "Check that you have permission to write to that folder."
_MOUNT = "Mount the file system writable, then run the command again."
LOCK_TIMEOUT = 3.0  # seconds to wait for another writer of a workspace's file


@contextmanager
def exclusive(data_dir: DataDir, *, keep: bool = True) -> Iterator[list[Path]]:
    """Be the only migrator in the data directory; the system releases the lock when the process ends.

    While the lock is held no other migrator is running, so what interrupted runs left behind is removed; the block gets
    a list of it.

    :param keep: keep the lock file, as always when something may be changed; False also removes only the leftovers of
        dry runs
    :raises MigrationLocked: another migrator is running
    :raises UsageError: this is not a data directory of the app, or the database belongs to another one
    """
    require_place(data_dir)
    require_own_database(data_dir, follow=keep)
    if not durable.exists(data_dir.root):
        yield []  # there is only a database, elsewhere: nothing to protect
        return
    lock = data_dir.lock
    with ExitStack() as stack:
        try:
            is_held = stack.enter_context(locked(lock, temporary=not keep and not lock.exists()))
        except OSError as error:
            if not keep and not os.access(data_dir.root, os.W_OK):
                yield []  # a dry run where nothing can be written: no other migrator runs there
                return
            raise MigrationFailed(
                f"Cannot create the lock file {lock}: {reason_of(error, lock)} Nothing was changed.",
                code="lock.not_created",
                hint=_MOUNT if error.errno == errno.EROFS else _PERMISSION,
            ) from error
        if not is_held:
            raise MigrationLocked(
                f"Another migrator is running in {data_dir.root}.",
                hint=f"Wait for it to finish; 'migrator status' shows its progress.{_how_to_free(lock)}",
            )
        dead = leftovers(data_dir) if keep else sorted(data_dir.root.glob(f"{DRY_RUN}*"))
        for path in dead:
            remove_leftover(path)
        if keep:
            durable.remove(data_dir.progress)
            look_once_more(data_dir)
        yield dead


@contextmanager
def progress_for_others(data_dir: DataDir, listener: Listener) -> Iterator[Listener]:
    """Yield a listener that also writes the progress to a file, at most once a second; the caller holds the lock."""
    latest = time.monotonic()

    def show(event: Progress) -> None:
        nonlocal latest
        listener(event)
        now = time.monotonic()
        if now >= latest + 1:
            latest = now
            with suppress(StorageIOError):  # nothing depends on it
                durable.replace(data_dir.progress, [json.dumps(event._asdict()).encode()], sync=False)

    try:
        yield show
    finally:
        with suppress(StorageIOError):
            durable.remove(data_dir.progress)


def progress_of_other(data_dir: DataDir) -> Progress | None:
    """Return how far the running migrator is; None if none is at work, or only since a moment ago."""
    try:
        found = Progress(**json.loads(data_dir.progress.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return found if lock_holder(data_dir) else None  # a killed one leaves the file


@contextmanager
def file_locked(data_dir: DataDir, target: Path, timeout: float = LOCK_TIMEOUT) -> Iterator[None]:
    """Be the only writer of a workspace's file; other files are not locked.

    The app itself takes no lock.

    :param timeout: seconds to wait for another program
    :raises ConnectionFailed: another program still holds the lock
    """
    if target.parent != data_dir.sessions:
        yield
        return
    lock = data_dir.locks / f"{target.stem}.lock"
    durable.make_private_folder(lock.parent)
    with ExitStack() as stack:
        with os_errors("lock", lock):
            is_held = stack.enter_context(locked(lock, timeout))
        if not is_held:
            raise ConnectionFailed(
                f"Another program has been changing {target} for {timeout:g} seconds: {_holder_of(lock)}.",
                code="workspace.locked",
                hint="Nothing was changed. Try again in a moment, or close the other program.",
            )
        yield


def look_once_more(data_dir: DataDir) -> None:
    """Look at the files that were replaced while a program may have had them open; the caller holds the lock."""

    @contextmanager
    def lock(name: str) -> Iterator[bool]:
        with ExitStack() as stack:
            try:
                stack.enter_context(file_locked(data_dir, data_dir.sessions / name, timeout=0))
            except MigratorError:
                yield False  # a store is replacing the file now
                return
            yield True

    found: list[Path] = []
    for look in (partial(look_at_replaced, data_dir.sessions, lock), partial(look_at_replaced, data_dir.root)):
        with suppress(StorageIOError):  # the command itself says that the folder cannot be read
            found += look()
    for kept in found:
        import logging  # slow to load, and hardly ever needed

        logging.getLogger("migrator").warning(
            "Another program changed a file while it was replaced; its version is kept: %s", kept
        )


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
    return _holder_of(data_dir.lock)


def _holder_of(lock: Path) -> str:
    named = named_holder(lock)
    if named is not None:
        process, _, host = named
        return f"process {process} on {host}, named in {lock}{HOLDER}"
    found = [held.process for held in locks_on(lock) if held.kind == "FLOCK" and held.process]
    return described(found[0]) if found else "another process"


def _how_to_free(lock: Path) -> str:
    """Return what to do about a lock without the system's help, whose process may have ended on another host."""
    named = named_holder(lock)
    if named is None:
        return ""
    return f" If the process {named[0]} does not run on {named[2]} any more, remove {lock}{HOLDER}."


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
