"""Reads dates as people type them. A day is one of this machine's zone."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta

from migrator.storage.timestamps import instant

EXPECTED = "a date such as 2025-01-13, 7d, 2w, today or yesterday, or a time such as 2025-01-13T10:00:00Z"
_AGO = re.compile(r"([0-9]{1,5})([dw])")
_NAMED = {"today": 0, "yesterday": 1}
_DAYS = {"d": 1, "w": 7}


def beginning_of(text: str, today: date | None = None) -> str:
    """Return the time at which a day begins, as RFC 3339; a time stays as it is.

    :raises ValueError: the text is neither
    """
    day = _day(text, today)
    return text if day is None else _midnight(day).isoformat()


def end_of(text: str, today: date | None = None) -> str:
    """Return the last time of a day, as RFC 3339; a time stays as it is.

    :raises ValueError: the text is neither
    """
    day = _day(text, today)
    if day is None:
        return text
    # Any number of digits may follow the seconds in a document.
    last = _midnight(day + timedelta(days=1)) - timedelta(seconds=1)
    return f"{last.isoformat()[:19]}.{'9' * 12}Z"


def _day(text: str, today: date | None) -> date | None:
    """Return the day that a text names; None if it is a time."""
    text = text.strip().lower()
    ago = _AGO.fullmatch(text)
    if ago is not None or text in _NAMED:
        days = _NAMED[text] if ago is None else int(ago[1]) * _DAYS[ago[2]]
        return (today or date.today()) - timedelta(days=days)  # noqa: DTZ011 - the user's day
    return date.fromisoformat(text) if instant(text.upper()) is None else None


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day).astimezone(UTC)
