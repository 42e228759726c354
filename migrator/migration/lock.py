"""One migrator at a time in a data directory, across processes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from migrator.data_dir import DataDir
from migrator.errors import MigrationFailed, MigrationLocked
from migrator.files import durable
from migrator.files.lock_owners import described, locks_on
from migrator.migration.leftovers import leftovers, rehearsals, remove_leftover


@contextmanager
def exclusive(data_dir: DataDir, *, keep: bool = True) -> Iterator[list[Path]]:
    """Be the only migrator in the data directory; the lock ends with the process, however that ends.

    Whoever has it knows that nobody else is at work: what dead runs left is removed, and given out.

    :param keep: leave the lock's file behind, as always when something was changed; without it, of what dead runs
        left only that of dry runs goes
    :raises MigrationLocked: there is another one
    """
    from filelock import FileLock, Timeout  # nobody else pays for its loading

    existed = data_dir.output.exists()
    if not existed:
        yield []  # no data directory: nothing to migrate, nothing to protect
        return
    found = data_dir.lock.exists()
    lock = FileLock(data_dir.lock, timeout=0, mode=0o600)
    try:
        lock.acquire()
    except Timeout:
        raise MigrationLocked(
            f"Another migrator is at work in {data_dir.root} (it holds {data_dir.lock.name}).",
            hint="Wait until it is done; 'migrator status' tells how far things are.",
        ) from None
    except OSError as error:
        raise MigrationFailed(
            f"Cannot make the lock file {data_dir.lock}: {error.strerror or error}.",
            hint="Check that you may write in that folder. Nothing was changed.",
        ) from error
    try:
        dead = leftovers(data_dir) if keep else rehearsals(data_dir)
        for path in dead:
            remove_leftover(path)
        yield dead
    finally:
        if not keep and not found:
            durable.remove(data_dir.lock)
        lock.release()


def lock_holder(data_dir: DataDir) -> str | None:
    """Who holds the lock now, in words; None where nobody does. For a moment, nobody else can take it."""
    from filelock import FileLock, Timeout

    if not data_dir.lock.exists():
        return None
    lock = FileLock(data_dir.lock, timeout=0, mode=0o600)
    try:
        with lock:
            return None
    except Timeout:
        found = [lock.process for lock in locks_on(data_dir.lock) if lock.kind == "FLOCK" and lock.process]
        return described(found[0]) if found else "another process"
    except OSError:
        return None  # we may not even open it; whoever takes it for real says so
