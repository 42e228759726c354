"""Files that somebody wrote to after they were copied: the next run merges what is new in them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

from migrator.inventory.source_files import Source
from migrator.worker.process import SecondProcess, Seen
from migrator.worker.sharing import share

_AT_ONCE = 1000  # files


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


def changed_meanwhile(sources: Sequence[Source], second: SecondProcess | None) -> list[str]:
    """The places of those that were written to.

    :param second: helps with very many, if it is there
    """
    files = [(source.place, source.size, source.mtime_ns) for source in sources]
    jobs = [LookJob(files[start : start + _AT_ONCE]) for start in range(0, len(files), _AT_ONCE)]
    return [*chain.from_iterable(share(jobs, second, lambda _name, _size, _sessions: None))]
