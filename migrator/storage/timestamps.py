"""Reads, compares and writes the documents' timestamps: RFC 3339 as JavaScript and Rust write it."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_RFC3339 = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}:[0-9]{2}:)([0-9]{2})(?:\.([0-9]+))?"
    r"(?:[Zz]|([+-])([01][0-9]|2[0-3]):([0-5][0-9]))"
)
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - compared with datetimes whose offset was removed

# Whole seconds since 1970, and the digits of the fraction without trailing zeros. Such tuples sort in time order,
# however many digits there are.
Instant = tuple[int, str]


def instant(text: str) -> Instant | None:
    """Return the instant of an RFC 3339 timestamp, or None for any other text."""
    found = _RFC3339.fullmatch(text)
    if found is None:
        return None
    date, clock, seconds, fraction, sign, hours, minutes = found.groups()
    try:
        # a leap second counts as the first second of the next minute
        moment = datetime.fromisoformat(f"{date}T{clock}{'59' if seconds == '60' else seconds}")
    except ValueError:
        return None
    whole = (moment - _EPOCH) // timedelta(seconds=1) + (seconds == "60")
    if sign:
        offset = int(hours) * 3600 + int(minutes) * 60
        whole += offset if sign == "-" else -offset
    return whole, (fraction or "").rstrip("0")


def instant_of(moment: datetime) -> Instant:
    """Return the instant of an aware datetime."""
    # astimezone would fail if the result is outside of the years 1 to 9999.
    since = moment.replace(tzinfo=None) - _EPOCH - (moment.utcoffset() or timedelta())
    return since // timedelta(seconds=1), f"{since.microseconds:06}".rstrip("0")


def now() -> str:
    """Return the current time as RFC 3339, in UTC."""
    return rfc3339(datetime.now(UTC))


def rfc3339(moment: datetime) -> str:
    """Return a datetime as chrono's ``to_rfc3339`` writes it: with no fraction, or one of three or six digits."""
    if moment.microsecond == 0:
        return moment.isoformat(timespec="seconds")
    return moment.isoformat(timespec="microseconds" if moment.microsecond % 1000 else "milliseconds")


def of_sqlite(text: str) -> str:
    """Return what SQLite's ``datetime('now')`` wrote as RFC 3339; any other text as it is."""
    converted = f"{text.replace(' ', 'T', 1)}+00:00"
    return converted if " " in text and instant(converted) else text
