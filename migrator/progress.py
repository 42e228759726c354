"""How far a run is, for whoever wants to show it."""

import time
from collections.abc import Callable
from typing import NamedTuple


class Progress(NamedTuple):
    """One step of a run, for a progress bar.

    :ivar phase: backup, load, verify or publish; search_index, when everything else is done and the app may start;
        restore where JSON files are written
    :ivar workspace: the file at work
    :ivar done: bytes of the phase that are done
    :ivar total: bytes of the phase
    :ivar sessions: sessions done so far in the phase
    """

    phase: str
    workspace: str
    done: int
    total: int
    sessions: int = 0


Listener = Callable[[Progress], None]
# Called with a file's name, and how many bytes and sessions of it are done.
OnProgress = Callable[[str, int, int], None]


def ignore_progress(_: Progress) -> None:
    """For callers that don't want to know."""


_STEP = 1 << 18  # bytes between two events of one file; a listener need not be fast


class ProgressMeter:
    """The progress of one phase.

    :param total: bytes of the phase
    """

    def __init__(self, listener: Listener, phase: str, total: int) -> None:
        self._listener, self._phase, self._total = listener, phase, total
        self._done = self._told = self._sessions = 0
        self._source: str | None = None

    def expect(self, size: int) -> None:
        """There are so many bytes more to be done than was told."""
        self._total += size

    def begin(self, source: str) -> None:
        """A file is at work."""
        self._source, self._told = source, self._done
        if self._listener is ignore_progress:
            return
        done = min(self._done, self._total)  # what is read back need not be as long as the files are
        self._listener(Progress(self._phase, source, done, self._total, self._sessions))

    def add(self, source: str, size: int, sessions: int = 1) -> None:
        """One more session of a file is done, or several, of so many bytes."""
        self._done += size
        self._sessions += sessions
        if source != self._source or self._done - self._told >= _STEP:
            self.begin(source)

    def complete(self) -> None:
        """Say that the phase is done."""
        self._listener(Progress(self._phase, self._source or "", self._total, self._total, self._sessions))


class StageTimer:
    """Measures the stages of a run, one after the other; it starts when it is made.

    :param listener: told about the progress of each stage
    """

    def __init__(self, listener: Listener = ignore_progress) -> None:
        self._listener = listener
        self._started = time.perf_counter()
        self._stages: dict[str, float] = {}
        self._running: tuple[str, float] | None = None

    def begin(self, name: str, size: int = 0) -> ProgressMeter:
        """Begin a stage of so many bytes, or go on with an earlier one; the stage before it ends."""
        self.end()
        self._running = name, time.perf_counter()
        return ProgressMeter(self._listener, name, size)

    def end(self) -> None:
        """End the running stage, if there is one."""
        if self._running is not None:
            name, started = self._running
            self._stages[name] = self._stages.get(name, 0.0) + (time.perf_counter() - started)
            self._running = None

    def read(self) -> tuple[int, dict[str, int]]:
        """Milliseconds since the start, and by stage in the order in which they ended first; the running one counts."""
        now = time.perf_counter()
        seconds = dict(self._stages)
        if self._running is not None:
            name, started = self._running
            seconds[name] = seconds.get(name, 0.0) + (now - started)
        return round((now - self._started) * 1000), {name: round(value * 1000) for name, value in seconds.items()}
