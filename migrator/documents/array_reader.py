r"""Read a JSON array as a stream of its elements' bytes, in bounded memory, whatever the file's size.

While a file looks as the app writes it, :mod:`migrator.documents.app_format` splits it. What does not parse then goes
to a scanner that follows only strings and brackets: it finds the end of an element however broken or deeply nested the
element is.
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
from migrator.text import counted

BOM = b"\xef\xbb\xbf"
_SCANNED = 32  # scanning this fraction of a chunk takes as long as reading a chunk again
_APP_START = b'{\n    "'
_SALVAGE = "'migrator migrate --salvage' migrates the complete sessions and quarantines the rest."
_SPACE = re.compile(rb"[ \t\r\n]*+")
_SCALAR = re.compile(rb"[^\s,\]\[{}\":]*+")
# Matches complete strings and single brackets; a lone quote begins a string that does not end in the buffer.
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[{]|[\]}]|"', re.DOTALL)
# Rust's str::trim removes more than JSON's four whitespace characters; a file of nothing else means "no sessions".
_BLANK = re.compile(r"[\s\x85\u200e\u200f]*\Z")


def read_array(
    file: BinaryIO, *, chunk: int = app_format.CHUNK, search_limit: int = app_format.SEARCH_LIMIT
) -> Iterator[Element]:
    """Yield the elements of the array in ``file``, in order.

    An empty or blank file has none; a UTF-8 byte order mark is skipped.

    :param file: preferably unbuffered, because it is read in large chunks
    :param search_limit: bytes to search for the end of an app-formatted session
    :raises SourceFileError: the file is not a JSON array
    :raises TornFileError: the file is a JSON array up to some point, where it ends or becomes invalid
    """
    return _Reader(file, chunk, search_limit).elements()


def torn_tail(file: BinaryIO, torn: TornFileError) -> Element:
    """Return everything after the complete elements of a truncated file, as one more element."""
    file.seek(torn.offset)
    return Element(torn.whole, torn.offset, file.read())


class _Reader:
    """A window on the file: ``buffer[position:]`` was read but not yet returned."""

    def __init__(self, file: BinaryIO, chunk: int, search_limit: int) -> None:
        self.file = file
        self.chunk = chunk
        self.search_limit = search_limit
        within = app_format.find_sessions(file)
        self.end = within.end if within else file.seek(0, os.SEEK_END)  # of the last session, as far as is known
        self.unsplit = 0  # splitting is not tried again before this offset
        self.go_to(0)

    def go_to(self, offset: int) -> None:
        """Continue reading at an offset in the file."""
        self.file.seek(offset)
        self.buffer = b""
        self.position = 0
        self.start = offset  # where in the file the buffer begins
        self.ended = False

    @property
    def offset(self) -> int:
        """The offset in the file of the next byte to return."""
        return self.start + self.position

    def more(self) -> bool:
        """Read more; the window doubles, so that long elements take linear time. Returns False at the end."""
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
        """Return the next byte that is not whitespace, or b"" at the end."""
        while True:
            self.position = _match_end(_SPACE, self.buffer, self.position)
            if self.position < len(self.buffer):
                return self.buffer[self.position : self.position + 1]
            if not self.more():
                return b""

    def elements(self) -> Iterator[Element]:
        """Yield the elements of the array; raises as :func:`read_array` does."""
        if self._is_blank():
            return
        if self.peek() != b"[":
            raise self._not_an_array()
        self.position += 1
        index = 0
        following = self.peek()
        while following != b"]":
            if following == b"":
                raise self._truncated(index, "the file ends where a session should begin,")
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
                    raise self._malformed(index, "expected a session after the comma, found ']'")
            elif following == b"":
                raise self._truncated(index, "the file ends before its closing ']'")
            elif following != b"]":
                raise self._malformed(index, f"expected ',' or ']', found {_shown(following)}")
        self.position += 1
        if self.peek() != b"":
            raise self._malformed(index, "there is text after the end of the array")

    def _is_blank(self) -> bool:
        """Whether the file contains only whitespace; skips a byte order mark."""
        while len(self.buffer) < 4 and self.more():
            pass
        if self.buffer.startswith(BOM):
            self.position = len(BOM)
        if self.buffer and not self.buffer.strip(b"\0"):
            raise SourceFileError(
                "the file begins with NUL bytes, as a power cut can leave it.",
                code="source.nul_bytes",
                hint="Restore it from a copy or move it away, then run 'migrator migrate' again.",
            )
        if self.buffer[:2] in (b"\xff\xfe", b"\xfe\xff") or (len(self.buffer) > 1 and 0 in self.buffer[:2]):
            raise SourceFileError(
                "the file is not UTF-8 text; it may be UTF-16 or binary data.",
                code="source.wrong_encoding",
                hint="Save it as UTF-8 or move it away, then run 'migrator migrate' again.",
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
        """Yield the following elements while the file looks as the app writes it.

        After a failure, part of a chunk is scanned before the next attempt; otherwise a file could make this quadratic.
        """
        while len(self.buffer) - self.position < len(_APP_START) and self.more():
            pass
        end = self.offset
        if end < self.unsplit or not self.buffer.startswith(_APP_START, self.position):
            return
        rest = ByteRange(end, self.end)
        pieces = app_format.split(self.file, rest, chunk=self.chunk, search_limit=self.search_limit)
        for position, offset, piece, _ in pieces:
            value = parse_fast(piece)
            if value is None:
                has_given_up = len(piece) == 1
                self.unsplit = self.end if has_given_up else offset + max(len(piece), self.chunk // _SCANNED)
                break
            raw = piece.rstrip(app_format.BLANK)  # a truncated file may end in whitespace
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
        """Find the end of the element by its strings and brackets alone."""
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
                in_nul = " in NUL bytes, as after a power cut," if self.buffer.endswith(b"\0") else ""
                raise self._truncated(index, f"the file ends{in_nul} inside a session")
            scan = self.position + ahead

    def _scalar_end(self, index: int) -> int:
        while True:
            end = _match_end(_SCALAR, self.buffer, self.position)
            if end < len(self.buffer) or not self.more():
                break
        if end == self.position:
            shown = _shown(self.buffer[self.position : self.position + 1])
            raise self._malformed(index, f"expected a session, found {shown}")
        return end

    def _not_an_array(self) -> SourceFileError:
        first = self.peek()
        if first == b"{":
            return SourceFileError(
                "the file contains a JSON object, not an array of sessions.",
                code="source.not_array",
                hint="If it is one session, put [ and ] around it, then run 'migrator migrate' again.",
            )
        return SourceFileError(
            f"the file is not a JSON array: it begins with {_shown(first)} instead of '['.",
            code="source.not_array",
            hint="Restore it from a copy or move it away, then run 'migrator migrate' again.",
        )

    def _truncated(self, complete: int, what: str) -> TornFileError:
        return TornFileError(
            f"truncated: {what} at byte {self.offset}, after {counted(complete, 'complete session')}.",
            code="source.truncated",
            whole=complete,
            offset=self.offset,
            hint=_SALVAGE,
        )

    def _malformed(self, complete: int, what: str) -> TornFileError:
        return TornFileError(
            f"malformed at byte {self.offset}, after {counted(complete, 'complete session')}: {what}.",
            code="source.malformed",
            whole=complete,
            offset=self.offset,
            hint=_SALVAGE,
        )


def _match_end(pattern: re.Pattern[bytes], buffer: bytes, position: int) -> int:
    found = pattern.match(buffer, position)
    return found.end() if found else position


def _shown(data: bytes) -> str:
    """Format a byte or two for a message, without anything that could control a terminal."""
    return repr(data.decode("utf-8", "replace")) if data.isascii() else f"the byte 0x{data[0]:02x}"
