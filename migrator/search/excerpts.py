"""Where the words of a search stand in a text: the text around them, and the places within it.

Spaced texts are looked at by FTS5 in memory, by the rules by which its index of words was made; see
:mod:`migrator.search.query` for the two kinds of texts.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple

from migrator.errors import ConnectionFailed
from migrator.search import queries as search_queries
from migrator.search.query import SearchQuery, fold, is_unspaced, searched_text, words_of

_OPEN, _CLOSE = "\ufdd0", "\ufdd1"  # noncharacters: no text holds them but by mistake
_HARMLESS = str.maketrans({_OPEN: "\ufffd", _CLOSE: "\ufffd"})
_BEFORE, _WIDTH = 60, 200  # characters of an excerpt before the first place, and at most


class Excerpt(NamedTuple):
    """A part of a text.

    :ivar text: in one line: white space of any length is one space; … where the text goes on
    :ivar marks: begin and end of each place within it that was looked for
    """

    text: str
    marks: tuple[tuple[int, int], ...]


NO_EXCERPT = Excerpt("", ())


def require_full_text(connection: sqlite3.Connection) -> None:
    """Refuse an SQLite that can't search texts.

    :raises ConnectionFailed: the one that Python was built with can't
    """
    if not connection.execute(search_queries.HAS_FTS5).fetchone()[0]:
        raise ConnectionFailed(
            f"This Python's SQLite {sqlite3.sqlite_version} was built without FTS5, which searches texts.",
            hint="Use another Python: nearly all have it.",
        )


class Matcher(AbstractContextManager["Matcher"]):
    """Finds in any texts what a query looks for. A context manager; for one thread.

    :raises ConnectionFailed: the SQLite that Python was built with can't search texts
    """

    def __init__(self, query: SearchQuery) -> None:
        self._terms = [term.folded for term in query.terms]
        self._words = query.word_match
        # Of the words of each term, without accents: what an ASCII text has to hold.
        self._needed = [word for term in query.terms for word in words_of(term.text)]
        self._memory = sqlite3.connect(":memory:", isolation_level=None)
        require_full_text(self._memory)
        self._memory.execute(search_queries.CREATE_EXCERPTS)

    def __exit__(self, *_: object) -> None:
        self._memory.close()

    def excerpts(self, texts: Sequence[str], *, most: int | None = None) -> list[Excerpt | None]:
        """An excerpt of each text that has all the terms, None for each other one.

        :param most: of how many texts excerpts are wanted; of the others that have the terms it is NO_EXCERPT
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
                # Of most texts in ASCII it can be told without FTS5 that they don't have it.
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
    """FTS5's snippet is so many words, and words can be long: at most so many characters, around the first mark."""
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
    """A part of a text, of whose characters some are marked."""
    window = ("…" if begin else "") + text[begin:end] + ("…" if end < len(text) else "")
    return _in_one_line(window, [False] * bool(begin) + marked)


def _in_one_line(text: str, marked: list[bool]) -> Excerpt:
    """White space of any length becomes one space; of marks, begin and end are told."""
    line: list[str] = []
    marks: list[tuple[int, int]] = []
    marked = marked + [False] * (len(text) - len(marked))
    for character, inside in zip(text, marked, strict=False):
        if character.isspace():
            if not line or line[-1] == " ":
                continue
            character = " "  # noqa: PLW2901 - what is shown for it
        at = len(line)
        line.append(character)
        if inside:
            if marks and marks[-1][1] == at:
                marks[-1] = (marks[-1][0], at + 1)
            else:
                marks.append((at, at + 1))
    return Excerpt("".join(line).rstrip(" "), tuple(marks))
