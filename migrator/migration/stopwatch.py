"""How long a run has taken so far, as a whole and by stage."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Stopwatch:
    """Starts when it is made."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self._stages: dict[str, float] = {}
        self._running: tuple[str, float] | None = None

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the time of the block to a stage, beside what it has already; not within another stage."""
        started = time.perf_counter()
        self._running = name, started
        yield
        self._running = None
        self._stages[name] = self._stages.get(name, 0.0) + (time.perf_counter() - started)

    @property
    def stages(self) -> dict[str, int]:
        """Milliseconds by stage, in the order in which they ended first; the one that is running counts so far."""
        seconds = dict(self._stages)
        if self._running is not None:
            name, started = self._running
            seconds[name] = seconds.get(name, 0.0) + (time.perf_counter() - started)
        return {name: round(value * 1000) for name, value in seconds.items()}

    @property
    def elapsed(self) -> int:
        """Milliseconds since the start."""
        return round((time.perf_counter() - self._started) * 1000)
