"""Locks of files: taking one, and which processes have one or have a file open, where the system tells (Linux)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from migrator.errors import StorageIOError
from migrator.files import durable

PROC = Path("/proc")
_POLL = 0.01  # seconds between two attempts: what needs a lock and waits for it takes a few milliseconds


@contextmanager
def locked(path: Path, timeout: float = 0, *, temporary: bool = False) -> Iterator[bool]:
    """Hold the lock of a file within the block; it ends with the process, however that ends.

    :param timeout: seconds to wait for another process
    :param temporary: remove the file afterwards
    :returns: False where another one still has it
    :raises OSError: the file can't be made
    """
    from filelock import FileLock, Timeout  # takes long to load, and an idle start needs none

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
            with suppress(StorageIOError):  # where an open file can't be removed, letting go of the lock removes it
                durable.remove(path)
        lock.release()


class HeldLock(NamedTuple):
    """One lock on a file.

    :ivar kind: ``FLOCK``, of a whole file, or ``POSIX``, of bytes
    :ivar process: the one that has it; None where the system does not tell
    :ivar first: the first of the bytes; ``last`` is None for a lock to the end
    """

    kind: str
    writing: bool
    process: int | None
    first: int
    last: int | None

    def covers(self, byte: int) -> bool:
        return self.first <= byte and (self.last is None or byte <= self.last)


def locks_on(path: Path) -> list[HeldLock]:
    """The locks that anybody has on a file."""
    try:
        found = path.stat()
        lines = (PROC / "locks").read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError):
        return []
    device = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}"
    locks = []
    for line in lines:  # 1: POSIX  ADVISORY  WRITE 12345 08:01:1234567 120 EOF; with an arrow, one that waits
        fields = line.split()
        # Some file systems give the lock's file another device than the file itself: the inode alone decides there.
        if len(fields) < 8 or fields[1] == "->" or not fields[5].endswith(f":{found.st_ino}"):
            continue
        process = int(fields[4])
        last = None if fields[7] == "EOF" else int(fields[7])
        lock = HeldLock(fields[1], fields[3] == "WRITE", process if process > 0 else None, int(fields[6]), last)
        locks.append((fields[5].startswith(device), lock))
    on_device = [lock for same, lock in locks if same]
    return on_device or [lock for _, lock in locks]


def openers(path: Path) -> list[int]:
    """The processes that have a file open, as far as this user may look, without our own."""
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
        return False  # somebody else's, or gone
    for descriptor in descriptors:
        with suppress(OSError):
            if os.path.samestat(os.stat(folder / descriptor), found):
                return True
    return False


def described(process: int) -> str:
    """A process for people: its number and, where it can be told, its name."""
    try:
        name = (PROC / str(process) / "comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        name = ""
    return f"process {process} ({name})" if name else f"process {process}"
