"""How the loading of files is divided between two processes: what each one takes, and in what portions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from migrator.documents import app_format
from migrator.documents.app_format import ByteRange
from migrator.files.os_errors import os_errors
from migrator.staging.results import LoadedSource

_OWN_SHARE = 0.4  # of the first process, which has the shards to take over as well
# So that whoever has the last one is not waited for, each takes a quarter of what is left, down to a 16th of a shard.
_OF_THE_REST = 4
_SMALLEST = 16
_PIECE = 8  # large files are cut into pieces of about this part of a shard: one is full, and help asked for, in time


class Part(NamedTuple):
    """A source of which nobody has seen yet that it is not as the app writes it, or an extent of such a one.

    :ivar size: bytes
    :ivar within: None for all of it
    """

    loaded: LoadedSource
    size: int
    within: ByteRange | None


def divided(parts: Sequence[Part], path_of: Callable[[str], str], shard: int) -> tuple[list[Part], list[list[Part]]]:
    """What the first process loads at once, and what goes to each shard; in their order, large files in pieces.

    Of a file there is one extent at most in a shard.

    :param path_of: where the copy of a source is, told by name
    :param shard: bytes of files with which a shard is full
    """
    left = sum(part.size for part in parts)
    own = int(left * _OWN_SHARE)
    mine: list[Part] = []
    shards: list[list[Part]] = []
    room = 0
    for part in _cut_up(parts, path_of, shard // _PIECE):
        if own > part.size // 2:
            mine.append(part)
            own -= part.size
        else:
            own = 0
            if room <= 0:
                shards.append([])
                room = min(shard, max(shard // _SMALLEST, left // _OF_THE_REST))
            _append(shards[-1], part)
            room -= part.size
        left -= part.size
    return mine, shards


def _append(parts: list[Part], part: Part) -> None:
    """Put a part behind others; two pieces of a file become one."""
    last, within = parts[-1] if parts else None, part.within
    if last is None or last.within is None or within is None or last.loaded is not part.loaded:
        parts.append(part)
    else:
        parts[-1] = Part(part.loaded, last.size + part.size, ByteRange(last.within.start, within.end))


def _cut_up(parts: Sequence[Part], path_of: Callable[[str], str], size: int) -> Iterator[Part]:
    for part in parts:
        if part.size <= size + size // 2:
            yield part
            continue
        copy = path_of(part.loaded.source.name)
        with os_errors("read", copy), open(copy, "rb", buffering=0) as file:
            whole = app_format.find_sessions(file)
            pieces = app_format.partition(file, whole, size) if whole else []
        if len(pieces) < 2:
            yield part
        else:
            yield from (Part(part.loaded, piece.end - piece.start, piece) for piece in pieces)
