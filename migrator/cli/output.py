"""What people and programs get to read: one JSON object, or text in which stored data can't drive the terminal."""

from __future__ import annotations

import json
import shutil
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from typing import Any

import click

_MANY = 1000


def print_json(value: dict[str, Any]) -> None:
    """Exactly one object on standard output."""
    if len(value.get("workspaces", ())) < _MANY:
        click.echo(json.dumps(value, indent=2))  # in ASCII, control characters escaped
    else:
        from migrator.exact_json import pretty  # a start with nothing to do shall cost next to nothing

        click.echo(pretty(value))


def say(text: str = "", *, error: bool = False) -> None:
    """Text for people, on standard output or standard error: every line that this program writes goes through here.

    Whatever it is made of, nothing in it drives the terminal. A part that was stored somewhere goes through
    :func:`plain` or :func:`block` first, so that it can't pass for lines of ours.
    """
    click.echo(block(text), err=error)


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
        if text.count("\n") >= shutil.get_terminal_size().lines:
            click.echo_via_pager(text)
        else:
            click.echo(text, nl=False)


def complain(message: str) -> None:
    """One message on standard error."""
    say(f"migrator: {plain(message)}", error=True)


def plain(text: str) -> str:
    """A text in one line, with everything that could drive a terminal, or turn its direction, spelled out."""
    if text.isprintable():
        return text
    return "".join(character if _harmless(character) else _spelled(character) for character in text)


def block(text: str, indent: str = "") -> str:
    """The same for a text of several lines, each of them indented; tabs stay as they are."""
    return "\n".join(
        indent + "\t".join(plain(cell) for cell in line.split("\t")) for line in text.replace("\r\n", "\n").split("\n")
    )


def _harmless(character: str) -> bool:
    return unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Zl", "Zp")


def _spelled(character: str) -> str:
    return character.encode("unicode_escape").decode()


def size(count: float) -> str:
    """Bytes for people: 1.5 MB."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:,.0f} {unit}" if unit == "bytes" else f"{count:,.1f} {unit}"
        count /= 1000
    return f"{count:,.1f} TB"


def counted(number: int, noun: str) -> str:
    """``1 session``, ``2 sessions``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
