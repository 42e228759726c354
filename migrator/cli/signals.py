"""Ends the program on SIGTERM, as at a shutdown, the same way as on Ctrl-C: nothing is left half done."""

from __future__ import annotations

import signal
from types import FrameType


class Terminated(KeyboardInterrupt):
    """SIGTERM was received."""


def end_cleanly_on_sigterm() -> None:
    """Make SIGTERM raise :class:`Terminated` in the main thread from now on."""
    signal.signal(signal.SIGTERM, _terminate)


def _terminate(_: int, __: FrameType | None) -> None:
    raise Terminated


def exit_code(error: BaseException) -> int:
    """Return the exit code for an interrupt, or for the exception that click turned it into."""
    return 143 if isinstance(error.__cause__ or error, Terminated) else 130  # 128 + the number of the signal
