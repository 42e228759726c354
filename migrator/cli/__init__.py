"""The command line: parse, call, print, exit.

- ``app``: the group of commands, and the one boundary that turns errors into messages and exit codes
- ``commands/``: one module a command, loaded when the command is asked for
- ``options``: what several commands have; prints the report that a command returns, ``--json`` included
- ``output``: everything that is written goes through it
- ``progress``: a bar, lines or JSON events, and how a command ended
- ``signals``: being asked to end

The rule: it decides nothing. What a command does is one call of the library.
"""

from __future__ import annotations

import gc
import io
import sys

from migrator.cli import signals


def main() -> None:
    """The program ``migrator``."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a path may hold what the terminal can't show
    try:
        signals.end_cleanly_when_asked_to()
        from migrator.cli.app import run

        code = run(sys.argv[1:])
    except KeyboardInterrupt as error:  # before anything was done
        code = signals.exit_code(error)
    gc.freeze()  # nobody needs to look for cycles in what goes away as a whole
    sys.exit(code)
