"""Completes the commands that our texts name with the data directory and the database that they are about.

A text is made where its cause is found, which is often far from where the places are known. So the commands are
completed where a text leaves the program: by the functions for programs, by the stores, and by the command line.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from types import FunctionType
from typing import Any, TypeVar, cast

from migrator.data_dir import DATA_DIR_VARIABLE, DEFAULT_DATABASE, DataDir, default_root
from migrator.errors import Message, MigratorError

T = TypeVar("T")

# Our texts name commands in quotes; a finding's command is a text of its own. One with options is complete already.
_COMMAND = r"(?:(?<=')|^)migrator (?=[a-z])"
# The members of reports that hold our own texts.
OUR_TEXTS = frozenset(
    {"broken", "command", "error", "errors", "go_back", "hint", "message", "notes", "problems", "repaired", "warnings"}
)


def shell_quote(word: str) -> str:
    """Quote a word for a shell; in double quotes where possible, since messages put commands in single quotes."""
    if re.fullmatch(r"[\w@%+=:,./-]+", word):
        return word
    if not re.search(r'["$`\\!]', word):
        return f'"{word}"'
    return "'" + word.replace("'", "'\"'\"'") + "'"


def options(data_dir: str | None, database: str | None) -> str:
    """Return the options that name a data directory and a database, as a command has them after its first word."""
    given = (("--data-dir", data_dir), ("--database", database))
    return "".join(f"{option} {shell_quote(value)} " for option, value in given if value)


def options_for(places: DataDir) -> str:
    """Return the options that a command needs to find these places, whatever the shell's own settings are."""
    is_default = places.root == default_root() and DATA_DIR_VARIABLE not in os.environ
    is_inside = places.database == places.root / DEFAULT_DATABASE
    return options(None if is_default else str(places.root), None if is_inside else str(places.database))


def complete(text: str, location: str) -> str:
    """Add options to every command that a text of ours names."""
    return re.sub(_COMMAND, lambda command: command[0] + location, text) if location else text


def complete_message(message: Message, location: str) -> Message:
    """Add options to the commands of a message and of its hint."""
    hint = None if message.hint is None else complete(message.hint, location)
    return Message(complete(message.message, location), code=message.code, hint=hint)


def complete_error(error: MigratorError, places: DataDir) -> None:
    """Add the options that these places need to the commands of an error and of its hint."""
    if "migrator " in str(error):
        completed = complete_message(error.as_message(), options_for(places))
        error.message, error.hint = completed.message, completed.hint


def complete_report(report: T, places: DataDir) -> T:
    """Return a report with the options that these places need in the commands of its texts.

    What was stored is not among them: dicts are left as they are.
    """
    location = options_for(places)
    return cast(T, _completed(report, location, ours=False)) if location else report


def _completed(value: Any, location: str, *, ours: bool) -> Any:
    """Return a value with completed commands, or the value itself if it has none.

    :param ours: the value is one of our texts, or holds such texts
    """
    if isinstance(value, Message):
        return complete_message(value, location) if "migrator " in value else value
    if isinstance(value, str):
        return complete(value, location) if ours else value
    if isinstance(value, (tuple, list)) and not hasattr(value, "_fields"):
        parts = [_completed(part, location, ours=ours) for part in value]
        same = all(new is old for new, old in zip(parts, value, strict=True))
        return value if same else type(value)(parts)
    names: Iterable[str] = getattr(value, "_fields", getattr(value, "__dataclass_fields__", ()))
    changed = dict[str, Any]()
    for name in names:
        old = getattr(value, name)
        new = _completed(old, location, ours=name in OUR_TEXTS)
        if new is not old:
            changed[name] = new
    if not changed:
        return value
    if hasattr(value, "_replace"):
        return value._replace(**changed)
    from dataclasses import replace  # a start with nothing to do has no report

    return replace(value, **changed)


class NamesCommands:
    """A base of the stores, whose errors name commands that find the store's places.

    :ivar places: where the store was opened; None if that is unknown
    """

    places: DataDir | None = None

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for name, member in list(vars(cls).items()):
            if isinstance(member, FunctionType) and not name.startswith("_"):
                setattr(cls, name, _naming_commands(member))


def _naming_commands(method: Callable[..., Any]) -> Callable[..., Any]:
    """Complete the commands in the errors of a method, also of an iterator that it returns."""

    @wraps(method)
    def call(self: NamesCommands, *args: Any, **named: Any) -> Any:
        try:
            result = method(self, *args, **named)
        except MigratorError as error:
            if self.places is not None:
                complete_error(error, self.places)
            raise
        return _naming_in(result, self) if isinstance(result, Iterator) else result

    return call


def _naming_in(items: Iterator[Any], store: NamesCommands) -> Iterator[Any]:
    try:
        yield from items
    except MigratorError as error:
        if store.places is not None:
            complete_error(error, store.places)
        raise
