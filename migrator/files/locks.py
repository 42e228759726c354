"""Takes file locks; on Linux, also finds the processes that hold a lock or have a file open."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from migrator.errors import StorageIOError
from migrator.files import durable

PROC = Path("/proc")
_POLL = 0.01  # seconds between two attempts; a lock that is waited for is usually held for a few milliseconds


@contextmanager
def locked(path: Path, timeout: float = 0, *, temporary: bool = False) -> Iterator[bool]:
    """Hold a file's lock within the block; the system releases it when the process ends, however it ends.

    :param timeout: seconds to wait for another process
    :param temporary: remove the file afterwards
    :returns: False if another process still holds the lock
    :raises OSError: the file cannot be created
    """
    from filelock import FileLock, Timeout  # slow to load; a start without work needs no lock

    durable.make_lock_file(path)
    lock = FileLock(path, timeout=timeout, mode=0o600, poll_interval=_POLL)
    try:
        lock.acquire()
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        if temporary:
            with suppress(StorageIOError):  # where an open file cannot be removed, releasing the lock removes it
                durable.remove(path)
        lock.release()


class HeldLock(NamedTuple):
    """One lock on a file.

    :ivar kind: ``FLOCK`` for the whole file, or ``POSIX`` for a range of bytes
    :ivar process: the process that holds it; None if the system does not say
    :ivar first: the first byte; ``last`` is None for a lock up to the end
    """

    kind: str
    writing: bool
    process: int | None
    first: int
    last: int | None

    def covers(self, byte: int) -> bool:
        """Whether the lock includes a byte."""
        return self.first <= byte and (self.last is None or byte <= self.last)


def locks_on(path: Path) -> list[HeldLock]:
    """List the locks that any process holds on a file."""
    try:
        found = path.stat()
        lines = (PROC / "locks").read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError):
        return []
    device = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}"
    locks = []
    for line in lines:  # 1: POSIX  ADVISORY  WRITE 12345 08:01:1234567 120 EOF; an arrow marks one that is waiting
        fields = line.split()
        # Some file systems report another device for the lock than for the file: there, only the inode counts.
        if len(fields) < 8 or fields[1] == "->" or not fields[5].endswith(f":{found.st_ino}"):
            continue
        process = int(fields[4])
        last = None if fields[7] == "EOF" else int(fields[7])
        lock = HeldLock(fields[1], fields[3] == "WRITE", process if process > 0 else None, int(fields[6]), last)
        locks.append((fields[5].startswith(device), lock))
    on_device = [lock for same, lock in locks if same]
    return on_device or [lock for _, lock in locks]


def openers(path: Path) -> list[int]:
    """List the other processes that have a file open, as far as this user is allowed to see."""
    try:
        found, names = path.stat(), os.listdir(PROC)
    except OSError:
        return []
    processes = sorted(int(name) for name in names if name.isdecimal())
    return [process for process in processes if process != os.getpid() and _has_open(process, found)]


def _has_open(process: int, found: os.stat_result) -> bool:
    folder = PROC / str(process) / "fd"
    try:
        descriptors = os.listdir(folder)
    except OSError:
        return False  # it belongs to another user, or has ended
    for descriptor in descriptors:
        with suppress(OSError):
            if os.path.samestat(os.stat(folder / descriptor), found):
                return True
    return False


def described(process: int) -> str:
    """Describe a process by its number and, if known, its name."""
    try:
        name = (PROC / str(process) / "comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        name = ""
    return f"process {process} ({name})" if name else f"process {process}"
