"""How the loading of files is divided between two processes: what each one takes, and in what portions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from migrator import as_written
from migrator.as_written import Extent
from migrator.errors import os_errors
from migrator.migration.jobs import LoadTask
from migrator.migration.load import LoadedSource

# The rows of the second process have to be taken over, which is done by the first one.
_OWN_SHARE = 0.4
SHARD = 32 << 20  # bytes of files whose sessions go to one shard, at most
_LEAST = 16  # shards, the smallest ones, that the largest is as large as
_PIECES = 4  # of a file that a shard has room for: so that both processes can be done at about the same time


class Part(NamedTuple):
    """A source of which nobody has seen yet that it is not as the app writes it, or an extent of such a one.

    :ivar task: what there is to do, by whichever process
    """

    loaded: LoadedSource
    size: int
    task: LoadTask


def divided(parts: Sequence[Part]) -> tuple[list[Part], list[list[Part]]]:
    """What this process loads, and what goes to each shard, in their order; of a file, one extent at most to each.

    The shards get smaller, so that who loads the last ones is not waited for.
    """
    left = sum(part.size for part in parts)
    own = int(left * _OWN_SHARE)
    mine: list[Part] = []
    shards: list[list[Part]] = []
    room = 0
    for part in _pieces(parts):
        if own > part.size // 2:
            _append(mine, part)
            own -= part.size
        else:
            own = 0
            if room <= 0:
                shards.append([])
                room = min(SHARD, max(SHARD // _LEAST, left // 4))
            _append(shards[-1], part)
            room -= part.size
        left -= part.size
    return mine, shards


def _append(parts: list[Part], part: Part) -> None:
    """Put a part behind others; two pieces of a file become one."""
    last, within = parts[-1] if parts else None, part.task.within
    if last is None or last.task.within is None or within is None or last.loaded is not part.loaded:
        parts.append(part)
    else:
        parts[-1] = _within(part, last.size + part.size, Extent(last.task.within.start, within.end))


def _pieces(parts: Sequence[Part]) -> Iterator[Part]:
    size = SHARD // _PIECES
    for part in parts:
        if part.size <= size + size // 2:
            yield part
            continue
        copy = part.task.copy
        with os_errors("read", copy), open(copy, "rb", buffering=0) as file:
            whole = as_written.extent(file)
            pieces = as_written.cut(file, whole, size) if whole else []
        if len(pieces) < 2:
            yield part
        else:
            yield from (_within(part, piece.end - piece.start, piece) for piece in pieces)


def _within(part: Part, size: int, extent: Extent) -> Part:
    return Part(part.loaded, size, part.task._replace(within=extent))
