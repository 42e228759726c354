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
from pathlib import Path
from typing import Any, TypeVar, get_args

from migrator.data_dir import DataDir, path_text
from migrator.errors import MigratorError, UsageError
from migrator.files.os_errors import remaining_os_errors
from migrator.inventory.location import resolve_data_dir
from migrator.progress import Listener, ignore_progress

T = TypeVar("T")
PathLike = str | os.PathLike[str]


def at(data_dir: PathLike | DataDir | None, database: PathLike | None, operation: Callable[[DataDir], T]) -> T:
    """Call an operation with the places of a data directory, and return its report.

    The commands that its report or its error names find the same places.

    :raises StorageIOError: the system refused a file operation
    :raises UsageError: an argument does not name a data directory or a database
    """
    with remaining_os_errors():
        places = resolve_data_dir(data_dir, database)
        try:
            report = operation(places)
        except MigratorError as error:
            from migrator.hints import complete_error  # a start with nothing to do needs none of this

            complete_error(error, places)
            raise
        except (TypeError, ValueError, AttributeError, LookupError) as error:  # as values of another type cause
            from migrator.hints import complete_error
            from migrator.salvage.intact import damage_behind

            if (damage := damage_behind(places.database)) is None:
                raise
            complete_error(damage, places)
            raise damage from error
        if isinstance(report, bool):
            return report
        from migrator.hints import complete_report

        return complete_report(report, places)


def several(name: str, values: Iterable[Any], each: Callable[[str, Any], T]) -> tuple[T, ...]:
    """Return the values of an argument that takes several.

    :param each: checks one value, given the argument's name, and returns it
    :raises UsageError: it is one path or text, which would be read letter by letter, or no iterable
    """
    if isinstance(values, (str, bytes, os.PathLike)):
        raise UsageError(
            f"{name} cannot be {values!r}: it takes several values.",
            code="option.type",
            hint=f"Pass a list, such as {name}=[{values!r}].",
        )
    if not isinstance(values, Iterable):
        raise UsageError(f"{name} cannot be {_shown(values)}: it takes several values.", code="option.type")
    return tuple(each(name, value) for value in values)


def some_or_all(name: str, values: Iterable[Any] | None, each: Callable[[str, Any], T]) -> tuple[tuple[T, ...], bool]:
    """Return the values of an argument for which None means all, and whether it does."""
    return ((), True) if values is None else (several(name, values, each), False)


def path_of(name: str, value: Any) -> Path:
    """Return the path that an argument names.

    :raises UsageError: it is not a path, or empty
    """
    text = path_text(name, value)
    if not text.strip():
        raise UsageError(f"{name} is empty: it must be a path.", code="option.invalid")
    return Path(text)


def name_of(name: str, value: Any) -> str:
    """Return a path as its text, which may be that of another system; or a name.

    :raises UsageError: it is neither, or empty
    """
    path_of(name, value)  # which would change the separators
    return path_text(name, value)


def number_of(name: str, value: Any) -> int:
    """Return a number.

    :raises UsageError: it is not an integer, or larger than any that is stored
    """
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) >= 1 << 63:
        raise UsageError(f"{name} cannot be {_shown(value)}: it must be an integer.", code="option.type")
    return value


def text_of(name: str, value: Any) -> str:
    """Return a text.

    :raises UsageError: it is not one
    """
    if not isinstance(value, str):
        raise UsageError(f"{name} must be a text, not {_shown(value)}.", code="option.type")
    return value


def listener_of(progress: Any) -> Listener:
    """Return what to call with the progress.

    :raises UsageError: it cannot be called
    """
    if progress is not None and not callable(progress):
        raise UsageError(f"progress must be a function, not {_shown(progress)}.", code="option.type")
    return progress or ignore_progress


def _shown(value: Any) -> str:
    from migrator.documents.validation import abbreviated  # slow to load; only an error needs it

    return abbreviated(value)


def require_one_of(name: str, value: Any, choices: Any) -> None:
    """Check that a value is None or one of a ``Literal``.

    :raises UsageError: it is neither
    """
    if value is not None and value not in get_args(choices):
        names = ", ".join(map(repr, get_args(choices)))
        raise UsageError(f"{name} cannot be {_shown(value)}: it must be one of {names}.", code="option.invalid")
