"""How the loading of files is divided between two processes: what each one takes, and in what pieces."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from migrator.documents import app_format
from migrator.documents.app_format import ByteRange
from migrator.files.os_errors import os_errors
from migrator.staging.results import LoadedSource

_OWN_SHARE = 0.4  # of the first process, which has the shards to merge in as well
# So that whoever has the last one is not waited for, each takes a quarter of what is left, down to a 16th of a shard.
_OF_THE_REST = 4
_SMALLEST = 16
_PIECE = 8  # large files are cut into pieces of about this part of a shard: one is full, and help asked for, in time


class WorkItem(NamedTuple):
    """A source that is app-formatted as far as is known yet, or a range of such a one.

    :ivar size: bytes
    :ivar within: None for all of it
    """

    loaded: LoadedSource
    size: int
    within: ByteRange | None


def divide(items: Sequence[WorkItem], shard: int) -> tuple[list[WorkItem], list[list[WorkItem]]]:
    """What the first process loads at once, and what goes to each shard; in their order, large files in pieces.

    Of a file there is one range at most in a shard.

    :param shard: bytes of files with which a shard is full
    """
    left = sum(item.size for item in items)
    own = int(left * _OWN_SHARE)
    mine: list[WorkItem] = []
    shards: list[list[WorkItem]] = []
    room = 0
    for item in _cut_large(items, shard // _PIECE):
        if own > item.size // 2:
            mine.append(item)
            own -= item.size
        else:
            own = 0
            if room <= 0:
                shards.append([])
                room = min(shard, max(shard // _SMALLEST, left // _OF_THE_REST))
            _append(shards[-1], item)
            room -= item.size
        left -= item.size
    return mine, shards


def _append(items: list[WorkItem], item: WorkItem) -> None:
    """Put an item after others; two pieces of a file become one."""
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
