r"""The app's exact file format: write it, and split it into sessions without parsing them.

The app's pretty printer puts ``\n  },\n  {`` between two sessions. The same bytes never occur inside a session, because
line feeds in strings are escaped. That a file has this format is only assumed; parsing the pieces proves it, since no
proper prefix of a JSON object is a JSON object. If a piece does not parse, :mod:`migrator.documents.array_reader` scans
the file instead.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO, NamedTuple

from migrator.documents.document import WorktreeSession, normal_form, pretty_element

CHUNK = 1 << 20
SEARCH_LIMIT = 1 << 26  # bytes to search for the end of a session before giving up
_HEAD = b"[\n  "
_SESSION_END = b"\n  }"
_SEPARATOR = b",\n  "
_CLOSED = b"\n]"
_START = _HEAD + b"{"
_END = _SESSION_END + _CLOSED
_CUT = _SESSION_END + _SEPARATOR + b"{"
BLANK = b" \t\r\n"
_END_SIZE = len(_SESSION_END)  # the part of the delimiter that ends the session before it
_NEXT_SESSION = len(_SESSION_END + _SEPARATOR)  # from the start of the delimiter to the start of the next session
SEPARATOR_SIZE = len(_SEPARATOR)  # bytes between two sessions
_SMALL = 1 << 12
_WINDOW = 1 << 17  # bytes; in most files a range this large contains a delimiter
_TAIL = 1 << 10


class Element(NamedTuple):
    """One element of the array.

    :ivar position: its index in the array, from 0
    :ivar offset: the offset of its first byte in the file
    :ivar raw: its bytes, without surrounding whitespace
    :ivar value: the value that orjson parsed; None if it could not or was not asked to (a valid element is never null)
    """

    position: int
    offset: int
    raw: bytes
    value: Any = None


class ByteRange(NamedTuple):
    """A range of bytes that begins and ends at a session boundary; ``end`` is exclusive."""

    start: int
    end: int


def app_bytes(document: WorktreeSession) -> bytes:
    """Write one document as the app writes it between the brackets of a workspace file."""
    return pretty_element(normal_form(document))


def app_file(documents: Iterable[WorktreeSession]) -> Iterator[bytes]:
    """Write a workspace file as the app writes it, in pieces: byte for byte the output of serde's pretty printer."""
    return array_of(map(app_bytes, documents))


def array_of(elements: Iterable[bytes]) -> Iterator[bytes]:
    """Write a workspace file, in pieces, from elements that are already serialized."""
    opening = _HEAD
    for element in elements:
        yield opening
        yield element
        opening = _SEPARATOR
    yield b"[]" if opening == _HEAD else _CLOSED


def find_sessions(file: BinaryIO) -> ByteRange | None:
    """Find the range of a file's sessions, if the file begins and ends as the app writes it.

    :param file: unbuffered
    :returns: None for any other file, and for a file without sessions
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(min(size, _SMALL))
    if len(head) == size:  # a small file takes one call: there may be tens of thousands of them
        tail = head
    else:
        file.seek(size - _TAIL)
        tail = file.read(_TAIL)
    written = tail.rstrip(BLANK)
    if not head.startswith(_START) or not written.endswith(_END):
        return None
    return ByteRange(len(_HEAD), size - (len(tail) - len(written)) - len(_CLOSED))


def split(
    file: BinaryIO, within: ByteRange, *, chunk: int = CHUNK, search_limit: int = SEARCH_LIMIT
) -> Iterator[Element]:
    """Split a range into its sessions, in order and unparsed; positions count from the first one.

    If the end of a session is not found within ``search_limit`` bytes, the last element is one that cannot be parsed.

    :param file: unbuffered, because it is read in large chunks
    :param chunk: the size of a chunk in bytes
    """
    file.seek(within.start)
    left = within.end - within.start
    position, offset = 0, within.start
    buffer, begin, searched = b"", 0, 0
    while True:
        end = buffer.find(_CUT, searched)
        if end >= 0:
            yield Element(position, offset, buffer[begin : end + _END_SIZE])
            position += 1
            offset += end + _NEXT_SESSION - begin
            begin = searched = end + _NEXT_SESSION
            continue
        rest = buffer[begin:]
        if len(rest) > search_limit:  # too much memory for an assumption
            yield Element(position, offset, rest[:1])
            return
        # The window doubles, so that a long session takes linear time.
        more = file.read(min(left, max(chunk, len(rest))))
        if not more:
            break
        left -= len(more)
        searched = max(0, len(rest) - len(_CUT) + 1)
        buffer, begin = rest + more, 0
    yield Element(position, offset, buffer[begin:])


def partition(file: BinaryIO, within: ByteRange, size: int) -> list[ByteRange]:
    """Split a range into pieces of about ``size`` bytes; a larger session is a piece of its own.

    :param file: unbuffered
    """
    pieces, start = [], within.start
    while within.end - start > size + size // 2:
        rest = next(split(file, ByteRange(start + size, within.end), chunk=_WINDOW))  # up to the next session boundary
        end = rest.offset + len(rest.raw)
        if end == within.end or len(rest.raw) == 1:  # there is no further boundary, or none was found
            break
        pieces.append(ByteRange(start, end))
        start = end + SEPARATOR_SIZE
    return [*pieces, ByteRange(start, within.end)]


def split_again(file: BinaryIO, first: int, offset: int, sizes: Iterable[int]) -> Iterator[Element]:
    """Read consecutive sessions of known sizes, without searching for their ends.

    :param first: the position of the first one
    :param offset: the offset of its first byte
    :param sizes: the size of each session in bytes
    """
    file.seek(offset)
    for position, size in enumerate(sizes, first):
        yield Element(position, offset, file.read(size))
        file.seek(SEPARATOR_SIZE, os.SEEK_CUR)
        offset += size + SEPARATOR_SIZE
