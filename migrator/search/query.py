"""Parses what the user searches for, and says what of a text is searched. No input is an error.

There is one rule for all texts:

- a *word* is what stands between spaces, punctuation and characters of scripts without spaces; case and accents are
  ignored;
- characters of scripts without (reliable) spaces between words, such as Japanese, Chinese, Korean or Thai, are found
  anywhere.

So ``API設計`` contains the word ``API``, but not ``PI``; it contains ``設計`` and ``設``.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property

# Thai to the Phonetic Extensions, CJK with kana and Hangul, their compatibility and half-width forms; not their
# punctuation, nor units in Latin letters. The triggers of schemas/sql/search_index.sql have the same ranges.
UNSPACED_RANGES = (
    "\u0e00-\u1dff\u2e80-\u2fff\u3005-\u3007\u3021-\u302f\u3031-\u309f\u30a1-\u30fa\u30fc-\u3370\u337b-\u337f"
    "\u33e0-\ud7fb\uf900-\ufaff\uff66-\uffdc\U00020000-\U0003fffd"
)
WIDE_RANGES = "\uff10-\uff19\uff21-\uff3a\uff41-\uff5a"  # full-width letters and digits
_LETTERS_BEYOND_ASCII = "\u00c0-\u045f"
LETTER_RANGES = f"0-9A-Za-z{_LETTERS_BEYOND_ASCII}"  # which may touch these scripts, and are words nevertheless
# Characters besides ASCII that have neither case nor accents nor width: with them alone, folding is quick.
CASELESS_RANGES = "\u3001-\u3003\u3005-\u3020\u3041-\u3096\u30a1-\u30fe\u4e00-\u9fff\uac00-\ud7a3\U0001f300-\U0001faff"
# A few ranges that include the scripts without spaces, for what is asked of whole texts: GLOB is slow.
ROUGH_RANGES = "\u0e00-\u1dff\u2e80-\uffdc\U00020000-\U0003fffd"
GRAM = 3  # characters: what FTS5's trigram tokenizer makes of a text
LONGEST = 1_000_000  # characters of a text that are searched
# Characters that no program uses: a gap between two words, and a word of texts that are too long.
GAP, CUT = "\U0010fff0", "\U0010fff1"
_NARROW = {code: code - 0xFEE0 for code in range(0xFF10, 0xFF5B)}
_NO_WIDTH = dict.fromkeys((0x200B, 0x2060, 0xFEFF))
_ACCENT = "[\u0300-\u036f]"
_TERM = re.compile(r'"([^"]*)(?:"(\*)?|$)|([^\s"]+)')
_PARAMETERS = "0123456789;?"  # of an escape sequence, after its introducer and before its final character


class _Patterns:
    """The patterns, compiled when they are used: so many ranges take milliseconds, and most runs index nothing."""

    @cached_property
    def unspaced(self) -> re.Pattern[str]:
        return re.compile(f"[{UNSPACED_RANGES}]")

    @cached_property
    def mixed(self) -> re.Pattern[str]:
        return re.compile(f"[{UNSPACED_RANGES}{WIDE_RANGES}]")

    @cached_property
    def wide(self) -> re.Pattern[str]:
        return re.compile(f"[{WIDE_RANGES}]")

    @cached_property
    def caseless(self) -> re.Pattern[str]:
        return re.compile(f"[\0-\x7f{CASELESS_RANGES}]*")

    @cached_property
    def letters(self) -> re.Pattern[str]:
        return re.compile(f"([{LETTER_RANGES}]+)")

    @cached_property
    def touching(self) -> re.Pattern[str]:
        return re.compile(f"[{ROUGH_RANGES}](?:(?=[{LETTER_RANGES}])|(?<=[{LETTER_RANGES}].))", re.DOTALL)


_PATTERNS = _Patterns()


class _Part:
    """A part of a term: a word, or characters of a script without spaces.

    :ivar apart: whether what is neither letter nor digit is between it and the part before
    """

    def __init__(self, text: str, *, unspaced: bool, apart: bool) -> None:
        self.text, self.unspaced, self.apart = text, unspaced, apart

    @property
    def pattern(self) -> str:
        """Finds it in a folded text."""
        gap = r"[\W_]+" if self.apart else ""
        if self.unspaced:
            return gap + re.escape(self.text)
        letters = "".join(re.escape(c) + f"{_ACCENT}*" for c in fold(self.text) if not re.match(_ACCENT, c))
        return f"{gap}{_BEGIN}{letters}{_END}"


# No letter before, none after, in a folded text. With one set for both ranges, a pattern takes twice as long to
# compile.
_BEGIN = f"(?<![0-9a-z])(?<![{_LETTERS_BEYOND_ASCII}])"
_END = f"(?![0-9a-z])(?![{_LETTERS_BEYOND_ASCII}])"


@dataclass(frozen=True)
class Term:
    """A word, a phrase or a beginning to search for.

    :ivar text: as typed, without quotes and star
    :ivar prefix: whether words that begin with it are found as well
    """

    text: str
    prefix: bool = False

    @cached_property
    def unspaced(self) -> bool:
        """Whether it contains characters of a script without spaces."""
        return _has_unspaced(_parts(unicodedata.normalize("NFKC", self.text)))

    @cached_property
    def _forms(self) -> list[list[_Part]]:
        """The parts of each form in which it may be stored."""
        found = map(_parts, _forms(self.text))
        return [parts for parts in found if parts and _has_unspaced(parts) == self.unspaced]

    @property
    def phrases(self) -> str:
        """The query for an FTS5 table of words."""
        star = " *" if self.prefix else ""
        phrases = (" ".join(part.text for part in parts) for parts in self._forms)
        return " OR ".join(f'"{phrase}"{star}' for phrase in dict.fromkeys(phrases))

    @cached_property
    def runs(self) -> list[tuple[str, ...]]:
        """Of each form, the parts in scripts without spaces."""
        return list(dict.fromkeys(tuple(part.text for part in parts if part.unspaced) for parts in self._forms))

    @property
    def is_one_gram(self) -> bool:
        """Whether every text with the grams of a form contains the term."""
        return all(len(parts) == 1 and parts[0].unspaced and len(parts[0].text) <= GRAM for parts in self._forms)

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """Finds it in a folded text."""
        found = ("".join(part.pattern for part in parts) for parts in self._forms)
        return re.compile("|".join(dict.fromkeys(one.removesuffix(_END) if self.prefix else one for one in found)))


@dataclass(frozen=True)
class SearchQuery:
    """What to search for: texts that contain all the terms."""

    terms: tuple[Term, ...]

    @property
    def unspaced(self) -> list[Term]:
        """The terms with characters of scripts without spaces."""
        return [term for term in self.terms if term.unspaced]

    @property
    def word_match(self) -> str | None:
        """The query for an FTS5 table of words, for all the other terms; None if there are none."""
        return " AND ".join(f"({term.phrases})" for term in self.terms if not term.unspaced) or None

    def gram_match(self, beginning_with: Callable[[str], Sequence[str] | None]) -> str | None:
        """The query for an FTS5 table of trigrams: finds texts with all trigrams of a form of each term.

        None if every term is too short to have a trigram.

        :param beginning_with: returns the trigrams that begin with one or two characters; None if these are too many
        """
        terms = []
        for term in self.unspaced:
            forms = [_with_grams(runs, beginning_with) for runs in term.runs]
            if None not in forms:
                terms.append(f"({' OR '.join(filter(None, forms))})")
        return " AND ".join(terms) or None


def _with_grams(runs: tuple[str, ...], beginning_with: Callable[[str], Sequence[str] | None]) -> str | None:
    grams: dict[str, None] = {}
    for run in runs:
        if len(run) >= GRAM:
            grams |= dict.fromkeys(f'"{run[at : at + GRAM]}"' for at in range(len(run) - GRAM + 1))
        elif (longer := beginning_with(run)) is not None:
            # A gram that no text has, if there are none.
            grams[" OR ".join('"' + gram.replace('"', '""') + '"' for gram in longer) or f'"{run:{GAP}<{GRAM}}"'] = None
    return f"({' AND '.join(f'({gram})' for gram in grams)})" if grams else None


def parse_query(text: str) -> SearchQuery:
    """Parse words, ``"phrases in quotes"`` and ``begin*``; any other character belongs to a word, or separates words.

    A term without a letter or digit cannot be searched for and is dropped.
    """
    terms = []
    for phrase, star, word in _TERM.findall(text.replace("\0", " ").translate(_NO_WIDTH)):
        prefix = bool(star) or (word.endswith("*") and bool(words_of(word)))
        bare = " ".join(phrase.split()) if not word else word.rstrip("*") if prefix else word
        if words_of(bare):
            # Invalid UTF-8 on the command line becomes half a surrogate pair, which occurs in no text.
            terms.append(Term(bare.encode("utf-8", "replace").decode(), prefix))
    return SearchQuery(tuple(dict.fromkeys(terms)))


def _forms(text: str) -> list[str]:
    """Return the forms in which a text may be stored: the same characters, encoded differently."""
    if text.isascii():
        return [text]
    wide = unicodedata.normalize("NFKC", text)
    forms = [text, *(unicodedata.normalize(form, text) for form in ("NFC", "NFD")), wide, "".join(map(_half, wide))]
    if _PATTERNS.unspaced.search(text):  # case is ignored there as well; a few of these scripts have it
        forms += [changed for form in forms for changed in (form.lower(), form.upper())]
    return list(dict.fromkeys(forms))


def _half(character: str) -> str:
    """Return the half-width form of a character of Katakana."""
    table = _half_width()
    decomposed = unicodedata.normalize("NFD", character)
    return "".join(map(table.__getitem__, decomposed)) if all(one in table for one in decomposed) else character


@cache
def _half_width() -> dict[str, str]:
    return {unicodedata.normalize("NFKC", chr(code)): chr(code) for code in range(0xFF66, 0xFFA0)}


def _parts(text: str) -> list[_Part]:
    """Split a term at what is neither letter nor digit, and where scripts with and without spaces touch."""
    parts: list[_Part] = []
    apart = False
    for character in text:
        kind = unicodedata.category(character)[0]
        unspaced = bool(_PATTERNS.unspaced.match(character))
        if kind not in ("LNMS" if unspaced else "LNM") or (kind == "M" and not parts):
            apart = bool(parts)
        elif parts and not apart and (kind == "M" or unspaced == parts[-1].unspaced):
            parts[-1].text += character
        else:
            parts.append(_Part(character, unspaced=unspaced, apart=apart))
            apart = False
    return parts


def _has_unspaced(parts: list[_Part]) -> bool:
    return any(part.unspaced for part in parts)


def searched_text(text: str) -> str:
    """Return the part of a text that is searched: without spaces of no width, NUL, and terminal escape sequences.

    These would be inside words, end the text, or stick to words. A very long text is cut off. The triggers of
    schemas/sql/search_index.sql do the same.
    """
    return _cleaned(text)[:LONGEST]


def _cleaned(text: str) -> str:
    if "\x1b" in text or "\0" in text:
        first, *others = text.replace("\\", " ").replace("\0", " ").split("\x1b")
        text = " ".join([first, *[other[1:].lstrip(_PARAMETERS)[1:] for other in others]])
    if text.isascii() or not ("\u200b" in text or "\u2060" in text or "\ufeff" in text):
        return text
    return text.translate(_NO_WIDTH)


def is_too_long(text: str) -> bool:
    """Return whether the text is not searched to its end."""
    return len(text) > LONGEST and len(_cleaned(text)) > LONGEST


def indexed_parts(text: str) -> tuple[str | None, str | None]:
    """Return what of a text is in ``search_words`` and what in ``search_grams``; None if nothing is.

    The triggers of schemas/sql/search_index.sql make the same of it.
    """
    text = _cleaned(text)
    return parts_of_searched(text) if len(text) <= LONGEST else parts_of_searched(text[:LONGEST], f" {CUT}")


def parts_of_searched(text: str, mark: str = "") -> tuple[str | None, str | None]:
    """Return what is indexed of a text from :func:`searched_text`.

    :param mark: added to the words
    """
    if not is_mixed(text):
        return text + mark, None
    if _PATTERNS.wide.search(text):
        text = text.translate(_NARROW)
    words, grams, lettered = [], [], []
    # A migration spends much of its time here, so what is ASCII is passed on without a closer look.
    for line in text.replace("\t", " ").replace("\r", " ").replace("\\", " ").split("\n"):
        if line.isascii():
            words.append(line)
            continue
        for piece in line.split(" "):
            if piece.isascii() or not _PATTERNS.unspaced.search(piece):
                words.append(piece)
                continue
            grams.append(piece)
            if _PATTERNS.letters.search(piece):
                lettered.append(len(words))
                words.append(piece)
            else:
                words.append(GAP)
    if any(_PATTERNS.touching.search(words[number]) for number in lettered):
        for number in lettered:
            parts = _PATTERNS.letters.split(words[number])
            words[number] = " ".join([GAP if _PATTERNS.unspaced.search(part) else part for part in parts])
    joined = " ".join(words) + mark
    # Two spaces at the end make the last characters beginnings of grams, too.
    return joined if joined.strip(f"{GAP} ") else None, f"{' '.join(grams)}  " if grams else None


def is_mixed(text: str) -> bool:
    """Return whether the text contains a script that is written without spaces, or full-width letters."""
    return not text.isascii() and _PATTERNS.mixed.search(text) is not None


class _Folding(dict[int, str]):
    """Each character without case, accents and full width, if that is one character again."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        if not _PATTERNS.unspaced.match(character):
            base = re.sub(_ACCENT, "", unicodedata.normalize("NFKD", character)) or character
            lowered = (base if len(base) == 1 else character).lower()
            character = lowered if len(lowered) == 1 else character
        self[code] = character
        return character


_FOLDING = _Folding()


def fold(text: str) -> str:
    """Return the text without case, accents and full-width letters, with every character at its old position."""
    if text.isascii() or _PATTERNS.caseless.fullmatch(text):
        return text.lower()
    return text.translate(_FOLDING)


def words_of(text: str) -> list[str]:
    """Return the words of a text, in lower case and without accents."""
    bare = "".join(c for c in unicodedata.normalize("NFKD", text.lower()) if not unicodedata.combining(c))
    return "".join(c if unicodedata.category(c)[0] in "LN" else " " for c in bare).split()
