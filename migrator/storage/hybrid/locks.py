"""Locks that keep the order of writes the same in both stores, and the backoff after the second one failed."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import filelock  # noqa: F401 - loaded before any thread writes: a child would wait forever for a thread that was loading it

from migrator.files import durable
from migrator.files.locks import locked


class ThreadLocks:
    """Locks by name; a forked child has its own, because no thread would ever release those of its parent."""

    def __init__(self) -> None:
        self._locks: dict[tuple[int, str], threading.Lock] = {}

    def __getitem__(self, name: str) -> threading.Lock:
        return self._locks.setdefault((os.getpid(), name), threading.Lock())


class WriteLocks:
    """Locks for one writer per workspace at a time, across threads and processes: both stores get the same order."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._locks = ThreadLocks()

    @contextmanager
    def hold(self, name: str, timeout: float) -> Iterator[bool]:
        """Yield whether the lock with this name could be acquired within ``timeout`` seconds."""
        lock = self._locks[name]
        if not lock.acquire(timeout=timeout):
            yield False
            return
        try:
            durable.make_private_folder(self._folder)
            with ExitStack() as stack:
                is_held = False
                with suppress(OSError):
                    is_held = stack.enter_context(locked(self._folder / f"{name}.hybrid.lock", timeout))
                yield is_held
        finally:
            lock.release()


class Backoff:
    """The delay before something that failed is tried again: it doubles with each failure, up to a limit."""

    def __init__(self, first: float = 1.0, longest: float = 60.0) -> None:
        self._first, self._longest = first, longest
        self._until: dict[str, tuple[float, float]] = {}

    def failed(self, name: str) -> None:
        """Record a failure."""
        _, last = self._until.get(name, (0.0, self._first / 2))
        delay = min(last * 2, self._longest)
        self._until[name] = (time.monotonic() + delay, delay)

    def succeeded(self, name: str) -> None:
        """Record a success: the delay ends."""
        self._until.pop(name, None)

    def is_waiting(self, name: str) -> bool:
        """Return whether the delay after the last failure is not over yet."""
        until, _ = self._until.get(name, (0.0, 0.0))  # one look: another thread may end the delay meanwhile
        return time.monotonic() < until
