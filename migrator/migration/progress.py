"""How far a run is, for whoever wants to show it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple


class Progress(NamedTuple):
    """One step of a run, for a progress bar.

    :ivar phase: backup, load, verify or publish; search_index, when everything else is done and the app may start;
        restore where JSON files are written
    :ivar workspace: the file at work
    :ivar done: bytes of the phase that are done
    :ivar total: bytes of the phase
    :ivar sessions: sessions done so far in the phase
    """

    phase: str
    workspace: str
    done: int
    total: int
    sessions: int = 0


Listener = Callable[[Progress], None]


def ignore_progress(_: Progress) -> None:
    """For callers that don't want to know."""
