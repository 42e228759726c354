"""Takes file locks; on Linux, also finds the processes that hold a lock or have a file open.

Some file systems have no locks. There, a file next to the lock file is the lock: it is created exclusively, and names
its process and host. It stays when the process is killed; the next one on the same host notices that, and removes it.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from migrator.errors import StorageIOError
from migrator.files import durable

PROC = Path("/proc")
HOLDER = ".holder"  # suffix of the file that is the lock where there are no locks
_NO_LOCKS = frozenset({errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP})
_UNFINISHED = 10.0  # seconds after which a file of ours that is complete in milliseconds was left by a killed process
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

    is_new, has_locks = temporary and not os.path.lexists(path), True
    try:
        durable.make_lock_file(path)
        lock = FileLock(path, timeout=timeout, mode=0o600, poll_interval=_POLL, **_settings(FileLock))
        lock.acquire()
    except Timeout:
        yield False
        return
    except BaseException as error:
        if not _means_no_locks(error):
            if is_new:
                with suppress(StorageIOError):
                    durable.remove(path)
            raise
        has_locks = False
    if not has_locks:
        with _held_by_name(path, timeout) as is_held:
            yield is_held
        return
    try:
        yield True
    finally:
        if temporary:
            with suppress(StorageIOError):  # where an open file cannot be removed, releasing the lock removes it
                durable.remove(path)
        lock.release()


def _means_no_locks(error: BaseException) -> bool:
    """Whether the file system has no locks, by the error of taking one."""
    return isinstance(error, NotImplementedError) or (isinstance(error, OSError) and error.errno in _NO_LOCKS)


def _settings(lock: Any) -> dict[str, Any]:
    """Return the settings against the package's own replacement for locks: it depends on the version."""
    return {"fallback_to_soft": False} if hasattr(lock, "fallback_to_soft") else {}


@contextmanager
def _held_by_name(path: Path, timeout: float) -> Iterator[bool]:
    """Hold a lock on a file system that has none."""
    durable.report_once(f"The file system of {path} has no locks: files that name the process stand for them.")
    own = f"{os.getpid()} {_started(os.getpid())} {_host()}\n"
    holder = path.with_name(path.name + HOLDER)
    deadline = time.monotonic() + timeout
    while not _created(holder, own):
        if _is_stale(holder):
            _remove_stale(holder)
        elif time.monotonic() >= deadline:
            yield False
            return
        else:
            time.sleep(_POLL)
    try:
        yield True
    finally:
        durable.remove(holder)


def _created(path: Path, content: str) -> bool:
    try:
        durable.write_new(path, [content.encode()], sync=False)
    except StorageIOError as error:
        if error.code != "file.exists":
            raise
        return False
    return True


def named_holder(path: Path) -> tuple[int, str, str] | None:
    """Return the process, its start and the host that hold a lock by name; None if none does."""
    with suppress(OSError, ValueError):
        process, started, host = path.with_name(path.name + HOLDER).read_text(encoding="utf-8").split()
        return int(process), started, host
    return None


def _is_stale(holder: Path) -> bool:
    """Return whether the process that created the file has ended; always False for one of another host."""
    found = named_holder(holder.with_name(holder.name.removesuffix(HOLDER)))
    if found is None:
        return _is_unfinished(holder)
    process, started, host = found
    if host != _host() or os.name == "nt":
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False  # it belongs to another user
    return _started(process) != started


def _is_unfinished(path: Path) -> bool:
    with suppress(OSError):
        return time.time() - path.stat().st_mtime > _UNFINISHED
    return False


def _remove_stale(holder: Path) -> None:
    """Remove the file of a process that has ended; one process at a time, so that none removes a new one."""
    removing = holder.with_name(holder.name + durable.TEMPORARY_SUFFIX)
    if _created(removing, ""):
        try:
            if _is_stale(holder):
                durable.remove(holder)
        finally:
            durable.remove(removing)
    elif _is_unfinished(removing):
        durable.remove(removing)


def _host() -> str:
    import socket  # slow to load, and only a file system without locks needs it

    return socket.gethostname()


def _started(process: int) -> str:
    """Return when a process started, in a form that differs from that of a later one with the same number."""
    with suppress(OSError, IndexError):
        return (
            (PROC / str(process) / "stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[19]
        )
    return "-"


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
