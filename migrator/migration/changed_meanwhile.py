"""Files that somebody wrote to after they were copied: the next run merges what is new in them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from migrator.migration.discover import Source
from migrator.migration.second_process import SecondProcess, Seen

_MANY = 1000  # files, to look at which takes longer than to ask the second process


@dataclass(frozen=True)
class LookJob:
    """Files to look at: place, size and time of change of each, as they were."""

    files: Sequence[tuple[str, int, int]]

    def run(self, seen: Seen) -> list[str]:
        """The places of those that are otherwise now."""
        del seen  # it shows no progress
        return [place for place, size, mtime_ns in self.files if _changed(place, size, mtime_ns)]


def _changed(place: str, size: int, mtime_ns: int) -> bool:
    try:
        now = os.stat(place)
    except OSError:
        return False  # gone: its sessions are in the database and in the backup
    return now.st_size != size or now.st_mtime_ns != mtime_ns


class ChangedMeanwhile:
    """A last look at files that were migrated, by a second process, if there is one, beside what this one does.

    :param second: helps, if it is there
    """

    def __init__(self, sources: Iterable[Source], second: SecondProcess | None) -> None:
        self._second = second
        self._job = LookJob([(source.place, source.size, source.mtime_ns) for source in sources])
        self._ticket = second.give(self._job) if second is not None and len(self._job.files) >= _MANY else None

    def places(self) -> list[str]:
        """Those that were written to."""
        found: list[str] | None = None
        if self._second is not None and self._ticket is not None:
            found = self._second.result(self._ticket)
        return self._job.run(lambda _name, _size: None) if found is None else found
