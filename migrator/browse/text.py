"""Stored texts as parts of a page: chats and the output of terminals, readable, and doing nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable

from markupsafe import Markup, escape

from migrator.text import block

# What a terminal takes for a command: a colour, a place, a title. It is shown small, for it is not what was said.
_CONTROL = re.compile(r"(\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\^_])|\x9b[0-?]*[ -/]*[@-~])")
_GLIMPSE = 600
_LABEL = 90
LONGEST = 1_000_000


def line(text: str) -> Markup:
    """The beginning of a text, in one line."""
    first = " ".join(text[: 4 * _LABEL].split())
    return escape(block(first if len(first) <= _LABEL else first[: _LABEL - 1] + "…"))


def glimpse(text: str) -> Markup:
    """What a cell of a table shows of a text."""
    if len(text) <= _LABEL and text.isprintable():
        return escape(text)
    return _pre(text[:_GLIMPSE], len(text) - _GLIMPSE)


def whole(text: str, most: int = LONGEST) -> Markup:
    """A text as a page of its own shows it: up to so many characters."""
    return _pre(text[:most], len(text) - most)


def together(texts: Iterable[str | None], most: int) -> list[Markup]:
    """Several texts on one page: whole, until that would make a page that no browser shows; then glimpses."""
    made = []
    for text in (text or "" for text in texts):
        made.append(whole(text, max(_GLIMPSE, min(LONGEST, most))))
        most -= len(text)
    return made


def _pre(text: str, left: int) -> Markup:
    pieces = _CONTROL.split(text)  # every second one is what was split at
    kind = "stored terminal" if len(pieces) > 1 else "stored"
    parts = [
        Markup('<span class="control">{}</span>').format(block(piece)) if number % 2 else escape(block(piece))
        for number, piece in enumerate(pieces)
    ]
    more = Markup('<span class="more">… {} more characters</span>').format(f"{left:,}") if left > 0 else Markup()
    return Markup('<pre class="{}" dir="auto">{}{}</pre>').format(kind, Markup().join(parts), more)
