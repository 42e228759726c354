"""Progress over all files, out of what is done within each."""

from __future__ import annotations

from migrator.migration.progress import Listener, Progress, ignore_progress

_STEP = 1 << 18  # bytes between two events of one file; a listener need not be fast


class Meter:
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
        self._tell(source)

    def add(self, source: str, size: int, sessions: int = 1) -> None:
        """One more session of a file is done, or several, of so many bytes."""
        self._done += size
        self._sessions += sessions
        if source != self._source or self._done - self._told >= _STEP:
            self._tell(source)

    def complete(self) -> None:
        """Say that the phase is done."""
        self._listener(Progress(self._phase, self._source or "", self._total, self._total, self._sessions))

    def _tell(self, source: str) -> None:
        self._source, self._told = source, self._done
        if self._listener is ignore_progress:
            return
        done = min(self._done, self._total)  # what is read back need not be as long as the files are
        self._listener(Progress(self._phase, source, done, self._total, self._sessions))
