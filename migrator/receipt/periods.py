"""Sessions by when they were made: in days, months or years, as many as can be looked at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

_MOST = 36  # periods that are still told apart in a plot
_LENGTHS = (10, 7, 4)  # of RFC 3339: up to the day, the month, the year
UNDATED = "undated"


@dataclass(frozen=True)
class Period:
    """How many sessions of one type and status were made in a day, a month or a year.

    :ivar start: ``2025-01-13``, ``2025-01`` or ``2025``; ``undated`` where the app wrote no date
    """

    start: str
    type: str
    status: str
    sessions: int


def periods_of(days: Iterable[tuple[str, str, str, int]]) -> tuple[Period, ...]:
    """Join days to periods, the longest that are needed.

    :param days: the day, type, status and number of sessions
    """
    rows = [(day if _is_date(day) else UNDATED, kind, status, count) for day, kind, status, count in days]
    length = next((size for size in _LENGTHS if len({row[0][:size] for row in rows}) <= _MOST), _LENGTHS[-1])
    joined: Counter[tuple[str, str, str]] = Counter()
    for day, kind, status, count in rows:
        joined[day if day == UNDATED else day[:length], kind, status] += count
    return tuple(Period(*key, count) for key, count in sorted(joined.items()))


def _is_date(day: str) -> bool:
    return len(day) == 10 and day[4] == day[7] == "-" and (day[:4] + day[5:7] + day[8:]).isdecimal() and day.isascii()
