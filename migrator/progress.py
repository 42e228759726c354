"""Reports the progress of a run and measures its stages."""

import time
from collections.abc import Callable
from typing import NamedTuple


class Progress(NamedTuple):
    """One progress event of a run, for a progress bar.

    :ivar phase: ``backup``, ``load``, ``verify`` or ``publish``; ``search_index`` after everything else, when the app
        may already start; ``restore`` when JSON files are written
    :ivar workspace: the current file
    :ivar done: the bytes of the phase that are done
    :ivar total: all bytes of the phase
    :ivar sessions: the sessions of the phase that are done
    """

    phase: str
    workspace: str
    done: int
    total: int
    sessions: int = 0


Listener = Callable[[Progress], None]
# Called with a file's name, and how many more bytes and sessions of it are done.
OnProgress = Callable[[str, int, int], None]


def ignore_progress(_: Progress) -> None:
    """Ignore progress: a listener for callers that do not show it."""


_STEP = 1 << 18  # bytes between two events of one file, because a listener may be slow


class ProgressMeter:
    """Counts and reports the progress of one phase.

    :param total: all bytes of the phase
    """

    def __init__(self, listener: Listener, phase: str, total: int) -> None:
        self._listener, self._phase, self._total = listener, phase, total
        self._done = self._reported = self._sessions = 0
        self._source: str | None = None

    def expect(self, size: int) -> None:
        """Add bytes to the total of the phase."""
        self._total += size

    def begin(self, source: str) -> None:
        """Report a file as the current one."""
        self._source, self._reported = source, self._done
        if self._listener is ignore_progress:
            return
        done = min(self._done, self._total)  # what is read back may be longer than the files
        self._listener(Progress(self._phase, source, done, self._total, self._sessions))

    def add(self, source: str, size: int, sessions: int = 1) -> None:
        """Count sessions of a file, of ``size`` bytes together, as done."""
        self._done += size
        self._sessions += sessions
        if source != self._source or self._done - self._reported >= _STEP:
            self.begin(source)

    def complete(self) -> None:
        """Report the phase as done."""
        self._listener(Progress(self._phase, self._source or "", self._total, self._total, self._sessions))


class StageTimer:
    """Measures the stages of a run, one after another, from the moment it is created.

    :param listener: receives the progress of each stage
    """

    def __init__(self, listener: Listener = ignore_progress) -> None:
        self._listener = listener
        self._started = time.perf_counter()
        self._stages: dict[str, float] = {}
        self._running: tuple[str, float] | None = None

    def begin(self, name: str, size: int = 0) -> ProgressMeter:
        """Begin a stage of ``size`` bytes, or continue an earlier one; the running stage ends."""
        self.end()
        self._running = name, time.perf_counter()
        return ProgressMeter(self._listener, name, size)

    def end(self) -> None:
        """End the running stage, if any."""
        if self._running is not None:
            name, started = self._running
            self._stages[name] = self._stages.get(name, 0.0) + (time.perf_counter() - started)
            self._running = None

    def read(self) -> tuple[int, dict[str, int]]:
        """Return the milliseconds since the start, and those of each stage, including the running one."""
        now = time.perf_counter()
        seconds = dict(self._stages)
        if self._running is not None:
            name, started = self._running
            seconds[name] = seconds.get(name, 0.0) + (now - started)
        return round((now - self._started) * 1000), {name: round(value * 1000) for name, value in seconds.items()}
