"""Fits text to a terminal: the width of characters, lines that wrap at words, columns."""

from __future__ import annotations

import os
import re
import unicodedata
from bisect import bisect_right
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from itertools import accumulate

# Patterns are compiled when they are used: most starts print little.
_STYLING = r"\x1b\[[0-9;]*m"
# A command in quotes is one word, so that it can be copied.
_WORD = r"\s*(?:'migrator [^']*'\S*|\S+)"
# What the further lines of a text stand under: its first word, if a column follows it, is on its own.
_HANG = r" *(?:- |[^ ]+ {2,})?"
_NARROWEST = 20
_ELLIPSIS = "…"


def terminal_size(descriptor: int = 1) -> tuple[int, int]:
    """Return the columns and lines of the terminal; the variables COLUMNS and LINES come first, as for other programs.

    :param descriptor: 1 for standard output, 2 for standard error
    """
    columns, lines = 80, 24
    with suppress(OSError, ValueError):
        columns, lines = os.get_terminal_size(descriptor)
    columns, lines = (
        int(value) if (value := os.environ.get(name, "")).isdecimal() and int(value) else found
        for name, found in (("COLUMNS", columns), ("LINES", lines))
    )
    return max(_NARROWEST, columns), lines


@cache
def _width(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def width_of(text: str) -> int:
    """Return how many columns a text takes; colours and combining characters take none, wide characters two."""
    if "\x1b" in text:
        text = re.sub(_STYLING, "", text)
    return len(text) if text.isascii() else sum(map(_width, text))


def wrapped(text: str, width: int) -> str:
    """Wrap the lines of a text at words; a word that is longer than a line stays whole."""
    return "\n".join(_wrapped(line, width) for line in text.split("\n"))


def _wrapped(line: str, width: int) -> str:
    if len(line) <= width // 2 or width_of(line) <= width:
        return line
    found = re.match(_HANG, re.sub(_STYLING, "", line))
    hang = width_of(found[0]) if found else 0
    lines, current, taken = list[str](), "", 0
    for word in re.findall(_WORD, line):
        wide = width_of(word)
        if current.strip() and taken + wide > width:
            lines.append(current)
            current = " " * (hang if hang <= width // 3 else 0) + word.lstrip()
            taken = width_of(current)
        else:
            current, taken = current + word, taken + wide
    return "\n".join([*lines, current])


def fitted(text: str, width: int, right: bool = False) -> str:
    """Return a text that takes exactly this many columns: cut with an ellipsis, or filled with spaces."""
    wide = width_of(text)
    if wide > width:
        ends = list(accumulate(map(_width, text[:width])))
        text = text[: bisect_right(ends, width - 1)] + _ELLIPSIS
        wide = width_of(text)
    return " " * (width - wide) + text if right else text + " " * (width - wide)


def columns_of(rows: Sequence[Sequence[str]], most: Sequence[int]) -> list[int]:
    """Return the width that each column needs, and at most the one that is given for it."""
    return [min(most[number], max(map(width_of, column))) for number, column in enumerate(zip(*rows, strict=True))]
