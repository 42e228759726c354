r"""A JSON array as a stream: the bytes of each element, in bounded memory, whatever the file's size.

Two ways lead to the same result. The app's pretty printer puts ``\n  },\n  {`` between two sessions and, because a
line feed inside of a string is always escaped, nowhere inside of one: cutting there and parsing the piece proves the
cut, since no proper prefix of a JSON object is a JSON object. Whatever does not parse goes to a scanner that only
follows strings and brackets, so that it finds the end of an element however broken its inside, and however deep.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

import orjson

from migrator.errors import SourceFileError, TornFileError

CHUNK = 1 << 20
FARTHEST = 1 << 26  # bytes in which to look for the end of a session by a guess
_BOM = b"\xef\xbb\xbf"
_PRETTY_START = b'{\n    "'
_PRETTY_CUT = b"\n  },\n  {"
_PRETTY_END = b"\n  }\n]"
_SPACE = re.compile(rb"[ \t\r\n]*+")
_SCALAR = re.compile(rb"[^\s,\]\[{}\":]*+")
# Strings whole, brackets one by one; a lone quote is a string whose end is not in the buffer.
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[{]|[\]}]|"', re.DOTALL)
# What Rust's str::trim takes for white space, beyond JSON's four: a file of it alone means "no sessions".
_BLANK = re.compile(r"[\s\x85\u200e\u200f]*\Z")


class Element(NamedTuple):
    """One element of the array.

    :ivar position: its place in the array, from 0
    :ivar offset: its first byte, counted from the start of the file
    :ivar raw: its bytes, without the space around them
    :ivar value: what orjson reads in them, or None where it can't (no valid element is null)
    """

    position: int
    offset: int
    raw: bytes
    value: Any


def quickly_parsed(raw: bytes) -> Any:
    """What orjson reads in the bytes, or None where it can't; it may have lost something without a word."""
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None


def read_array(file: BinaryIO, *, chunk: int = CHUNK) -> Iterator[Element]:
    """The elements of the array in ``file``, in order.

    An empty or blank file has none; a UTF-8 byte order mark is skipped.

    :raises SourceFileError: the text is no JSON array
    :raises TornFileError: it is one up to some point, and then ends or goes wrong
    """
    return _Reader(file, chunk).elements()


class _Reader:
    """A window on the file: ``buffer[position:]`` is what was read and not yet given out."""

    def __init__(self, file: BinaryIO, chunk: int) -> None:
        self.file = file
        self.chunk = chunk
        self.buffer = b""
        self.position = 0
        self.start = 0  # where in the file the buffer begins
        self.ended = False
        self.guessing = True  # that the file is as the app writes it
        self.refused = 0  # the cut, counted from the start of the file, before which a guess has failed already

    def more(self) -> bool:
        """Read on; the window grows by its own size, so that long elements cost linear time."""
        if self.ended:
            return False
        rest = self.buffer[self.position :]
        data = self.file.read(max(self.chunk, len(rest)))
        if not data:
            self.ended = True
            return False
        self.start += self.position
        self.position = 0
        self.buffer = rest + data if rest else data
        return True

    def peek(self) -> bytes:
        """The next byte that is no space, or b"" at the end."""
        while True:
            self.position = _skip_space(self.buffer, self.position)
            if self.position < len(self.buffer):
                return self.buffer[self.position : self.position + 1]
            if not self.more():
                return b""

    def elements(self) -> Iterator[Element]:
        if self._is_blank():
            return
        if self.peek() != b"[":
            raise self._no_array()
        self.position += 1
        index = 0
        following = self.peek()
        while following != b"]":
            if following == b"":
                raise self._torn(index, "the end of the file where a session belongs")
            element = self._element(index)
            yield element
            index += 1
            following = self.peek()
            if following == b",":
                self.position += 1
                following = self.peek()
                if following == b"]":
                    raise self._torn(index, "a comma with nothing behind it")
            elif following != b"]":
                what = "the end of the file" if following == b"" else f"{_shown(following)}"
                raise self._torn(index, f"{what} where ',' or ']' belongs")
        self.position += 1
        if self.peek() != b"":
            raise self._torn(index, "something behind the end of the array")

    def _is_blank(self) -> bool:
        """Whether the file holds nothing but white space; moves behind a byte order mark."""
        while len(self.buffer) < 4 and self.more():
            pass
        if self.buffer.startswith(_BOM):
            self.position = len(_BOM)
        if self.buffer and not self.buffer.strip(b"\0"):
            raise SourceFileError(
                "it begins with NUL bytes, as a power cut leaves them, not with '['.",
                hint="Restore it from a copy or move it away, then run 'migrator migrate' again.",
            )
        if self.buffer[:2] in (b"\xff\xfe", b"\xfe\xff") or (len(self.buffer) > 1 and 0 in self.buffer[:2]):
            raise SourceFileError(
                "it is not UTF-8 text (UTF-16, or binary data).",
                hint="Save it as UTF-8, or move it away, and run 'migrator migrate' again.",
            )
        if self.peek() == b"":
            return True
        if self.buffer[self.position] < 0x80 and self.buffer[self.position] not in b"\x0b\x0c\x1c\x1d\x1e\x1f":
            return False
        while len(self.buffer) - self.position < CHUNK and self.more():
            pass
        text = self.buffer[self.position :].decode("utf-8", "replace")
        return self.ended and _BLANK.match(text) is not None

    def _element(self, index: int) -> Element:
        pretty = self._pretty_end()
        if pretty is not None:
            raw = self.buffer[self.position : pretty]
            value = quickly_parsed(raw)
            if value is not None:
                return self._take(index, raw, value)
            self.refused = self.start + pretty  # once for each cut: else a file could make it quadratic
        end = self._scanned_end(index)
        raw = self.buffer[self.position : end]
        return self._take(index, raw, quickly_parsed(raw))

    def _take(self, index: int, raw: bytes, value: Any) -> Element:
        element = Element(index, self.start + self.position, raw, value)
        self.position += len(raw)
        return element

    def _pretty_end(self) -> int | None:
        """Where the element ends if the file is as the app writes it; a guess that parsing has to confirm."""
        while len(self.buffer) - self.position < len(_PRETTY_START) and self.more():
            pass
        guessing = self.guessing and self.start + self.position >= self.refused
        if not guessing or not self.buffer.startswith(_PRETTY_START, self.position):
            return None  # without reading to the end of the file for a cut that is not there
        searched = self.position
        while True:
            cut = self.buffer.find(_PRETTY_CUT, searched)
            if cut >= 0:
                return cut + 4
            if self.ended:
                self.guessing = False
                last = self.buffer.rfind(_PRETTY_END, self.position)
                return last + 4 if last >= 0 else None
            behind = len(self.buffer) - self.position
            if behind > FARTHEST:
                self.guessing = False  # whatever it is, it shall not be held in memory for a guess
                return None
            self.more()
            searched = self.position + max(0, behind - len(_PRETTY_CUT))

    def _scanned_end(self, index: int) -> int:
        """Where the element ends, by its strings and brackets alone."""
        first = self.buffer[self.position]
        if first not in b'[{"':
            return self._scalar_end(index)
        depth, scan = 0, self.position
        while True:
            incomplete = len(self.buffer)
            for token in _TOKEN.finditer(self.buffer, scan):
                kind = token[0]
                if kind == b'"':
                    incomplete = token.start()
                    break
                if kind in (b"[", b"{"):
                    depth += 1
                elif kind in (b"]", b"}"):
                    depth -= 1
                if depth == 0:
                    return token.end()
            ahead = incomplete - self.position
            if not self.more():
                lost = self.buffer.endswith(b"\0")
                what = "NUL bytes, as a power cut leaves them," if lost else "the end of the file"
                raise self._torn(index, f"{what} in the middle of a session")
            scan = self.position + ahead

    def _scalar_end(self, index: int) -> int:
        while True:
            end = _match_end(_SCALAR, self.buffer, self.position)
            if end < len(self.buffer) or not self.more():
                break
        if end == self.position:
            shown = _shown(self.buffer[self.position : self.position + 1])
            raise self._torn(index, f"{shown} where a session belongs")
        return end

    def _no_array(self) -> SourceFileError:
        first = self.peek()
        if first == b"{":
            return SourceFileError(
                "it holds a JSON object, not an array of sessions.",
                hint="Put [ and ] around it if it is one session, then run 'migrator migrate' again.",
            )
        return SourceFileError(
            f"it is no JSON array: it begins with {_shown(first)}, not with '['.",
            hint="Restore it from a copy or move it away, then run 'migrator migrate' again.",
        )

    def _torn(self, whole: int, what: str) -> TornFileError:
        offset = self.start + self.position
        sessions = "1 whole session precedes" if whole == 1 else f"{whole} whole sessions precede"
        return TornFileError(
            f"it is torn: {what}, at byte {offset}; {sessions} it.",
            whole=whole,
            offset=offset,
            found=what,
            hint="'migrator migrate --salvage' takes what is whole and keeps the rest in quarantine.",
        )


def _skip_space(buffer: bytes, position: int) -> int:
    return _match_end(_SPACE, buffer, position)


def _match_end(pattern: re.Pattern[bytes], buffer: bytes, position: int) -> int:
    found = pattern.match(buffer, position)
    return found.end() if found else position


def _shown(data: bytes) -> str:
    """A byte or two for a message, nothing in it that could drive a terminal."""
    return repr(data.decode("utf-8", "replace")) if data.isascii() else f"the byte 0x{data[0]:02x}"
