"""The command line: parse, call, print, exit. What it does is decided elsewhere."""

from __future__ import annotations

import io
import sys


def main() -> None:
    """The program ``migrator``."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a path may hold what the terminal can't show
    try:
        from migrator.cli.app import run
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(run(sys.argv[1:]))
