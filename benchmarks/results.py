"""The results of measurements: medians over the runs, in seconds and bytes, stages in milliseconds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Totals:
    """The totals of a corpus, counted while it is written."""

    files: int = 0
    sessions: int = 0
    instances: int = 0
    messages: int = 0
    bytes: int = 0


@dataclass(frozen=True)
class Figures:
    """The figures of one contender on one corpus."""

    wall_s: float
    wall_s_fastest: float
    cpu_s: float
    peak_rss_bytes: int
    """The largest of all runs."""
    written_bytes: int | None
    database_bytes: int
    rows_missing: int


@dataclass(frozen=True)
class Result:
    """A contender's figures, or why it has none."""

    contender: str
    figures: Figures | None
    stages: dict[str, float]
    """Milliseconds by stage, as the contender itself reports them."""
    failure: str | None


@dataclass(frozen=True)
class SizeResult:
    """The results of all contenders on one corpus."""

    size: str
    runs: int
    totals: Totals
    results: list[Result]

    def of(self, contender: str) -> Figures | None:
        """The figures of a contender; None if it failed or did not take part."""
        return next((result.figures for result in self.results if result.contender == contender), None)


@dataclass(frozen=True)
class Growth:
    """How a contender's time and memory grow with the size of one file."""

    contender: str
    points: list[tuple[int, float, int]]
    """File size in bytes, wall time in seconds, peak memory in bytes."""
    wall_exponent: float
    rss_exponent: float


@dataclass(frozen=True)
class Comparison:
    """A table of another benchmark, ready to be printed.

    :ivar note: what was measured, in a sentence or two
    """

    title: str
    note: str
    headings: list[str]
    rows: list[list[str]]
