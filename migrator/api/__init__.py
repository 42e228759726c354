"""The functions for programs: what the command line can do, with typed results.

Programs import them from ``migrator``, where each loads its module when it is first used.

- ``moving``: migrate, go back, verify, export, and choose the backend
- ``looking``: the status, the migration report, the doctor, and search
- ``deciding``: the quarantine, and the sessions that a file lost
- ``keeping``: the backups

Its rule: a function finds the places, calls the function that the command line calls, and completes the commands that
the report or the error names.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any, TypeVar, get_args

from migrator.data_dir import DataDir
from migrator.errors import MigratorError, UsageError
from migrator.files.os_errors import remaining_os_errors
from migrator.inventory.location import resolve_data_dir

T = TypeVar("T")
PathLike = str | os.PathLike[str]


def at(data_dir: PathLike | DataDir | None, database: PathLike | None, operation: Callable[[DataDir], T]) -> T:
    """Call an operation with the places of a data directory, and return its report.

    The commands that its report or its error names find the same places.

    :raises StorageIOError: the system refused a file operation
    :raises UsageError: an argument does not name a data directory or a database
    """
    with remaining_os_errors():
        places = data_dir if isinstance(data_dir, DataDir) else resolve_data_dir(data_dir, database)
        try:
            report = operation(places)
        except MigratorError as error:
            from migrator.hints import complete_error  # a start with nothing to do needs none of this

            complete_error(error, places)
            raise
        if isinstance(report, bool):
            return report
        from migrator.hints import complete_report

        return complete_report(report, places)


def several(name: str, values: Iterable[T]) -> tuple[T, ...]:
    """Return the values of an argument that takes several.

    :raises UsageError: it is one path or text, which would be read letter by letter, or no iterable
    """
    if isinstance(values, (str, bytes, os.PathLike)) or not isinstance(values, Iterable):
        raise UsageError(
            f"{name} cannot be {values!r}: it takes several values.",
            code="option.type",
            hint=f"Pass a list, such as {name}=[{values!r}].",
        )
    return tuple(values)


def some_or_all(name: str, values: Iterable[T] | None) -> tuple[tuple[T, ...], bool]:
    """Return the values of an argument for which None means all, and whether it does."""
    return ((), True) if values is None else (several(name, values), False)


def require_one_of(name: str, value: Any, choices: Any) -> None:
    """Check that a value is None or one of a ``Literal``.

    :raises UsageError: it is neither
    """
    if value is not None and value not in get_args(choices):
        names = ", ".join(map(repr, get_args(choices)))
        raise UsageError(f"{name} cannot be {value!r}: it must be one of {names}.", code="option.invalid")
