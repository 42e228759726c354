"""Options that several commands share, and how the report that a command returns is printed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click

from migrator.cli.output import (
    echo,
    is_quiet,
    log_to_standard_error,
    print_json,
    print_notes,
    set_quiet,
    set_works,
)
from migrator.data_dir import DataDir, wrong_place
from migrator.errors import Message, MigratorError, UsageError
from migrator.report import Report

ReportT = TypeVar("ReportT", bound=Report)
Function = TypeVar("Function", bound=Callable[..., Any])
# The first argument of every command: finds the data directory, which may fail.
Resolve = Callable[[], DataDir]
PLACES = "migrator.places"  # where the context keeps what it found


# Older versions of click have no argument there.
class Value(click.ParamType):  # type: ignore[type-arg]
    """The value of an option; the message about a wrong one says what the option takes.

    :param expected: what that is, for the message
    :param read: returns the value of a text, or raises ValueError
    """

    def __init__(self, name: str, expected: str, read: Callable[[Any], Any]) -> None:
        self.name = name
        self._expected, self._read = expected, read

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the value of a text."""
        try:
            return self._read(value)
        except (ValueError, OverflowError, OSError):  # also a date that this system cannot convert
            raise click.BadParameter(f"{value!r} is not {self._expected}.", ctx, param) from None


def whole_number(smallest: int, largest: int = (1 << 63) - 1) -> Value:
    """Make the type of a whole number; the largest one is by default the largest that SQLite can hold."""

    def read(value: Any) -> int:
        if smallest <= int(value) <= largest:
            return int(value)
        raise ValueError

    return Value("integer", f"a whole number from {smallest} to {largest}", read)


def _not_empty(value: str) -> str:
    if not value.strip():
        raise ValueError
    return value


NAME = Value("path", "a path or a name", _not_empty)
FILE = Value("path", "the path of a file or folder", lambda value: Path(_not_empty(value)))


def progress_option(text: str = "How to show progress.") -> Callable[[Function], Function]:
    """Make the option ``--progress``."""
    styles = click.Choice(["auto", "bar", "jsonl", "none"])
    return click.option("--progress", type=styles, default="auto", show_default=True, help=text)


def _set_quiet(_: click.Context, __: click.Parameter, value: bool) -> None:
    if value:
        set_quiet(True)


def _set_verbose(_: click.Context, __: click.Parameter, value: bool) -> None:
    if value:
        log_to_standard_error("debug")


def verbosity_options(*, hidden: bool = True) -> Callable[[Function], Function]:
    """Make the options ``-q`` and ``-v``: before the command, and hidden in its help after it."""
    kinds: dict[str, Any] = {"is_flag": True, "is_eager": True, "expose_value": False, "hidden": hidden}
    quiet = "Print only errors, what was asked for, and what needs attention: no progress, no notes."
    verbose = "Also print internal steps, as --log-level debug does."

    def decorate(command: Function) -> Function:
        command = click.option("-v", "--verbose", callback=_set_verbose, help=verbose, **kinds)(command)
        return click.option("-q", "--quiet", callback=_set_quiet, help=quiet, **kinds)(command)

    return decorate


yes_option = click.option("--yes", "-y", is_flag=True, help="Do not ask; without a terminal nothing is asked anyway.")


def asks(yes: bool) -> bool:
    """Return whether the command asks before it does what cannot be undone: on a terminal, for people."""
    as_json = click.get_current_context().params["as_json"]
    return not yes and not as_json and sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()


def require_yes(question: str) -> None:
    """Ask a question on standard error, and end the command with exit code 1 unless the answer is yes."""
    if not click.confirm(question, err=True):
        echo("Nothing was changed.", error=True)
        raise click.exceptions.Exit(1)


def prints_report(
    show: Callable[[ReportT], None],
    text: str = "Print the result as one JSON object.",
    *,
    stored: bool = False,
    works: bool | str = False,
) -> Callable[[Callable[..., ReportT]], Callable[..., int]]:
    """Add the option ``--json`` to a command, print the report that it returns, and end with the report's exit code.

    :param show: prints the report for people
    :param text: the option's help
    :param stored: the report contains stored data, which is printed unchanged
    :param works: the command does more than print: it changes or checks something; or the option that makes it do so
    """

    def decorate(command: Callable[..., ReportT]) -> Callable[..., int]:
        @click.option("--json", "as_json", is_flag=True, help=text)
        @verbosity_options()
        @wraps(command)
        def run(*, as_json: bool, **options: Any) -> int:
            worked = works if isinstance(works, bool) else options[works] is not None
            set_works(worked)
            context = click.get_current_context()
            with naming_the_cause():
                report = command(context.obj, **options)
                if report.exit_code:
                    set_quiet(False)  # what needs attention is said in full
                wrong = _wrong_place(context)
                if wrong is not None and report.exit_code != UsageError.exit_code:
                    print_notes([wrong])
                if as_json:
                    print_json(report.to_json(), stored=stored)
                elif not (worked and is_quiet()):
                    show(report)
            return report.exit_code

        return run

    return decorate


@contextmanager
def naming_the_cause() -> Iterator[None]:
    """Replace an error within the block by its cause: this is not a data directory of the app, or damage."""
    try:
        yield
    except MigratorError as error:
        wrong = _wrong_place(click.get_current_context())
        if wrong is None or error.exit_code == UsageError.exit_code:
            raise
        raise UsageError(wrong.message, code=wrong.code, hint=wrong.hint) from error
    except (TypeError, ValueError, AttributeError, LookupError) as error:  # as values of another type cause
        from migrator.salvage.intact import damage_behind  # hardly ever needed

        places = click.get_current_context().meta.get(PLACES)
        damage = None if places is None else damage_behind(places.database)
        if damage is None:
            raise
        raise damage from error


def _wrong_place(context: click.Context) -> Message | None:
    return wrong_place(context.meta[PLACES]) if PLACES in context.meta else None


class WithFile(Report):
    """A report that was also written to a file.

    :ivar member: the name of the JSON member that has the path
    :ivar path: the file, or None if none was requested
    """

    def __init__(self, report: Any, member: str, path: Path | None) -> None:
        self.report, self.member, self.path = report, member, path

    @property
    def exit_code(self) -> int:
        return int(self.report.exit_code)

    def to_json(self) -> dict[str, Any]:
        members: dict[str, Any] = self.report.to_json()
        return members | ({self.member: str(self.path)} if self.path else {})
