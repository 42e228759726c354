"""The base of the reports that operations return: each has an exit code, and is printed by ``--json``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from typing import Any

from migrator.errors import Message


class Report:
    """The result of an operation; each kind of report is a dataclass."""

    @property
    def exit_code(self) -> int:
        """The exit code of the command: 0, 1 if something is broken, 3 if something needs attention."""
        return 0

    def to_json(self) -> dict[str, Any]:
        """Return all members as JSON values; a report's ``errors`` also as ``problems``."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]
        return _members(values) | (problems_of(values["errors"]) if "errors" in values else {})


def problems_of(errors: Iterable[str]) -> dict[str, Any]:
    """Return the member ``problems``, which has the code, the message and the hint of each error."""
    return {"problems": [error.to_json() for error in errors if isinstance(error, Message)]}


# A report may contain tens of thousands of named tuples; nearly all of their members have one of these types.
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
