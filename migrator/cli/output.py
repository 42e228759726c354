"""What people and programs get to read: one JSON object, or text in which stored data can't drive the terminal."""

from __future__ import annotations

import json
import os
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from contextvars import ContextVar
from io import StringIO
from typing import Any

import click

from migrator.text import block, counted, plain, size

# The last four are from elsewhere.
__all__ = [
    "complain", "located", "paged", "print_failure", "print_json", "print_report", "quoted",
    "remember_place", "say", "told", "waiting", "block", "counted", "plain", "size",
]  # fmt: skip

_MANY = 1000
PATIENCE = 1.0  # seconds
# Our texts name commands in quotes, a finding's command stands alone.
_COMMAND = re.compile(r"(?:(?<=')|^)migrator (?=[a-z])")
# The members of reports that hold texts of ours.
_TOLD = frozenset(
    {"broken", "command", "error", "errors", "go_back", "message", "notes", "problems", "repaired", "warnings"}
)
_NESTED = (dict, list, tuple)
_PLACE: ContextVar[str] = ContextVar("place", default="")


def remember_place(data_dir: str | None = None, database: str | None = None) -> None:
    """Where this call of the program works, if its options say: every command that it prints shall work there, too."""
    given = (("--data-dir", data_dir), ("--database", database))
    _PLACE.set("".join(f"{option} {quoted(value)} " for option, value in given if value))


def quoted(word: str) -> str:
    """As a shell takes it for one word; in double quotes where that does, for single ones are around the command."""
    if re.fullmatch(r"[\w@%+=:,./-]+", word):
        return word
    if not re.search(r'["$`\\!]', word):
        return f'"{word}"'
    import shlex  # seldom needed

    return shlex.quote(word)


def located(text: str) -> str:
    """A text of ours, with the place of this call in every command that it names."""
    place = _PLACE.get()
    return _COMMAND.sub(lambda command: command[0] + place, text) if place else text


def told(text: str) -> str:
    """A text of ours for a terminal."""
    return plain(located(text))


def print_report(report: dict[str, Any]) -> None:
    """A report as exactly one object on standard output, its texts as :func:`located` makes them."""
    text = _as_json(report)
    # One that names no command is nearly all: of tens of thousands of workspaces, a look at each would be felt.
    if _PLACE.get() and "migrator " in text:
        text = _as_json(located_report(report))
    _write(text)


def print_failure(message: str, exit_code: int) -> None:
    """A failure as exactly one object on standard output, the message as it stands."""
    print_json({"status": "failed", "errors": [message], "exit_code": exit_code})


def located_report(report: dict[str, Any]) -> dict[str, Any]:
    """A report, its texts as :func:`located` makes them."""
    if not _PLACE.get():
        return report
    located_one: dict[str, Any] = _located(report, told_here=False)
    return located_one


def _located(value: Any, *, told_here: bool) -> Any:
    if isinstance(value, str):
        return located(value) if told_here else value
    if isinstance(value, dict):
        return {
            name: _located(member, told_here=name in _TOLD) if name in _TOLD or isinstance(member, _NESTED) else member
            for name, member in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [
            _located(member, told_here=told_here) if told_here or isinstance(member, _NESTED) else member
            for member in value
        ]
    return value


def print_json(value: dict[str, Any]) -> None:
    """Exactly one object on standard output."""
    _write(_as_json(value))


def _as_json(value: dict[str, Any]) -> str:
    if len(value.get("workspaces", ())) < _MANY:
        return json.dumps(value, indent=2)  # in ASCII, control characters escaped
    from migrator.text import pretty  # a start with nothing to do shall cost next to nothing

    return pretty(value)


def say(text: str = "", *, error: bool = False) -> None:
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


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """Say on a terminal, after a while, what it is that takes so long. Nothing else may be printed within."""
    if not sys.stderr.isatty():
        yield
        return
    timer = threading.Timer(PATIENCE, say, (what,), {"error": True})
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextmanager
def paged() -> Iterator[bool]:
    """What is printed within goes through the user's pager ($PAGER) where a terminal can't show it all at once.

    Yields whether a terminal shows it; anywhere else it is printed as it comes.
    """
    if not sys.stdout.isatty():
        yield False
        return
    shown = StringIO()
    try:
        with redirect_stdout(shown):
            yield True
    finally:
        text = shown.getvalue()
        from shutil import get_terminal_size  # which brings all ways to pack files along

        if text.count("\n") >= get_terminal_size().lines:
            click.echo_via_pager(text)
        else:
            _write(text, newline=False)


def complain(message: str) -> None:
    """One message on standard error."""
    say(f"migrator: {told(message)}", error=True)
