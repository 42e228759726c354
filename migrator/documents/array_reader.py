r"""A JSON array as a stream: the bytes of each element, in bounded memory, whatever the file's size.

As long as a file is as the app writes it, it is split by :mod:`migrator.documents.app_format`. What does not parse then
goes to a scanner that only follows strings and brackets, so that it finds the end of an element however broken its
inside, and however deep.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import BinaryIO

from migrator.documents import app_format
from migrator.documents.app_format import ByteRange, Element
from migrator.documents.exact_json import parse_fast
from migrator.errors import SourceFileError, TornFileError

BOM = b"\xef\xbb\xbf"
_SCANNED = 32  # what part of a chunk: scanning that takes as long as reading a chunk once more
_APP_START = b'{\n    "'
_SPACE = re.compile(rb"[ \t\r\n]*+")
_SCALAR = re.compile(rb"[^\s,\]\[{}\":]*+")
# Strings whole, brackets one by one; a lone quote is a string whose end is not in the buffer.
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[{]|[\]}]|"', re.DOTALL)
# What Rust's str::trim takes for white space, beyond JSON's four: a file of it alone means "no sessions".
_BLANK = re.compile(r"[\s\x85\u200e\u200f]*\Z")


def read_array(
    file: BinaryIO, *, chunk: int = app_format.CHUNK, farthest: int = app_format.FARTHEST
) -> Iterator[Element]:
    """The elements of the array in ``file``, in order.

    An empty or blank file has none; a UTF-8 byte order mark is skipped.

    :param file: best without a buffer, for it is read in large pieces
    :param farthest: bytes in which to look for the end of an app-formatted session
    :raises SourceFileError: the text is no JSON array
    :raises TornFileError: it is one up to some point, and then ends or goes wrong
    """
    return _Reader(file, chunk, farthest).elements()


def torn_tail(file: BinaryIO, torn: TornFileError) -> Element:
    """What is behind the whole elements of a torn file, as one more."""
    file.seek(torn.offset)
    return Element(torn.whole, torn.offset, file.read())


class _Reader:
    """A window on the file: ``buffer[position:]`` is what was read and not yet given out."""

    def __init__(self, file: BinaryIO, chunk: int, farthest: int) -> None:
        self.file = file
        self.chunk = chunk
        self.farthest = farthest
        within = app_format.find_sessions(file)
        self.end = within.end if within else file.seek(0, os.SEEK_END)  # of the last session, as far as that shows
        self.unsplit = 0  # the offset before which splitting has failed already
        self.go_to(0)

    def go_to(self, offset: int) -> None:
        """Read from a byte of the file on."""
        self.file.seek(offset)
        self.buffer = b""
        self.position = 0
        self.start = offset  # where in the file the buffer begins
        self.ended = False

    @property
    def offset(self) -> int:
        """The next byte to give out, counted from the start of the file."""
        return self.start + self.position

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
            self.position = _match_end(_SPACE, self.buffer, self.position)
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
            first = index
            for element in self._split(first):
                yield element
                index += 1
            if index == first:
                yield self._scan(index)
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
        if self.buffer.startswith(BOM):
            self.position = len(BOM)
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
        while len(self.buffer) - self.position < app_format.CHUNK and self.more():
            pass
        text = self.buffer[self.position :].decode("utf-8", "replace")
        return self.ended and _BLANK.match(text) is not None

    def _split(self, first: int) -> Iterator[Element]:
        """The elements from here on for as long as the file is as the app writes it.

        After a failure a part of a chunk is scanned before the next attempt: else a file could make it quadratic.
        """
        while len(self.buffer) - self.position < len(_APP_START) and self.more():
            pass
        end = self.offset
        if end < self.unsplit or not self.buffer.startswith(_APP_START, self.position):
            return
        rest = ByteRange(end, self.end)
        pieces = app_format.split(self.file, rest, chunk=self.chunk, farthest=self.farthest)
        for position, offset, piece, _ in pieces:
            value = parse_fast(piece)
            if value is None:
                given_up = len(piece) == 1
                self.unsplit = self.end if given_up else offset + max(len(piece), self.chunk // _SCANNED)
                break
            raw = piece.rstrip(app_format.BLANK)  # of a torn file, that may end in space
            end = offset + len(raw)
            yield Element(first + position, offset, raw, value)
        self.go_to(end)
        self.peek()

    def _scan(self, index: int) -> Element:
        end = self._scanned_end(index)  # which moves the window
        raw = self.buffer[self.position : end]
        element = Element(index, self.offset, raw, parse_fast(raw))
        self.position += len(raw)
        return element

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
        sessions = "1 whole session precedes" if whole == 1 else f"{whole} whole sessions precede"
        return TornFileError(
            f"it is torn: {what}, at byte {self.offset}; {sessions} it.",
            whole=whole,
            offset=self.offset,
            found=what,
            hint="'migrator migrate --salvage' takes what is whole and keeps the rest in quarantine.",
        )


def _match_end(pattern: re.Pattern[bytes], buffer: bytes, position: int) -> int:
    found = pattern.match(buffer, position)
    return found.end() if found else position


def _shown(data: bytes) -> str:
    """A byte or two for a message, nothing in it that could drive a terminal."""
    return repr(data.decode("utf-8", "replace")) if data.isascii() else f"the byte 0x{data[0]:02x}"
