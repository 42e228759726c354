"""What people and programs get to read: one JSON object, or text in which stored data can't drive the terminal."""

from __future__ import annotations

import json
import unicodedata
from typing import Any

import click

_MANY = 1000


def print_json(value: dict[str, Any]) -> None:
    """Exactly one object on standard output."""
    if len(value.get("workspaces", ())) < _MANY:
        click.echo(json.dumps(value, indent=2))
    else:
        from migrator.exact_json import pretty  # a start with nothing to do shall cost next to nothing

        click.echo(pretty(value))


def complain(message: str) -> None:
    """One message on standard error."""
    click.echo(f"migrator: {plain(message)}", err=True)


def plain(text: str) -> str:
    """The text with everything that could drive a terminal, or turn its direction, spelled out."""
    if text.isprintable():
        return text
    return "".join(character if _harmless(character) else _spelled(character) for character in text)


def _harmless(character: str) -> bool:
    return character == "\n" or unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Zl", "Zp")


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
