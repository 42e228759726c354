"""What the library has to say besides its results, on standard error."""

from __future__ import annotations

import logging
import sys

from migrator.cli.output import block


class _Harmless(logging.Formatter):
    """Messages, and tracebacks, in which nothing drives the terminal."""

    def format(self, record: logging.LogRecord) -> str:
        return block(super().format(record))


def log_to_standard_error(level: str) -> None:
    """Tell what is at least as grave as a level, by its name."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Harmless("%(levelname)s: %(message)s"))
    logging.basicConfig(level=level.upper(), handlers=[handler])
