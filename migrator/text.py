"""Formats text for people: stored text without harmful characters, and numbers with their units."""

from __future__ import annotations

import json
import unicodedata
from contextlib import suppress
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


def size(count: float) -> str:
    """Format a number of bytes: ``1 byte``, ``1.5 MB``."""
    if count < 1000:
        return counted(round(count), "byte")
    for unit in ("kB", "MB", "GB"):
        count /= 1000
        if count < 1000:
            return f"{count:,.1f} {unit}"
    return f"{count / 1000:,.1f} TB"


def duration(milliseconds: int) -> str:
    """Format a duration: 250 ms, 12.3 s, 2 min 5 s."""
    if milliseconds < 1000:
        return f"{milliseconds} ms"
    if milliseconds < 60_000:
        return f"{milliseconds / 1000:.1f} s"
    return f"{milliseconds // 60_000} min {milliseconds % 60_000 // 1000} s"


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
