"""Finds the terms of a search in a text and makes excerpts, with the places of the terms marked.

Spaced texts are searched by an FTS5 table in memory, with the tokenizer of the index; :mod:`migrator.search.query`
describes the two kinds of texts.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple

from migrator.errors import ConnectionFailed
from migrator.search import queries as search_queries
from migrator.search.query import SearchQuery, fold, is_unspaced, searched_text, words_of

_OPEN, _CLOSE = "\ufdd0", "\ufdd1"  # noncharacters, which no proper text contains
_HARMLESS = str.maketrans({_OPEN: "\ufffd", _CLOSE: "\ufffd"})
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
    """Finds the terms of a query in texts. A context manager, for use in one thread.

    :raises ConnectionFailed: the SQLite of this Python has no FTS5
    """

    def __init__(self, query: SearchQuery) -> None:
        self._terms = [term.folded for term in query.terms]
        self._words = query.word_match
        # The words of all terms, without accents: an ASCII text without one of them cannot match.
        self._needed = [word for term in query.terms for word in words_of(term.text)]
        self._memory = sqlite3.connect(":memory:", isolation_level=None)
        require_full_text(self._memory)
        self._memory.execute(search_queries.CREATE_EXCERPTS)

    def __exit__(self, *_: object) -> None:
        self._memory.close()

    def excerpts(self, texts: Sequence[str], *, most: int | None = None) -> list[Excerpt | None]:
        """Return an excerpt of each text that contains all terms, and None for each other text.

        :param most: how many excerpts are wanted; further texts that contain all terms get NO_EXCERPT
        """
        found: list[Excerpt | None] = [None] * len(texts)
        snippets: dict[int, str] = {}
        unspaced: dict[int, str] = {}
        spaced = []
        for number, text in enumerate(map(searched_text, texts)):
            if is_unspaced(text):
                folded = fold(text)
                if self._terms and all(term in folded for term in self._terms):
                    unspaced[number] = text
            elif self._words is not None:
                # Most ASCII texts can be ruled out without asking FTS5.
                lowered = text.lower() if text.isascii() else None
                if lowered is None or all(word in lowered for word in self._needed):
                    spaced.append((number, text.translate(_HARMLESS)))
        if spaced:
            self._memory.execute("BEGIN")
            self._memory.executemany(search_queries.INSERT_EXCERPT, spaced)
            snippets |= self._memory.execute(search_queries.EXCERPTS, (_OPEN, _CLOSE, self._words))
            self._memory.execute("ROLLBACK")
        for count, number in enumerate(sorted(snippets.keys() | unspaced.keys())):
            if most is not None and count >= most:
                found[number] = NO_EXCERPT
            elif number in unspaced:
                found[number] = self._in_unspaced(unspaced[number])
            else:
                found[number] = _from_snippet(snippets[number])
        return found

    def _in_unspaced(self, text: str) -> Excerpt:
        folded = fold(text)
        first = min(folded.find(term) for term in self._terms)
        begin, end = max(0, first - _BEFORE), first + _WIDTH
        marked = [False] * (min(end, len(text)) - begin)
        for term in self._terms:
            at = folded.find(term, begin, end)
            while at >= 0:
                marked[at - begin : at - begin + len(term)] = [True] * len(term)
                at = folded.find(term, at + 1, end)
        return _window(text, begin, end, marked)


def _from_snippet(snippet: str) -> Excerpt:
    """Make an excerpt from FTS5's snippet, which is limited in words, not in characters: shorten it if necessary."""
    characters, marked, inside = [], [], False
    for character in snippet:
        if character in (_OPEN, _CLOSE):
            inside = character == _OPEN
        else:
            characters.append(character)
            marked.append(inside)
    text = "".join(characters)
    if len(text) <= 2 * _WIDTH:
        return _in_one_line(text, marked)
    begin = max(0, marked.index(True) - _BEFORE) if True in marked else 0
    end = begin + _WIDTH
    return _window(text, begin, end, marked[begin:end])


def _window(text: str, begin: int, end: int, marked: list[bool]) -> Excerpt:
    """Return the part of a text from ``begin`` to ``end``; ``marked`` has a flag for each of its characters."""
    window = ("…" if begin else "") + text[begin:end] + ("…" if end < len(text) else "")
    return _in_one_line(window, [False] * bool(begin) + marked)


def _in_one_line(text: str, marked: list[bool]) -> Excerpt:
    """Reduce white space to single spaces, and turn the flags of the characters into the begin and end of marks."""
    line: list[str] = []
    marks: list[tuple[int, int]] = []
    marked = marked + [False] * (len(text) - len(marked))
    for character, inside in zip(text, marked, strict=False):
        if character.isspace():
            if not line or line[-1] == " ":
                continue
            character = " "  # noqa: PLW2901 - shown instead
        at = len(line)
        line.append(character)
        if inside:
            if marks and marks[-1][1] == at:
                marks[-1] = (marks[-1][0], at + 1)
            else:
                marks.append((at, at + 1))
    return Excerpt("".join(line).rstrip(" "), tuple(marks))
