"""Being asked to end by another program, as at a shutdown, is answered as an interrupt is: nothing stays half-done."""

from __future__ import annotations

import signal
from types import FrameType


class Terminated(KeyboardInterrupt):
    """SIGTERM has come."""


def end_cleanly_when_asked_to() -> None:
    """From now on SIGTERM raises :class:`Terminated` in the main thread."""
    signal.signal(signal.SIGTERM, _end)


def _end(_: int, __: FrameType | None) -> None:
    raise Terminated


def exit_code(error: BaseException) -> int:
    """The exit code for an interrupt, or for what click has made of one."""
    return 143 if isinstance(error.__cause__ or error, Terminated) else 130  # 128, and the number of the signal
