"""Formats text for people: stored text without harmful characters, and numbers with their units."""

from __future__ import annotations

import json
import re
import unicodedata
from contextlib import suppress
from datetime import datetime
from typing import Any

_HARMFUL = ("Cc", "Cf", "Cs", "Zl", "Zp")


def plain(text: str) -> str:
    """Escape everything in a text that could control a terminal or change the text direction, for one line."""
    if text.isprintable():
        return text
    return "".join(
        character.encode("unicode_escape").decode() if unicodedata.category(character) in _HARMFUL else character
        for character in text
    )


def block(text: str, indent: str = "") -> str:
    """Escape a text of several lines as :func:`plain` does, and indent each line; tabs are kept."""
    return "\n".join(
        indent + "\t".join(plain(cell) for cell in line.split("\t")) for line in text.replace("\r\n", "\n").split("\n")
    )


def counted(number: int, noun: str) -> str:
    """Format a number with a noun: ``1 session``, ``2 sessions``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


_UNITS = ("bytes", "kB", "MB", "GB", "TB")


def _power(count: float) -> int:
    """Return the index of the unit in which a number of bytes is shown."""
    return next((power for power in range(len(_UNITS) - 1) if count < 1000 ** (power + 1)), len(_UNITS) - 1)


def size(count: float) -> str:
    """Format a number of bytes: ``1 byte``, ``1.5 MB``."""
    power = _power(count)
    return f"{count / 1000**power:,.1f} {_UNITS[power]}" if power else counted(round(count), "byte")


def portion(done: int, total: int) -> str:
    """Format how many bytes are done of how many: ``0.5/1.5 MB``."""
    power = _power(total)
    digits = 1 if power else 0
    return f"{done / 1000**power:,.{digits}f}/{total / 1000**power:,.{digits}f} {_UNITS[power]}"


def duration(milliseconds: int) -> str:
    """Format a duration: 250 ms, 12.3 s, 2 min 5 s."""
    if milliseconds < 1000:
        return f"{milliseconds} ms"
    if milliseconds < 60_000:
        return f"{milliseconds / 1000:.1f} s"
    return f"{milliseconds // 60_000} min {milliseconds % 60_000 // 1000} s"


def to_the_second(time: str) -> str:
    """Remove the fraction of a second from a time, but not its zone."""
    return re.sub(r"\.\d+", "", time, count=1)


def local_time(time: str) -> str:
    """Format a time in the zone of this machine: ``2025-01-13 19:00:00+09:00``; other texts stay as they are."""
    time = to_the_second(time)
    with suppress(ValueError, OverflowError, OSError):  # also a time that this system cannot convert
        moment = datetime.fromisoformat(time)
        return time if moment.tzinfo is None else moment.astimezone().isoformat(" ", "seconds")
    return time


def pretty(value: Any) -> str:
    """Format a JSON value as indented ASCII, with everything else escaped; fast for long values, too."""
    import msgspec  # slow to load; many commands do not need these
    import orjson

    with suppress(TypeError):  # an integer of more than 64 bits, or a string that is not valid Unicode
        written = orjson.dumps(value, option=orjson.OPT_INDENT_2)
        if written.isascii() and b"\x7f" not in written:  # the only control character that orjson does not escape
            return written.decode()
    try:
        text: str = msgspec.json.format(json.dumps(value), indent=2)
    except msgspec.DecodeError:  # half of a surrogate pair, from a file name that is not valid Unicode
        return json.dumps(value, indent=2)
    return text
