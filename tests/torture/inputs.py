"""Mutated real files by the million: the same as ``tests/unit/documents/test_fuzz.py``, for as long as one likes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tests.support import fuzzing

PART = "fuzz"
INPUTS = 1_000_000
AT_ONCE = 10 * fuzzing.EVOLVED
MIGRATED_OF = 4  # one in so many ranges is also migrated, as files of one data directory


@dataclass(frozen=True)
class Inputs:
    """Some cases, by their numbers."""

    seed: int
    first: int
    count: int

    def __len__(self) -> int:
        return self.count

    def failures(self) -> list[str]:
        found = fuzzing.failures(self.seed, self.first, self.count)
        for first in range(self.first, self.first + self.count, MIGRATED_OF * fuzzing.EVOLVED):
            left = self.first + self.count - first
            found += fuzzing.migration_failures(self.seed, first, min(left, fuzzing.EVOLVED))
        return found


def all_inputs(seed: int, count: int) -> Iterator[Inputs]:
    for first in range(0, count, AT_ONCE):
        yield Inputs(seed, first, min(AT_ONCE, count - first))
