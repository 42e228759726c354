"""Standard output and standard error: that one is full, closed or missing changes nothing in what a command does."""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import TextIO


class OutputStream(io.TextIOWrapper):
    """A stream of the process. When it cannot be written to, the text is dropped and the reason is kept.

    :ivar lost: why not all text could be written; None if all was written, or if the reader closed its pipe
    """

    lost: Exception | None = None

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except (OSError, ValueError) as error:
            self._drop(error)
            return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except (OSError, ValueError) as error:
            self._drop(error)

    def _drop(self, error: Exception) -> None:
        if not isinstance(error, BrokenPipeError):
            self.lost = self.lost or error
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())  # also discards what is still in the buffer
        os.close(nowhere)


def protect_output() -> None:
    """Replace standard output and standard error by streams whose failures end no command.

    The first three descriptors must be in use: otherwise the next file that is opened would get the number of standard
    output.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    # Also the second name: the library asks it for the width of the terminal.
    sys.stdout = sys.__stdout__ = _protected(sys.stdout, "standard output")  # type: ignore[misc, assignment]
    sys.stderr = _protected(sys.stderr, "standard error")


def _protected(stream: TextIO | None, name: str) -> TextIO:
    if stream is None:
        nowhere = OutputStream(open(os.devnull, "wb"), "utf-8")  # noqa: SIM115 - open until the process ends
        nowhere.lost = OSError(errno.EBADF, f"there is no {name}")
        return nowhere
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    encoding, by_line, at_once = stream.encoding, stream.line_buffering, stream.write_through
    if encoding.lower() in ("ascii", "us-ascii", "ansi_x3.4-1968"):
        encoding = "utf-8"  # as click does
    # The terminal may be unable to show a path.
    return OutputStream(stream.detach(), encoding, "backslashreplace", None, by_line, at_once)
