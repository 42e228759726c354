"""What people and programs get to read: one JSON object, or text in which stored data can't drive the terminal."""

from __future__ import annotations

import json
import os
import re
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from contextvars import ContextVar
from functools import partial
from io import StringIO
from typing import Any

import click

from migrator.text import block, plain, pretty

_MANY = 1000
PATIENCE = 1.0  # seconds
# Our texts name commands in quotes, a finding's command stands alone.
_COMMAND = re.compile(r"(?:(?<=')|^)migrator (?=[a-z])")
# The members of reports that hold texts of ours.
_OUR_TEXTS = frozenset(
    {"broken", "command", "error", "errors", "go_back", "message", "notes", "problems", "repaired", "warnings"}
)
# The options of this call that say where it works: every command that it prints shall work there, too.
_LOCATION: ContextVar[str] = ContextVar("location", default="")


def set_location(data_dir: str | None = None, database: str | None = None) -> None:
    """Remember where this call of the program works, as far as its options say."""
    given = (("--data-dir", data_dir), ("--database", database))
    _LOCATION.set("".join(f"{option} {shell_quote(value)} " for option, value in given if value))


def shell_quote(word: str) -> str:
    """As a shell takes it for one word; in double quotes where that does, for single ones are around the command."""
    if re.fullmatch(r"[\w@%+=:,./-]+", word):
        return word
    if not re.search(r'["$`\\!]', word):
        return f'"{word}"'
    return "'" + word.replace("'", "'\"'\"'") + "'"


def with_location(text: str) -> str:
    """A text of ours, with the location of this call in every command that it names."""
    location = _LOCATION.get()
    return _COMMAND.sub(lambda command: command[0] + location, text) if location else text


def printable(text: str) -> str:
    """A text of ours for a terminal."""
    return plain(with_location(text))


def print_json(value: dict[str, Any], *, stored: bool = False) -> None:
    """Print exactly one object on standard output, its texts as :func:`with_location` makes them.

    :param stored: what it holds is as somebody wrote it, and printed as it stands
    """
    few = len(value.get("workspaces", ())) < _MANY
    written: Callable[[Any], str] = partial(json.dumps, indent=2) if few else pretty  # both in ASCII
    text = written(value)
    if not stored and "migrator " in text:  # one that names no command is nearly all, and may be long
        text = written(locate_commands(value))
    _write(text)


def print_failure(message: str, exit_code: int) -> None:
    """Print a failure as one object on standard output, the message as it stands."""
    print_json({"status": "failed", "errors": [message], "exit_code": exit_code}, stored=True)


def locate_commands(value: Any, *, ours: bool = False) -> Any:
    """A report, its texts as :func:`with_location` makes them.

    :param ours: the value itself is a text of ours, or holds such
    """
    if not _LOCATION.get():
        return value
    if isinstance(value, dict):
        return {name: locate_commands(member, ours=name in _OUR_TEXTS) for name, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [locate_commands(member, ours=ours) for member in value]
    return with_location(value) if ours and isinstance(value, str) else value


def echo(text: str = "", *, error: bool = False) -> None:
    """Text for people, on standard output or standard error: every line that this program writes goes through here.

    Whatever it is made of, nothing in it drives the terminal. A part that was stored somewhere goes through
    :func:`plain` or :func:`block` first, so that it can't pass for lines of ours.
    """
    _write(block(text), error=error)


def _write(text: str, *, newline: bool = True, error: bool = False) -> None:
    """What a command does, and the code that it ends with, do not depend on whether its output is read to the end."""
    try:
        click.echo(text, nl=newline, err=error)
    except BrokenPipeError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, (sys.stderr if error else sys.stdout).fileno())  # what is still in the buffer goes there, too
        os.close(nowhere)


class _ErrorStream:
    """Standard error for the library's log: nothing in its messages, or in their tracebacks, drives the terminal."""

    def write(self, text: str) -> None:
        _write(block(text), newline=False, error=True)


def log_to_standard_error(level: str) -> None:
    """Show messages of the library that are at least as grave as a level, by its name."""
    import logging  # a start with nothing to do needs none

    logging.basicConfig(level=level.upper(), format="%(levelname)s: %(message)s", stream=_ErrorStream())


@contextmanager
def notice_when_slow(what: str) -> Iterator[None]:
    """Say on a terminal, after a while, what it is that takes so long. Nothing else may be printed within."""
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


@contextmanager
def pager() -> Iterator[bool]:
    """What is printed within goes through the user's pager ($PAGER) where a terminal can't show it all at once.

    Yields whether a terminal shows it; anywhere else it is printed as it comes.
    """
    if not sys.stdout.isatty():
        yield False
        return
    printed = StringIO()
    try:
        with redirect_stdout(printed):
            yield True
    finally:
        text = printed.getvalue()
        from shutil import get_terminal_size  # which brings all ways to pack files along

        if text.count("\n") >= get_terminal_size().lines:
            click.echo_via_pager(text)
        else:
            _write(text, newline=False)


def print_error(message: str) -> None:
    """One message on standard error."""
    echo(f"migrator: {printable(message)}", error=True)


def print_notes(notes: Iterable[str]) -> None:
    """What is worth knowing besides the result, on standard error; of JSON events the last one has it already."""
    if click.get_current_context().params.get("progress") != "jsonl":
        for note in notes:
            echo(f"Note: {printable(note)}", error=True)


def print_authority(authority: str, backend: str) -> None:
    """Which store is authoritative, and what the app runs on."""
    truth = {"sqlite": "SQLite", "json": "the JSON files"}[authority]
    echo(f"The truth is in {truth}; the app runs on {backend}.")


def print_columns(rows: Iterable[Sequence[str]]) -> None:
    """One line for each row, columns parted by tabs."""
    for row in rows:
        echo("\t".join(plain(" ".join(cell.split("\t"))) for cell in row))
