"""Text for people: what is stored may be shown without harm, and numbers with their units."""

from __future__ import annotations

import json
import unicodedata
from contextlib import suppress
from typing import Any

_HARMFUL = ("Cc", "Cf", "Cs", "Zl", "Zp")


def plain(text: str) -> str:
    """A text in one line, with everything that could drive a terminal, or turn its direction, spelled out."""
    if text.isprintable():
        return text
    return "".join(
        character.encode("unicode_escape").decode() if unicodedata.category(character) in _HARMFUL else character
        for character in text
    )


def block(text: str, indent: str = "") -> str:
    """A text of several lines, each as :func:`plain` makes it and indented; tabs stay as they are."""
    return "\n".join(
        indent + "\t".join(plain(cell) for cell in line.split("\t")) for line in text.replace("\r\n", "\n").split("\n")
    )


def counted(number: int, noun: str) -> str:
    """``1 session``, ``2 sessions``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def size(count: float) -> str:
    """Bytes for people: 1.5 MB."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:,.0f} {unit}" if unit == "bytes" else f"{count:,.1f} {unit}"
        count /= 1000
    return f"{count:,.1f} TB"


def duration(milliseconds: int) -> str:
    """A time for people: 250 ms, 12.3 s, 2 min 5 s."""
    if milliseconds < 1000:
        return f"{milliseconds} ms"
    if milliseconds < 60_000:
        return f"{milliseconds / 1000:.1f} s"
    return f"{milliseconds // 60_000} min {milliseconds % 60_000 // 1000} s"


def pretty(value: Any) -> str:
    """A value as text for people, in ASCII, with what UTF-8 can't hold escaped. Fast also where it is long."""
    import msgspec  # whoever does nothing but look does not pay for the loading of these
    import orjson

    with suppress(TypeError):  # a number past 64 bits, or what is no text
        written = orjson.dumps(value, option=orjson.OPT_INDENT_2)
        if written.isascii() and b"\x7f" not in written:  # the one control character that orjson lets through
            return written.decode()
    try:
        text: str = msgspec.json.format(json.dumps(value), indent=2)
    except msgspec.DecodeError:  # half of a surrogate pair: part of a file name that is no text
        return json.dumps(value, indent=2)
    return text
