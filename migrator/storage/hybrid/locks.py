"""When two stores may be written together, and when the second one is left alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from migrator.files import durable

_FIRST_REST, _LONGEST_REST = 1.0, 60.0  # seconds


class Turns:
    """One writer at a time per workspace, across threads and processes, so that both stores see one order."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._guard = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}

    @contextmanager
    def take(self, name: str, timeout: float) -> Iterator[bool]:
        """Whether it is the caller's turn now, after waiting so many seconds for it."""
        from filelock import FileLock  # only a trial pays for its loading

        with self._guard:
            lock = self._locks.setdefault(name, threading.Lock())
        if not lock.acquire(timeout=timeout):
            yield False
            return
        try:
            durable.make_private_folder(self._folder)
            file_lock = FileLock(self._folder / f"{name}.hybrid.lock", timeout=timeout, mode=0o600, poll_interval=0.01)
            try:
                file_lock.acquire()
            except OSError:  # a timeout is one
                yield False
                return
            try:
                yield True
            finally:
                file_lock.release()
        finally:
            lock.release()


class Rests:
    """How long to leave a thing alone that failed: longer after each failure."""

    def __init__(self) -> None:
        self._until: dict[str, tuple[float, float]] = {}

    def begin(self, name: str) -> None:
        """It failed."""
        _, last = self._until.get(name, (0.0, _FIRST_REST / 2))
        rest = min(last * 2, _LONGEST_REST)
        self._until[name] = (time.monotonic() + rest, rest)

    def end(self, name: str) -> None:
        """It works again."""
        self._until.pop(name, None)

    def resting(self, name: str) -> bool:
        """Whether to leave it alone."""
        return name in self._until and time.monotonic() < self._until[name][0]
