"""The two records in which FTS5 says of what its index consists (https://www.sqlite.org/fts5.html, "data structures").

An index consists of segments, each of which is an index by itself. Its pages are never changed, only replaced by those
of a new segment. So segments that were built elsewhere become part of an index once its records name them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

AVERAGES, STRUCTURE = 1, 10  # their ids in the table _data
SHIFT = 37  # the id of a page is the number of its segment, shifted by this, plus its place in the segment
_COOKIE = 4  # bytes at the beginning of the structure
_OTHER_FORMAT = b"\xff\x00\x00\x01"  # follows them in a table that stores more for each segment
_FIRST = 1001  # FTS5 itself takes the smallest number that is free, and has few segments at a time
_LAST = 1999
_TOGETHER = 3  # segments on one level: from four on, FTS5 would begin to merge them when the app writes


class UnknownFormat(Exception):
    """The record has a form that this version does not know."""


class Segment(NamedTuple):
    """A segment: its number, and the numbers of its first and last leaf page."""

    number: int
    first: int
    last: int


class Level(NamedTuple):
    """Segments of about the same age.

    :ivar merging: how many of them FTS5 is merging
    """

    merging: int
    segments: Sequence[Segment]


class Structure(NamedTuple):
    """What an index consists of.

    :ivar cookie: changes with the options of the table
    :ivar written: counts the pages that were written, which says when to merge
    :ivar levels: the newest segments first
    """

    cookie: bytes
    written: int
    levels: Sequence[Level]

    @classmethod
    def read(cls, block: bytes) -> Structure:
        """Read the record.

        :raises UnknownFormat: it is of a kind of table that migrator does not create
        """
        cookie, rest = block[:_COOKIE], block[_COOKIE:]
        if rest.startswith(_OTHER_FORMAT):
            raise UnknownFormat
        numbers = iter(_numbers(rest))
        try:
            count, _, written = next(numbers), next(numbers), next(numbers)
            levels = []
            for _ in range(count):
                merging, size = next(numbers), next(numbers)
                segments = [Segment(next(numbers), next(numbers), next(numbers)) for _ in range(size)]
                levels.append(Level(merging, segments))
        except StopIteration:
            raise UnknownFormat from None
        return cls(cookie, written, levels)

    def block(self) -> bytes:
        """Return the record."""
        flat = [len(self.levels), sum(len(level.segments) for level in self.levels), self.written]
        for level in self.levels:
            flat += [level.merging, len(level.segments)]
            for segment in level.segments:
                flat += segment
        return self.cookie + b"".join(map(_varint, flat))

    @property
    def segments(self) -> list[Segment]:
        """All segments."""
        return [segment for level in self.levels for segment in level.segments]

    def free_numbers(self) -> list[int]:
        """Return the numbers that new segments can have, and FTS5 itself does not give."""
        taken = {segment.number for segment in self.segments}
        return [number for number in range(_FIRST, _LAST) if number not in taken]

    def with_segments(self, added: Sequence[Segment]) -> Structure:
        """Add segments as the oldest, on levels of their own, where the app's writes do not merge them for long."""
        levels = list(self.levels)
        while len(levels) < 2:
            levels.append(Level(0, ()))
        levels += [Level(0, added[start : start + _TOGETHER]) for start in range(0, len(added), _TOGETHER)]
        return self._replace(levels=levels)


def add_averages(blocks: Sequence[bytes]) -> bytes:
    """Add up records with the number of rows and of their words."""
    columns = [_numbers(block) or [0, 0] for block in blocks]
    return b"".join(_varint(sum(numbers)) for numbers in zip(*columns, strict=True))


def _numbers(block: bytes) -> list[int]:
    """Read integers in SQLite's format: seven bits in a byte, the highest ones first; the ninth byte has eight."""
    numbers, value, length = [], 0, 0
    for byte in block:
        length += 1
        value = value << 8 | byte if length == 9 else value << 7 | byte & 0x7F
        if length == 9 or byte < 0x80:
            numbers.append(value)
            value = length = 0
    return numbers


def _varint(number: int) -> bytes:
    if number >= 1 << 56:
        raise UnknownFormat  # nothing that is counted here is as large
    digits = [number & 0x7F]
    while number := number >> 7:
        digits.append(number & 0x7F | 0x80)
    return bytes(reversed(digits))
