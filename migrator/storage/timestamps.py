"""Timestamps of the documents: RFC 3339, as JavaScript and Rust write it."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_RFC3339 = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}:[0-9]{2}:)([0-9]{2})(?:\.([0-9]+))?"
    r"(?:[Zz]|([+-])([01][0-9]|2[0-3]):([0-5][0-9]))"
)
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - what is subtracted from it has had its offset taken off

# Whole seconds since 1970, and the digits of the fraction without trailing zeros: tuples of these sort as instants do,
# however many digits there are.
Instant = tuple[int, str]


def instant(text: str) -> Instant | None:
    """The instant that an RFC 3339 timestamp names, or None for any other text."""
    found = _RFC3339.fullmatch(text)
    if found is None:
        return None
    date, clock, seconds, fraction, sign, hours, minutes = found.groups()
    try:
        # a leap second is the first of the next minute
        moment = datetime.fromisoformat(f"{date}T{clock}{'59' if seconds == '60' else seconds}")
    except ValueError:
        return None
    whole = (moment - _EPOCH) // timedelta(seconds=1) + (seconds == "60")
    if sign:
        offset = int(hours) * 3600 + int(minutes) * 60
        whole += offset if sign == "-" else -offset
    return whole, (fraction or "").rstrip("0")


def instant_of(moment: datetime) -> Instant:
    """The instant of an aware datetime."""
    # Not by astimezone, which fails where an offset leads out of the years 1 to 9999.
    since = moment.replace(tzinfo=None) - _EPOCH - (moment.utcoffset() or timedelta())
    return since // timedelta(seconds=1), f"{since.microseconds:06}".rstrip("0")


def now() -> str:
    """This instant, in UTC."""
    return rfc3339(datetime.now(UTC))


def rfc3339(moment: datetime) -> str:
    """A datetime as chrono's ``to_rfc3339`` writes it: no fraction, or three digits of it, or six."""
    if moment.microsecond == 0:
        return moment.isoformat(timespec="seconds")
    return moment.isoformat(timespec="microseconds" if moment.microsecond % 1000 else "milliseconds")
