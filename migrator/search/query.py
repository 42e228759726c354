"""What somebody searches for: words, phrases and beginnings of words. Nothing that can be typed is an error.

Two ways to find a word, by the text that it is looked for in:

- in a *spaced* text it is a word between spaces and punctuation, whatever its case and accents;
- in an *unspaced* one, which holds a script that is written without spaces between words (or with words that run into
  each other: Japanese, Chinese, Korean, Thai and so on), it is any part of the text, whatever its case.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cached_property

# Thai to the Phonetic Extensions, CJK with kana and Hangul, and the compatibility and full-width forms of these. The
# triggers of schemas/sql/search_index.sql have the same ranges; a test holds the two together.
UNSPACED_RANGES = "\u0e00-\u1dff\u2e80-\ud7fb\uf900-\ufaff\uff00-\uffef\U00020000-\U0003fffd"
_UNSPACED = re.compile(f"[{UNSPACED_RANGES}]")
_TERM = re.compile(r'"([^"]*)(?:"(\*)?|$)|([^\s"]+)')
_PARAMETERS = "0123456789;?"  # of an escape sequence, between what begins and what ends it
_LONGEST = 1_000_000  # characters of a text that are searched
GRAM = 3  # characters: what FTS5's trigram tokenizer makes of a text


@dataclass(frozen=True)
class Term:
    """One thing to look for.

    :ivar text: as it was typed, without quotes and star
    :ivar prefix: words that begin with it are found as well
    """

    text: str
    prefix: bool = False

    @cached_property
    def folded(self) -> str:
        """The text as it is compared with an unspaced text."""
        return fold(self.text)


@dataclass(frozen=True)
class SearchQuery:
    """What to look for: all of the terms, in one text."""

    terms: tuple[Term, ...]

    @property
    def word_match(self) -> str | None:
        """The query for an FTS5 table of spaced texts; None where none of them can hold all the terms."""
        if not self.terms or any(is_unspaced(term.text) for term in self.terms):
            return None
        return " AND ".join(f'"{term.text}"{" *" if term.prefix else ""}' for term in self.terms)

    @property
    def gram_match(self) -> str | None:
        """The query for an FTS5 table of the trigrams of unspaced texts: where it leads to has all grams of the terms.

        None where every term is too short to have one.
        """
        texts = [term.folded for term in self.terms]
        grams = dict.fromkeys(text[at : at + GRAM] for text in texts for at in range(len(text) - GRAM + 1))
        return " AND ".join('"' + gram.replace('"', '""') + '"' for gram in grams) or None


def parse_query(text: str) -> SearchQuery:
    """Words, ``"phrases in quotes"``, ``begin*``; whatever else stands there is part of a word, or parts words.

    A term without any letter or digit can't be looked for and is left out.
    """
    terms = []
    for phrase, star, word in _TERM.findall(text.replace("\0", " ")):
        prefix = bool(star) or (word.endswith("*") and bool(words_of(word)))
        bare = " ".join(phrase.split()) if not word else word.rstrip("*") if prefix else word
        if words_of(bare):
            # Half a surrogate pair, from bytes of the command line that are no UTF-8, occurs in no text.
            terms.append(Term(bare.encode("utf-8", "replace").decode(), prefix))
    return SearchQuery(tuple(dict.fromkeys(terms)))


def searched_text(text: str) -> str:
    """The text as it is searched: without NUL, and without the escape sequences of terminals, which stick to words.

    Of a very long one the beginning has to do.

    The triggers of schemas/sql/search_index.sql do the same.
    """
    if "\x1b" in text or "\0" in text:
        first, *others = text.replace("\\", " ").replace("\0", " ").split("\x1b")
        text = " ".join([first, *(other[1:].lstrip(_PARAMETERS)[1:] for other in others)])
    return text[:_LONGEST]


def is_unspaced(text: str) -> bool:
    """Whether the text holds a character of a script that is written without spaces."""
    return not text.isascii() and _UNSPACED.search(text) is not None


def fold(text: str) -> str:
    """The text in lower case, each character in its place."""
    lowered = text.lower()
    if len(lowered) == len(text):
        return lowered
    return "".join(lower if len(lower := character.lower()) == 1 else character for character in text)


def words_of(text: str) -> list[str]:
    """The words of a text, in lower case and without accents."""
    bare = "".join(c for c in unicodedata.normalize("NFD", text.lower()) if not unicodedata.combining(c))
    return "".join(c if unicodedata.category(c)[0] in "LN" else " " for c in bare).split()
