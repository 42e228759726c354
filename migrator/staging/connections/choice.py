"""Chooses the loader of a run, and knows whether APSW can be used here."""

from __future__ import annotations

import sqlite3
from functools import cache
from typing import Literal

from migrator.errors import Message, UsageError
from migrator.files.resources import install_hint
from migrator.staging.connections.interface import LoaderName

Wanted = Literal["auto", "sqlite-utils", "apsw"]
WANTED: tuple[Wanted, ...] = ("auto", "sqlite-utils", "apsw")
NOT_INSTALLED = "APSW is not installed."
_OLDEST = (3, 46)  # versions of APSW begin with the one of its SQLite


@cache
def apsw_problem() -> str | None:
    """Return why APSW cannot be used here, as a sentence; None if it can."""
    try:
        import apsw

        found = apsw.sqlite_lib_version()
    except Exception as error:  # noqa: BLE001 - whatever is left of one, or was built for another system
        missing = isinstance(error, ModuleNotFoundError) and error.name == "apsw"
        return NOT_INSTALLED if missing else f"APSW does not load: {error}."
    if tuple(map(int, found.split(".")[:2])) < _OLDEST:
        return f"APSW has SQLite {found}; {'.'.join(map(str, _OLDEST))} or newer is required."
    return None


def warnings(wanted: str) -> list[Message]:
    """Return the message about an installed APSW that ``auto`` cannot use, if so."""
    problem = apsw_problem() if wanted == "auto" else None
    if problem is None or problem == NOT_INSTALLED:
        return []
    return [Message(f"{problem} sqlite-utils is used instead.", code="program.apsw_unusable")]


def choose(wanted: str) -> LoaderName:
    """Return the loader to use. APSW is faster for any amount of work: sqlite-utils takes longer to import alone.

    :param wanted: one of WANTED; ``auto`` is APSW where it can be used
    :raises UsageError: there is no such loader, or APSW is wanted but cannot be used
    """
    if wanted not in WANTED:
        raise UsageError(f"There is no loader {wanted!r}.", code="option.invalid", hint=f"Use {', '.join(WANTED)}.")
    problem = None if wanted == "sqlite-utils" else apsw_problem()
    if wanted == "apsw" and problem:
        raise UsageError(
            f"Cannot use the loader apsw: {problem}", code="program.apsw_unusable", hint=install_hint("fast")
        )
    return "sqlite-utils" if wanted == "sqlite-utils" or problem else "apsw"


def in_words() -> str:
    """Return which loader ``auto`` uses here, and why, in one line."""
    problem = apsw_problem()
    if problem is None:
        import apsw

        return f"apsw {apsw.apsw_version()} with SQLite {apsw.sqlite_lib_version()}"
    return f"sqlite-utils with SQLite {sqlite3.sqlite_version} ({problem} It would be faster.)"
