r"""The app's exact format of a workspace file: writing it, and splitting it into its sessions without parsing any.

The app's pretty printer puts ``\n  },\n  {`` between two sessions and, because a line feed inside of a string is always
escaped, nowhere inside of one. That a file is in this format is a guess, which parsing the pieces proves: no proper
prefix of a JSON object is a JSON object. Where the guess fails, :mod:`migrator.documents.array_reader` scans.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO, NamedTuple

from migrator.documents.document import WorktreeSession, normal_form, pretty_element

CHUNK = 1 << 20
FARTHEST = 1 << 26  # bytes in which to look for the end of a session
_HEAD = b"[\n  "
_SESSION_END = b"\n  }"
_SEPARATOR = b",\n  "
_CLOSED = b"\n]"
_START = _HEAD + b"{"
_END = _SESSION_END + _CLOSED
_CUT = _SESSION_END + _SEPARATOR + b"{"
BLANK = b" \t\r\n"
_BEHIND = len(_SESSION_END)  # of the cut, what still belongs to the session before it
_AHEAD = len(_SESSION_END + _SEPARATOR)  # of the cut, what precedes the session behind it
SEPARATOR_SIZE = len(_SEPARATOR)  # bytes between two sessions
_SMALL = 1 << 12
_WINDOW = 1 << 17  # bytes in which most files have a cut
_TAIL = 1 << 10


class Element(NamedTuple):
    """One element of the array.

    :ivar position: its place in the array, from 0
    :ivar offset: its first byte, counted from the start of the file
    :ivar raw: its bytes, without the space around them
    :ivar value: what orjson reads in them, or None where it can't or was not asked (no valid element is null)
    """

    position: int
    offset: int
    raw: bytes
    value: Any = None


class ByteRange(NamedTuple):
    """The first byte of a session, and the one behind the last byte of the same or of another one."""

    start: int
    end: int


def app_bytes(document: WorktreeSession) -> bytes:
    """One document as the app writes it between the brackets of a workspace file."""
    return pretty_element(normal_form(document))


def app_file(documents: Iterable[WorktreeSession]) -> Iterator[bytes]:
    """A workspace file as the app writes it, in pieces: byte for byte what serde's pretty printer gives."""
    return array_of(map(app_bytes, documents))


def array_of(elements: Iterable[bytes]) -> Iterator[bytes]:
    """A workspace file made of elements that are written already, in pieces."""
    opening = _HEAD
    for element in elements:
        yield opening
        yield element
        opening = _SEPARATOR
    yield b"[]" if opening == _HEAD else _CLOSED


def find_sessions(file: BinaryIO) -> ByteRange | None:
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
    written = tail.rstrip(BLANK)
    if not head.startswith(_START) or not written.endswith(_END):
        return None
    return ByteRange(len(_HEAD), size - (len(tail) - len(written)) - len(_CLOSED))


def split(file: BinaryIO, within: ByteRange, *, chunk: int = CHUNK, farthest: int = FARTHEST) -> Iterator[Element]:
    """The sessions of a range in order, unparsed; their positions count from the first.

    Where the end of one is not found within ``farthest`` bytes, a last element is given out that parses as nothing.

    :param file: unbuffered, for it is read in large pieces
    :param chunk: their size in bytes
    """
    file.seek(within.start)
    left = within.end - within.start
    position, offset = 0, within.start
    buffer, begin, searched = b"", 0, 0
    while True:
        end = buffer.find(_CUT, searched)
        if end >= 0:
            yield Element(position, offset, buffer[begin : end + _BEHIND])
            position += 1
            offset += end + _AHEAD - begin
            begin = searched = end + _AHEAD
            continue
        rest = buffer[begin:]
        if len(rest) > farthest:  # not to be held in memory for a guess
            yield Element(position, offset, rest[:1])
            return
        # The window grows by its own size, so that a long session costs linear time.
        more = file.read(min(left, max(chunk, len(rest))))
        if not more:
            break
        left -= len(more)
        searched = max(0, len(rest) - len(_CUT) + 1)
        buffer, begin = rest + more, 0
    yield Element(position, offset, buffer[begin:])


def partition(file: BinaryIO, within: ByteRange, size: int) -> list[ByteRange]:
    """The range in pieces of about ``size`` bytes, or of one session where that is larger.

    :param file: unbuffered
    """
    pieces, start = [], within.start
    while within.end - start > size + size // 2:
        behind = next(split(file, ByteRange(start + size, within.end), chunk=_WINDOW))
        end = behind.offset + len(behind.raw)
        if end == within.end or len(behind.raw) == 1:  # there is no further cut, or none was found
            break
        pieces.append(ByteRange(start, end))
        start = end + SEPARATOR_SIZE
    return [*pieces, ByteRange(start, within.end)]


def split_again(file: BinaryIO, first: int, offset: int, sizes: Iterable[int]) -> Iterator[Element]:
    """Consecutive sessions whose sizes are known, with no search for their ends.

    :param first: the position of the first one
    :param offset: its first byte
    :param sizes: of each one, in bytes
    """
    file.seek(offset)
    for position, size in enumerate(sizes, first):
        yield Element(position, offset, file.read(size))
        file.seek(SEPARATOR_SIZE, os.SEEK_CUR)
        offset += size + SEPARATOR_SIZE
