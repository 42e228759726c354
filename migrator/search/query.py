"""Parses what the user searches for: words, phrases and beginnings of words. No input is an error.

There are two kinds of texts, in which words are found differently:

- in a *spaced* text, a word stands between spaces or punctuation; case and accents are ignored;
- an *unspaced* text contains a script without (reliable) spaces between words, such as Japanese, Chinese, Korean or
  Thai; there, a word is found anywhere, and only case is ignored.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cached_property

# Thai to the Phonetic Extensions, CJK with kana and Hangul, and the compatibility and full-width forms of these. The
# triggers of schemas/sql/search_index.sql have the same ranges; a test compares the two.
UNSPACED_RANGES = "\u0e00-\u1dff\u2e80-\ud7fb\uf900-\ufaff\uff00-\uffef\U00020000-\U0003fffd"
_UNSPACED = re.compile(f"[{UNSPACED_RANGES}]")
_TERM = re.compile(r'"([^"]*)(?:"(\*)?|$)|([^\s"]+)')
_PARAMETERS = "0123456789;?"  # of an escape sequence, after its introducer and before its final character
_LONGEST = 1_000_000  # characters of a text that are searched
GRAM = 3  # characters: what FTS5's trigram tokenizer makes of a text


@dataclass(frozen=True)
class Term:
    """A word, a phrase or a beginning to search for.

    :ivar text: as typed, without quotes and star
    :ivar prefix: whether words that begin with it are found as well
    """

    text: str
    prefix: bool = False

    @cached_property
    def folded(self) -> str:
        """The text in the form that is compared with unspaced texts."""
        return fold(self.text)


@dataclass(frozen=True)
class SearchQuery:
    """What to search for: texts that contain all the terms."""

    terms: tuple[Term, ...]

    @property
    def word_match(self) -> str | None:
        """The query for an FTS5 table of spaced texts; None if no spaced text can contain all the terms."""
        if not self.terms or any(is_unspaced(term.text) for term in self.terms):
            return None
        return " AND ".join(f'"{term.text}"{" *" if term.prefix else ""}' for term in self.terms)

    @property
    def gram_match(self) -> str | None:
        """The query for an FTS5 table of the trigrams of unspaced texts: finds texts with all trigrams of the terms.

        None if every term is too short to have a trigram.
        """
        texts = [term.folded for term in self.terms]
        grams = dict.fromkeys(text[at : at + GRAM] for text in texts for at in range(len(text) - GRAM + 1))
        return " AND ".join('"' + gram.replace('"', '""') + '"' for gram in grams) or None


def parse_query(text: str) -> SearchQuery:
    """Parse words, ``"phrases in quotes"`` and ``begin*``; any other character belongs to a word, or separates words.

    A term without a letter or digit cannot be searched for and is dropped.
    """
    terms = []
    for phrase, star, word in _TERM.findall(text.replace("\0", " ")):
        prefix = bool(star) or (word.endswith("*") and bool(words_of(word)))
        bare = " ".join(phrase.split()) if not word else word.rstrip("*") if prefix else word
        if words_of(bare):
            # Invalid UTF-8 on the command line becomes half a surrogate pair, which occurs in no text.
            terms.append(Term(bare.encode("utf-8", "replace").decode(), prefix))
    return SearchQuery(tuple(dict.fromkeys(terms)))


def searched_text(text: str) -> str:
    """Return the part of a text that is searched: no NUL, no terminal escape sequences, which would stick to words.

    A very long text is cut off. The triggers of schemas/sql/search_index.sql do the same.
    """
    if "\x1b" in text or "\0" in text:
        first, *others = text.replace("\\", " ").replace("\0", " ").split("\x1b")
        text = " ".join([first, *(other[1:].lstrip(_PARAMETERS)[1:] for other in others)])
    return text[:_LONGEST]


def indexed_parts(text: str) -> tuple[str | None, str | None]:
    """Return what of a text is in ``search_words`` and what in ``search_grams``; None if nothing is.

    The triggers of schemas/sql/search_index.sql make the same of it.
    """
    text = searched_text(text)
    return (None, text + "  ") if is_unspaced(text) else (text, None)


def is_unspaced(text: str) -> bool:
    """Return whether the text contains a character of a script that is written without spaces."""
    return not text.isascii() and _UNSPACED.search(text) is not None


def fold(text: str) -> str:
    """Return the text in lower case, with every character at its old position."""
    lowered = text.lower()
    if len(lowered) == len(text):
        return lowered
    return "".join(lower if len(lower := character.lower()) == 1 else character for character in text)


def words_of(text: str) -> list[str]:
    """Return the words of a text, in lower case and without accents."""
    bare = "".join(c for c in unicodedata.normalize("NFD", text.lower()) if not unicodedata.combining(c))
    return "".join(c if unicodedata.category(c)[0] in "LN" else " " for c in bare).split()
