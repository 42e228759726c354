"""What every operation returns: a report that has an exit code, and that ``--json`` prints."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any


class Report:
    """What an operation did or found; each kind is a dataclass of its own."""

    @property
    def exit_code(self) -> int:
        """What the command exits with: 0, 1 where something is broken, 3 where something needs the user."""
        return 0

    def to_json(self) -> dict[str, Any]:
        """Its members, and those of what it holds, as JSON has them."""
        return {field.name: _plain(getattr(self, field.name)) for field in fields(self)}  # type: ignore[arg-type]


def _plain(value: Any) -> Any:
    if isinstance(value, Report):
        return value.to_json()
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple):
        named = getattr(value, "_asdict", None)
        return _plain(named()) if named else tuple(map(_plain, value))
    if isinstance(value, list):
        return list(map(_plain, value))
    if isinstance(value, dict):
        return {name: _plain(member) for name, member in value.items()}
    return value
