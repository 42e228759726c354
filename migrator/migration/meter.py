"""Progress over all files, out of what is done within each."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from migrator.migration.discover import Source
from migrator.migration.report import Listener, Progress

if TYPE_CHECKING:
    from migrator.migration.load import LoadedSource

_STEP = 1 << 18  # bytes between two events; a listener need not be fast


class Meter:
    """The progress of one phase.

    :param total: bytes of the phase
    """

    def __init__(self, listener: Listener, phase: str, total: int) -> None:
        self._listener, self._phase, self._total = listener, phase, total
        self._finished = self._within = self._told = self._sessions = 0
        self._source = ""

    def of(self, source: Source) -> Callable[[int], None]:
        """What to call with the number of bytes that are done of one file, after each session."""
        self._source = source.name

        def advance(offset: int) -> None:
            self._sessions += 1
            self._within = offset
            self._tell()

        return advance

    def add(self, loaded: LoadedSource, size: int) -> None:
        """One more session of a file is done, of so many bytes."""
        self._source = loaded.source.name
        self._sessions += 1
        self._finished += size
        self._tell()

    def finish(self, size: int) -> None:
        """A file of so many bytes is done."""
        self._finished += size
        self._within = 0
        self._told = 0
        self._tell()

    def complete(self) -> None:
        """Say that the phase is done; what was read back need not be as long as the files were."""
        self._listener(Progress(self._phase, self._source, self._total, self._total, self._sessions))

    def _tell(self) -> None:
        done = self._finished + self._within
        if done - self._told >= _STEP or not self._told:
            self._told = done
            self._listener(Progress(self._phase, self._source, min(done, self._total), self._total, self._sessions))
