"""Everything that the program prints: one JSON object, or text in which stored data cannot control the terminal."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from contextvars import ContextVar
from functools import partial
from io import StringIO
from typing import Any

import click

from migrator.errors import Message, StorageIOError
from migrator.hints import OUR_TEXTS, complete, complete_message, options
from migrator.report import problems_of
from migrator.text import block, plain, pretty

_MANY = 1000
PATIENCE = 1.0  # seconds
_OK: dict[str, Any] = {"fg": "green"}
_NOTE: dict[str, Any] = {"fg": "yellow"}
_PROBLEM: dict[str, Any] = {"fg": "red", "bold": True}
# The styles of parts of a line: what reports say of one thing, and what stands out.
_STYLES = {
    **dict.fromkeys(("ok", "migrated", "merged", "repaired", "whole"), _OK),
    **dict.fromkeys(("note", "new", "changed"), _NOTE),
    **dict.fromkeys(("problem", "failed", "BROKEN", "damaged"), _PROBLEM),
    "heading": {"bold": True},
    "found": {"bold": True, "underline": True},
    "-": {"fg": "red"},
    "+": {"fg": "green"},
}
# The --data-dir and --database of this call: every command that it prints needs them as well.
_LOCATION: ContextVar[str] = ContextVar("location", default="")
# Whether this call does more than print: then its exit code is that of its work, also if its output is lost.
_WORKS: ContextVar[bool] = ContextVar("works", default=False)
# Whether this call prints only what was asked for, and errors.
_QUIET: ContextVar[bool] = ContextVar("quiet", default=False)


def set_location(data_dir: str | None = None, database: str | None = None) -> None:
    """Remember the data directory and the database that this call was given as options."""
    _LOCATION.set(options(data_dir, database))


def with_location(text: str) -> str:
    """Add the location of this call to every command that a text of ours names."""
    return complete(text, _LOCATION.get())


def located(message: Message) -> Message:
    """Add the location of this call to the commands of a message and of its hint."""
    return complete_message(message, _LOCATION.get())


def printable(text: str) -> str:
    """Make one of our texts safe for a terminal, with the location in its commands."""
    return plain(with_location(text))


def print_json(value: dict[str, Any], *, stored: bool = False) -> None:
    """Print exactly one object on standard output, its texts passed through :func:`with_location`.

    :param stored: the object contains stored data, which is printed unchanged
    """
    few = len(value.get("workspaces", ())) < _MANY
    to_text: Callable[[Any], str] = partial(json.dumps, indent=2) if few else pretty  # both write ASCII
    text = to_text(value)
    if not stored and "migrator " in text:  # most objects name no command, and some are long
        text = to_text(locate_commands(value))
    _write(text)


def print_failure(error: Message, exit_code: int) -> None:
    """Print a failure as one object on standard output, with the message unchanged."""
    print_json({"status": "failed", "errors": [error], **problems_of([error]), "exit_code": exit_code}, stored=True)


def locate_commands(value: Any, *, ours: bool = False) -> Any:
    """Pass the texts of a report through :func:`with_location`.

    :param ours: the value is one of our texts, or holds such texts
    """
    if not _LOCATION.get():
        return value
    if isinstance(value, dict):
        return {name: locate_commands(member, ours=name in OUR_TEXTS) for name, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [locate_commands(member, ours=ours) for member in value]
    return with_location(value) if ours and isinstance(value, str) else value


def echo(*parts: str | tuple[str, str], error: bool = False, wrap: bool = True, redrawn: bool = False) -> None:
    """Print text for people on standard output or standard error. Every line that the program writes goes through here.

    Nothing in the text can control the terminal. Stored data goes through :func:`plain` or :func:`block` first, so that
    it cannot look like lines of ours. On a terminal, lines wrap at words.

    :param parts: the text; a part with a style is a pair of both
    :param wrap: False for stored data, whose lines stay as they are
    :param redrawn: draw over the line that was printed like this before, and do not end it
    """
    stream = sys.stderr if error else sys.stdout
    on_terminal = stream.isatty()
    colours = on_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    text = "".join(block(part) if isinstance(part, str) else _styled(*part, colours=colours) for part in parts)
    if redrawn:
        text = f"\r{text}"
    elif on_terminal and wrap:
        from migrator.cli.layout import terminal_size, wrapped  # most starts print to a program

        text = wrapped(text, terminal_size(2 if error else 1)[0])
    _write(text, newline=not redrawn, error=error)


def _styled(text: str, style: str, *, colours: bool) -> str:
    return click.style(block(text), **_STYLES[style]) if colours and style in _STYLES else block(text)


def _write(text: str, *, newline: bool = True, error: bool = False) -> None:
    click.echo(text, nl=newline, err=error)


def output_lost() -> StorageIOError | None:
    """Return the error if standard output could not be written; a pipe that its reader closed is not one."""
    lost = getattr(sys.stdout, "lost", None)
    if lost is None:
        return None
    return StorageIOError(
        f"Cannot write the output: {getattr(lost, 'strerror', None) or lost}.",
        code="program.output_lost",
        hint="Send it to a file or a terminal that can be written to.",
    )


def set_works(works: bool) -> None:
    """Remember whether this call does more than print: it changes or checks something."""
    _WORKS.set(works)


def set_quiet(quiet: bool) -> None:
    """Remember whether this call prints no notes, no progress, and nothing of work that went well."""
    _QUIET.set(quiet)


def is_quiet() -> bool:
    """Return what :func:`set_quiet` remembered."""
    return _QUIET.get()


def exit_code_after_output(exit_code: int) -> int:
    """Report output that was lost, and return the exit code: a call that only prints has failed then."""
    lost = output_lost()
    if lost is None:
        return exit_code
    print_error(f"{lost.message} The exit code is that of the work itself." if _WORKS.get() else str(lost))
    return exit_code if _WORKS.get() else exit_code or 1


class _ErrorStream:
    """Standard error for the library's log; nothing in messages or tracebacks can control the terminal."""

    def write(self, text: str) -> None:
        _write(block(text), newline=False, error=True)


def log_to_standard_error(level: str) -> None:
    """Show the library's log messages of this level and above on standard error."""
    import logging  # loaded only when needed

    logging.basicConfig(level=level.upper(), format="%(levelname)s: %(message)s", stream=_ErrorStream())


@contextmanager
def notice_when_slow(what: str) -> Iterator[None]:
    """Print on a terminal, after a while, what is taking so long. The block must not print anything itself."""
    if not sys.stderr.isatty():
        yield
        return
    timer = threading.Timer(PATIENCE, echo, (what,), {"error": True})
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


class _Page(StringIO):
    """Holds what is meant for the terminal, and looks like it."""

    def isatty(self) -> bool:
        return True


@contextmanager
def pager() -> Iterator[bool]:
    """Send what the block prints through the user's pager ($PAGER) if it is longer than the terminal.

    Yields whether standard output is a terminal; if not, everything is printed directly.
    """
    if not sys.stdout.isatty():
        yield False
        return
    printed = _Page()
    try:
        with redirect_stdout(printed):
            yield True
    finally:
        from migrator.cli.layout import terminal_size

        text = printed.getvalue()
        if text.count("\n") >= terminal_size()[1]:
            click.echo_via_pager(text)
        else:
            _write(text, newline=False)


def print_error(message: str) -> None:
    """Print one error message on standard error."""
    echo(("migrator:", "problem"), f" {printable(message)}", error=True)


def print_notes(notes: Iterable[str]) -> None:
    """Print notes on standard error, each once in a call; with JSON events the last event already has them."""
    if is_quiet():
        return
    if click.get_current_context().params.get("progress") != "jsonl":
        printed = click.get_current_context().meta.setdefault("migrator.notes", set())
        for note in notes:
            if note not in printed:
                printed.add(note)
                echo(("Note:", "note"), f" {printable(note)}", error=True)


def print_authority(authority: str, backend: str) -> None:
    """Print which store is authoritative and which backend is in use."""
    store = {"sqlite": "SQLite", "json": "the JSON files"}[authority]
    echo(f"Authoritative store: {store}. Backend in use: {backend}.")


def print_columns(rows: Iterable[Sequence[str]]) -> None:
    """Print one line per row, columns separated by tabs."""
    echo("\n".join("\t".join(plain(" ".join(cell.split("\t"))) for cell in row) for row in rows), wrap=False)
