"""Finds the terms of a search in a text and makes excerpts, with the places of the terms marked.

Words are found by an FTS5 table in memory, with the tokenizer of the index; what is in scripts without spaces, by
comparison. :mod:`migrator.search.query` has the rule.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple

from migrator.errors import ConnectionFailed
from migrator.search import queries as search_queries
from migrator.search.query import SearchQuery, fold, is_mixed, parts_of_searched, searched_text, words_of

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
        self._patterns = [term.pattern for term in query.terms]
        self._unspaced = [term.pattern for term in query.unspaced]
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
        mixed: dict[int, str] = {}
        asked = []
        if not self._patterns:
            return found
        for number, text in enumerate(map(searched_text, texts)):
            if is_mixed(text):
                if self._has_unspaced(text):
                    mixed[number] = text
                    if self._words is not None:
                        asked.append((number, parts_of_searched(text)[0]))
            elif self._words is not None and not self._unspaced and self._may_have_words(text):
                asked.append((number, text.translate(_HARMLESS)))
        if asked:
            self._memory.execute("BEGIN")
            self._memory.executemany(search_queries.INSERT_EXCERPT, asked)
            snippets |= self._memory.execute(search_queries.EXCERPTS, (_OPEN, _CLOSE, self._words))
            self._memory.execute("ROLLBACK")
        for count, number in enumerate(sorted(snippets if self._words is not None else mixed)):
            if most is not None and count >= most:
                found[number] = NO_EXCERPT
            elif number in mixed:
                found[number] = self._in_mixed(mixed[number])
            else:
                found[number] = _from_snippet(snippets[number])
        return found

    def _has_unspaced(self, text: str) -> bool:
        """Return whether the text has all terms in scripts without spaces."""
        if not self._unspaced:
            return True
        folded = fold(text)
        return all(pattern.search(folded) for pattern in self._unspaced)

    def _may_have_words(self, text: str) -> bool:
        """Return whether FTS5 has to be asked: most ASCII texts can be ruled out without it."""
        lowered = text.lower() if text.isascii() else None
        return lowered is None or all(word in lowered for word in self._needed)

    def _in_mixed(self, text: str) -> Excerpt:
        folded = fold(text)
        places = [place for pattern in self._patterns if (place := pattern.search(folded))]
        first = min((place.start() for place in places), default=0)
        begin, end = max(0, first - _BEFORE), first + _WIDTH
        marked = [False] * (min(end, len(text)) - begin)
        for pattern in self._patterns:
            for place in pattern.finditer(folded, begin, end):
                at, length = place.start() - begin, place.end() - place.start()
                marked[at : at + length] = [True] * length
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
