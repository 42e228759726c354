"""The workspace paths that files prove, by this process or, of many small files, by a second one as well."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

from migrator.migration.discover import Source, prove
from migrator.migration.second_process import Helper, Seen
from migrator.migration.shared_work import share

_AT_ONCE = 500  # files


@dataclass(frozen=True)
class ProveJob:
    """Files to be read as far as it takes to tell their workspaces' paths."""

    sources: Sequence[Source]

    def run(self, seen: Seen) -> list[str | None]:
        """The path that each proves, or None."""
        del seen  # finding what there is shows no progress
        return [prove(source) for source in self.sources]


def prove_all(sources: Sequence[Source], helper: Helper) -> list[str | None]:
    """The workspace path that each file proves, or None."""
    if len(sources) < 2 * _AT_ONCE:
        return [prove(source) for source in sources]
    jobs = [ProveJob(sources[start : start + _AT_ONCE]) for start in range(0, len(sources), _AT_ONCE)]
    second = helper(sum(source.size for source in sources), len(sources))
    return [*chain.from_iterable(share(jobs, second, lambda _name, _size, _sessions: None))]
