"""The command line: parse, call, print, exit.

- ``app``: the group of commands, and the one place that turns errors into messages and exit codes
- ``commands/``: one module per command, loaded when the command is used
- ``options``: options that several commands share; prints the report that a command returns, with ``--json`` too
- ``dates``: reads dates as people type them
- ``layout``: fits text to a terminal: wide characters, lines that wrap at words, columns
- ``output``: everything that the program writes goes through it
- ``progress``: a bar, lines or JSON events, and how a command ended
- ``signals``: ends the program cleanly on SIGTERM
- ``suggestions``: suggests values to a shell that completes a command line
- ``streams``: standard output and standard error, which may be full, closed or missing

Its rule: this package makes no decisions. A command parses, calls the library, and prints what that returns.
"""

from __future__ import annotations

import gc
import sys

from migrator.cli import signals, streams


def main() -> None:
    """Run the program ``migrator`` and exit with its code."""
    streams.protect_output()
    try:
        signals.end_cleanly_on_sigterm()
        from migrator.cli.app import run

        code = run(sys.argv[1:])
    except KeyboardInterrupt as error:  # before anything has started
        code = signals.exit_code(error)
    gc.freeze()  # the process ends: searching its objects for cycles would only take time
    sys.exit(code)
