r"""A workspace file that is as the app writes it, taken apart into its sessions without parsing any of them.

The app's pretty printer puts ``\n  },\n  {`` between two sessions and, because a line feed inside of a string is always
escaped, nowhere inside of one. That a file is as the app writes it is a guess, which whoever parses the pieces proves:
no proper prefix of a JSON object is a JSON object. What the guess does not hold for is read by
:mod:`migrator.documents.array_reader`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from typing import BinaryIO, NamedTuple

from migrator.documents.array_reader import Element

CHUNK = 1 << 20
FARTHEST = 1 << 26  # bytes in which to look for the end of a session
_HEAD = b"[\n  "
_SESSION_END = b"\n  }"
_SEPARATOR = b",\n  "
_CLOSED = b"\n]"
_START = _HEAD + b"{"
_END = _SESSION_END + _CLOSED
_CUT = _SESSION_END + _SEPARATOR + b"{"
_BLANK = b" \t\r\n"
_CUT_PATTERN = re.compile(re.escape(_CUT))  # a third faster than bytes.find
_BEHIND = len(_SESSION_END)  # of the cut, what still belongs to the session before it
_AHEAD = len(_SESSION_END + _SEPARATOR)  # of the cut, what precedes the session behind it
BETWEEN = len(_SEPARATOR)  # bytes between two sessions
_SMALL = 1 << 12
_WINDOW = 1 << 17  # bytes in which most files have a cut
_TAIL = 1 << 10


class Extent(NamedTuple):
    """Where the sessions of a file are.

    :ivar start: the first byte of the first one
    :ivar end: the byte behind the last one
    """

    start: int
    end: int


def extent(file: BinaryIO) -> Extent | None:
    """Where the sessions of a file are if it begins and ends as the app writes it; None for any other, or without one.

    :param file: unbuffered
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(min(size, _SMALL))
    if len(head) == size:  # with one call for all of it: there may be tens of thousands of small files
        tail = head
    else:
        file.seek(size - _TAIL)
        tail = file.read(_TAIL)
    written = tail.rstrip(_BLANK)
    if not head.startswith(_START) or not written.endswith(_END):
        return None
    return Extent(len(_HEAD), size - (len(tail) - len(written)) - len(_CLOSED))


def elements_of(content: bytes) -> list[Element] | None:
    """What :func:`elements` finds in a whole file that is in memory; None where it begins or ends otherwise."""
    written = content.rstrip(_BLANK)
    if not written.startswith(_START) or not written.endswith(_END):
        return None
    offset = len(_HEAD)
    parts = written[offset : -len(_CLOSED)].split(_CUT)
    last = len(parts) - 1
    found = []
    for position, part in enumerate(parts):
        # The cut that is lost between two sessions holds the end of the one and the beginning of the other.
        raw = (b"{" if position else b"") + part + (_SESSION_END if position < last else b"")
        found.append(Element(position, offset, raw, None))
        offset += len(raw) + BETWEEN
    return found


def cut(file: BinaryIO, within: Extent, size: int) -> list[Extent]:
    """The extent in pieces of about ``size`` bytes, or of one session where that is larger.

    :param file: unbuffered
    """
    pieces, start = [], within.start
    while within.end - start > size + size // 2:
        found = _cut_behind(file, start + size, within.end)
        if found is None:
            break
        pieces.append(Extent(start, found + _BEHIND))
        start = found + _AHEAD
    return [*pieces, Extent(start, within.end)]


def _cut_behind(file: BinaryIO, start: int, end: int) -> int | None:
    """The first place between two sessions from a byte on."""
    file.seek(start)
    window = b""
    while chunk := file.read(min(_WINDOW, end - start - len(window))):
        window += chunk
        found = window.find(_CUT)
        if found >= 0:
            return start + found
        start += max(0, len(window) - len(_CUT) + 1)
        window = window[max(0, len(window) - len(_CUT) + 1) :]
    return None


def elements(file: BinaryIO, within: Extent) -> Iterator[Element]:
    """The sessions of an extent in order, unparsed: their ``value`` is None, their positions count from the first.

    :param file: unbuffered, for it is read in large pieces
    """
    file.seek(within.start)
    left = within.end - within.start
    position, offset = 0, within.start
    buffer, begin, searched = b"", 0, 0
    while True:
        found = _CUT_PATTERN.search(buffer, searched)
        if found is not None:
            cut = found.start()
            yield Element(position, offset, buffer[begin : cut + _BEHIND], None)
            position += 1
            offset += cut + _AHEAD - begin
            begin = searched = cut + _AHEAD
            continue
        rest = buffer[begin:]
        if len(rest) > FARTHEST:  # not to be held in memory for a guess
            yield Element(position, offset, rest[:1], None)  # which parses as nothing
            return
        # The window grows by its own size, so that a long session costs linear time.
        chunk = file.read(min(left, max(CHUNK, len(rest))))
        if not chunk:
            break
        left -= len(chunk)
        searched = max(0, len(rest) - len(_CUT) + 1)
        buffer, begin = rest + chunk, 0
    yield Element(position, offset, buffer[begin:], None)


def known_elements(file: BinaryIO, first: int, offset: int, sizes: Iterable[int]) -> Iterator[Element]:
    """Some of them again, of which it is known where they are.

    :param first: the position of the first one
    :param offset: its first byte
    :param sizes: of each one, in bytes
    """
    file.seek(offset)
    for position, size in enumerate(sizes, first):
        yield Element(position, offset, file.read(size), None)
        file.seek(BETWEEN, os.SEEK_CUR)
        offset += size + BETWEEN
