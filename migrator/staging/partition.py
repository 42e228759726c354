"""Divides the loading of files between two processes: which one loads what, and in what pieces."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from migrator.documents import app_format
from migrator.documents.app_format import ByteRange
from migrator.files.os_errors import os_errors
from migrator.staging.results import LoadedSource

_OWN_SHARE = 0.4  # of the first process, which must also merge the shards
# A shard takes at most a quarter of the rest, but at least 1/16 of a full shard, so that the last one is short.
_REST_DIVISOR = 4
_SMALLEST_DIVISOR = 16
_PIECE_DIVISOR = 8  # large files are cut into pieces of about 1/8 of a shard, so that the first shard is ready early


class WorkItem(NamedTuple):
    """A source that is assumed to be app-formatted, or a range of it.

    :ivar size: in bytes
    :ivar within: the range; None for the whole file
    """

    loaded: LoadedSource
    size: int
    within: ByteRange | None


def divide(items: Sequence[WorkItem], shard: int) -> tuple[list[WorkItem], list[list[WorkItem]]]:
    """Divide items into those that the first process loads at once, and those of each shard.

    They stay in order, and large files are cut into pieces. A shard contains at most one range of a file.

    :param shard: the size of files that fills a shard
    """
    left = sum(item.size for item in items)
    own = int(left * _OWN_SHARE)
    mine: list[WorkItem] = []
    shards: list[list[WorkItem]] = []
    room = 0
    for item in _cut_large(items, shard // _PIECE_DIVISOR):
        if own > item.size // 2:
            mine.append(item)
            own -= item.size
        else:
            own = 0
            if room <= 0:
                shards.append([])
                room = min(shard, max(shard // _SMALLEST_DIVISOR, left // _REST_DIVISOR))
            _append(shards[-1], item)
            room -= item.size
        left -= item.size
    return mine, shards


def _append(items: list[WorkItem], item: WorkItem) -> None:
    """Append an item; two consecutive pieces of a file become one."""
    last, within = items[-1] if items else None, item.within
    if last is None or last.within is None or within is None or last.loaded is not item.loaded:
        items.append(item)
    else:
        items[-1] = WorkItem(item.loaded, last.size + item.size, ByteRange(last.within.start, within.end))


def _cut_large(items: Sequence[WorkItem], size: int) -> Iterator[WorkItem]:
    for item in items:
        if item.size <= size + size // 2:
            yield item
            continue
        copy = item.loaded.copy
        with os_errors("read", copy), open(copy, "rb", buffering=0) as file:
            whole = app_format.find_sessions(file)
            pieces = app_format.partition(file, whole, size) if whole else []
        if len(pieces) < 2:
            yield item
        else:
            yield from (WorkItem(item.loaded, piece.end - piece.start, piece) for piece in pieces)
