"""What every operation returns: a report that has an exit code, and that ``--json`` prints."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from typing import Any

from migrator.errors import Message


class Report:
    """What an operation did or found; each kind is a dataclass of its own."""

    @property
    def exit_code(self) -> int:
        """What the command exits with: 0, 1 where something is broken, 3 where something needs the user."""
        return 0

    def to_json(self) -> dict[str, Any]:
        """Return its members, and those of what it holds, as JSON has them; a report's errors also as ``problems``."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]
        return _members(values) | (problems_of(values["errors"]) if "errors" in values else {})


def problems_of(errors: Iterable[str]) -> dict[str, Any]:
    """Return the member ``problems`` that stands next to ``errors``: code, message and hint of each."""
    return {"problems": [error.to_json() for error in errors if isinstance(error, Message)]}


# A report may hold tens of thousands of named tuples, nearly all of whose members are one of these.
_SCALARS = frozenset((str, int, float, bool, type(None)))


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return str(value)
    if isinstance(value, Report):
        return value.to_json()
    if isinstance(value, tuple | list):
        if hasattr(value, "_asdict"):
            return _members(value._asdict())
        return type(value)(member if type(member) in _SCALARS else _plain(member) for member in value)
    if is_dataclass(value):
        value = {field.name: getattr(value, field.name) for field in fields(value)}
    return _members(value) if isinstance(value, dict) else value


def _members(values: dict[Any, Any]) -> dict[Any, Any]:
    return {name: value if type(value) in _SCALARS else _plain(value) for name, value in values.items()}
