"""Finds the terms of a search in a text and makes excerpts, with the places of the terms marked.

Words are found by an FTS5 table in memory, with the tokenizer of the index; what is in scripts without spaces, by
comparison. :mod:`migrator.search.query` has the rule.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from typing import NamedTuple

from migrator.errors import ConnectionFailed
from migrator.search import queries as search_queries
from migrator.search.query import SearchQuery, fold, is_mixed, parts_of_searched, searched_text, words_of

_SPACE = re.compile(r"\s+")
_BEFORE, _WIDTH = 60, 200  # characters of an excerpt: before the first place, and in total


class Excerpt(NamedTuple):
    """A part of a text.

    :ivar text: in one line, with white space reduced to single spaces and … where the text continues
    :ivar marks: begin and end of each place in ``text`` where a term was found
    """

    text: str
    marks: tuple[tuple[int, int], ...]


NO_EXCERPT = Excerpt("", ())


def require_full_text(connection: sqlite3.Connection) -> None:
    """Refuse an SQLite without full-text search.

    :raises ConnectionFailed: the SQLite of this Python has no FTS5
    """
    if not connection.execute(search_queries.HAS_FTS5).fetchone()[0]:
        raise ConnectionFailed(
            f"The SQLite {sqlite3.sqlite_version} of this Python has no FTS5, which full-text search needs.",
            code="search_index.no_fts5",
            hint="Use another Python: nearly all of them have it.",
        )


class Matcher(AbstractContextManager["Matcher"]):
    """Finds the terms of a query in texts. A context manager, for use in one thread."""

    def __init__(self, query: SearchQuery) -> None:
        self._query = query
        self._words = query.word_match
        # The words of all terms, without accents: an ASCII text without one of them cannot match.
        self._needed = [word for term in query.terms for word in words_of(term.text)]
        self._opened: sqlite3.Connection | None = None

    def __exit__(self, *_: object) -> None:
        if self._opened is not None:
            self._opened.close()

    @cached_property
    def _patterns(self) -> list[re.Pattern[str]]:
        """Of all terms, compiled when there is a text to search: each takes up to a millisecond."""
        return [term.pattern for term in self._query.terms]

    @cached_property
    def _unspaced(self) -> list[re.Pattern[str]]:
        return [term.pattern for term in self._query.unspaced]

    @property
    def _memory(self) -> sqlite3.Connection:
        """The database that is asked about words, created when it is first needed."""
        if self._opened is None:
            self._opened = sqlite3.connect(":memory:", isolation_level=None)
            require_full_text(self._opened)
            self._opened.execute(search_queries.CREATE_EXCERPTS)
        return self._opened

    def excerpts(self, texts: Sequence[str], *, most: int | None = None, sure: bool = False) -> list[Excerpt | None]:
        """Return an excerpt of each text that contains all terms, and None for each other text.

        :param most: how many excerpts are wanted; further texts that contain all terms get NO_EXCERPT
        :param sure: all the texts are known to contain all terms
        :raises ConnectionFailed: the SQLite of this Python has no FTS5
        """
        searched = [searched_text(text) for text in texts]
        found: list[Excerpt | None] = [None] * len(texts)
        if texts and self._patterns:
            for count, number in enumerate(range(len(texts)) if sure else self._matching(searched)):
                found[number] = NO_EXCERPT if most is not None and count >= most else self._excerpt(searched[number])
        return found

    def _matching(self, texts: Sequence[str]) -> list[int]:
        """Return which of the texts contain all terms."""
        found, asked = [], []
        for number, text in enumerate(texts):
            mixed = is_mixed(text)
            if mixed if self._unspaced else self._may_have_words(text):
                folded = fold(text) if self._unspaced else ""
                if all(pattern.search(folded) for pattern in self._unspaced):
                    found.append(number)
                    asked.append((number, parts_of_searched(text)[0] if mixed else text))
        if self._words is None:
            return found
        self._memory.execute("BEGIN")
        self._memory.executemany(search_queries.INSERT_EXCERPT, asked)
        rows = self._memory.execute(search_queries.MATCHING, (self._words,)).fetchall()
        self._memory.execute("ROLLBACK")
        return [number for (number,) in rows]

    def _may_have_words(self, text: str) -> bool:
        """Return whether FTS5 has to be asked: most ASCII texts can be ruled out without it."""
        lowered = text.lower() if text.isascii() else None
        return lowered is None or all(word in lowered for word in self._needed)

    def _excerpt(self, text: str) -> Excerpt:
        folded = fold(text)
        starts = [place.start() for pattern in self._patterns if (place := pattern.search(folded))]
        first = min(starts, default=0)
        begin, end = max(0, first - _BEFORE), min(first + _WIDTH, len(text))
        found = [place.span() for pattern in self._patterns for place in pattern.finditer(folded, begin, end)]
        return _window(text, begin, end, _joined(found))


def _joined(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return spans in order, those that overlap or touch as one."""
    joined: list[tuple[int, int]] = []
    for begin, end in sorted(spans):
        if joined and begin <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((begin, end))
    return joined


def _window(text: str, begin: int, end: int, spans: list[tuple[int, int]]) -> Excerpt:
    """Return the part of a text from ``begin`` to ``end``, with the places in it."""
    before = "…" if begin else ""
    shift = len(before) - begin
    window = before + text[begin:end] + ("…" if end < len(text) else "")
    return _in_one_line(window, [(first + shift, last + shift) for first, last in spans])


def _in_one_line(text: str, spans: list[tuple[int, int]]) -> Excerpt:
    """Reduce white space to single spaces, and move the places accordingly."""
    even = text.replace("\n", " ")
    if even.isprintable() and "  " not in even and even == even.strip(" "):  # no other white space
        return Excerpt(even, tuple(spans))
    line, marks, at = "", list[tuple[int, int]](), 0
    for begin, end in [*spans, (len(text), len(text))]:
        line = _added(line, text[at:begin])
        first, line = len(line), _added(line, text[begin:end])
        if first < len(line):
            marks.append((first, len(line)))
        at = end
    return Excerpt(line.rstrip(" "), tuple(marks))


def _added(line: str, text: str) -> str:
    text = _SPACE.sub(" ", text)
    return line + (text[1:] if text.startswith(" ") and line[-1:] in ("", " ") else text)
