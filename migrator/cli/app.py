"""The group of commands, and the one place that turns errors into messages and exit codes."""

from __future__ import annotations

import io
import sqlite3
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import click

from migrator._version import __version__
from migrator.cli.options import PLACES, verbosity_options
from migrator.cli.output import (
    echo,
    exit_code_after_output,
    located,
    log_to_standard_error,
    print_error,
    print_failure,
    print_notes,
    set_location,
    set_quiet,
    set_works,
)
from migrator.cli.signals import exit_code
from migrator.data_dir import DATA_DIR_VARIABLE, DATABASE_VARIABLE, DataDir
from migrator.errors import Message, MigratorError
from migrator.files.os_errors import remaining_os_errors
from migrator.hints import shell_quote
from migrator.inventory.location import SHARED_VARIABLE, resolve_data_dir

_LOG_LEVEL = "warning"
_COMMON_OPTIONS = ("--data-dir", "--database", "--log-level")

# Each has its own module in migrator/cli/commands/.
_COMMANDS = (
    "migrate", "status", "report", "browse", "verify", "export", "rollback", "backend", "sessions", "quarantine",
    "deletions", "backups", "search-index", "schema", "doctor", "completion", "help",
)  # fmt: skip


class _Misused(click.UsageError):
    """A usage error with a hint of its own, which click prints as part of its message."""

    def __init__(self, message: str, hint: str, ctx: click.Context) -> None:
        self.text = Message(message, code="option.invalid", hint=hint)
        super().__init__(self.text, ctx)


class _LazyGroup(click.Group):
    """A group that loads a command's module only when it is used, so that a start with nothing to do is fast."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        if cmd_name not in _COMMANDS:
            return None
        name = cmd_name.replace("-", "_")
        command: click.Command = getattr(import_module(f"migrator.cli.commands.{name}"), f"{name}_command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from difflib import get_close_matches  # loaded only after a mistake

            groups = ((name, self.get_command(ctx, name)) for name in _COMMANDS)
            close = [
                f"{name} {args[0]}"
                for name, group in groups
                if isinstance(group, click.Group) and group.get_command(ctx, args[0])
            ] or get_close_matches(args[0], _COMMANDS, n=1)
            if close:  # click itself suggests only commands that are loaded, and none are
                names = " or ".join(map(repr, close))
                raise _Misused(error.message, f"Did you mean {names}?", ctx) from error
            raise


def _show_version(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        from migrator.staging.connections.choice import in_words

        echo(f"migrator {__version__} (SQLite {sqlite3.sqlite_version}; loads with {in_words()})")
        ctx.exit()


@click.group(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done, or nothing to do; 1 failed, or a check found problems; 2 wrong usage; "
    "3 done, but some items need attention; 4 another migrator is running.",
)
@click.option(
    "--data-dir",
    metavar="DIR",
    help=f"The app's data directory.  [default: ${DATA_DIR_VARIABLE}, or ~/.ait42]",
)
@click.option(
    "--database",
    metavar="PATH",
    help=f"The SQLite database: a path or an sqlite: URL.  [default: ${DATABASE_VARIABLE}, the "
    f"authoritative one, ${SHARED_VARIABLE} if it names a database of the app, or DIR/sessions.db]",
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"], case_sensitive=False),
    default=_LOG_LEVEL,
    show_default=True,
    help="Log level for standard error.",
)
@verbosity_options(hidden=False)
@click.option(
    "-V",
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the versions of migrator and SQLite.",
)
@click.pass_context
def cli(ctx: click.Context, data_dir: str | None, database: str | None, log_level: str) -> None:
    """Move the session history of AIT42 Editor from its JSON files into SQLite, and back, without losing anything.

    \b
    migrator migrate       migrate everything; run it again at any time
    migrator status        show the current state
    migrator verify        check the database against the original files
    """
    if log_level != _LOG_LEVEL:  # warnings reach standard error without this
        log_to_standard_error(log_level)
    set_location(data_dir, database)

    def resolve() -> DataDir:
        places = resolve_data_dir(data_dir, database)
        ctx.meta[PLACES] = places
        print_notes(places.notes)
        return places

    ctx.obj = resolve


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code. Files or the machine never cause a traceback.

    With ``--json``, a failure is also printed as one object on standard output.
    """
    set_location()
    set_works(False)
    set_quiet(False)
    return exit_code_after_output(_run(arguments))


def _run(arguments: Sequence[str]) -> int:
    try:
        with remaining_os_errors():
            result: Any = cli.main(args=list(arguments), prog_name="migrator", standalone_mode=False)
    except click.exceptions.Exit as leaving:
        return leaving.exit_code
    except BaseException as raised:  # noqa: BLE001 - the one place that handles them; _report raises others again
        error = raised
        if isinstance(raised, click.UsageError):
            error = _with_suggestion(raised, arguments)
        code = _report(error)
        if "--json" in arguments and isinstance(error, (MigratorError, click.ClickException)):
            print_failure(_message_of(error), code)
        return code
    return result if isinstance(result, int) else 0


def _message_of(error: MigratorError | click.ClickException) -> Message:
    match error:
        case _Misused():
            return error.text
        case click.NoSuchOption():  # click itself may suggest another one
            hint = error.format_message().removeprefix(error.message).strip()
            return Message(error.message, code="option.invalid", hint=hint or None)
        case click.ClickException():
            return Message(error.format_message(), code="option.invalid")
    return located(error.as_message())


def _report(error: BaseException) -> int:
    """Print what went wrong as one message and return the exit code for it."""
    match error:
        case click.ClickException():
            text = io.StringIO()
            error.show(text)  # it quotes the user's input
            echo(text.getvalue().rstrip("\n"), error=True)
            return error.exit_code
        case MigratorError():
            print_error(str(error))
            return error.exit_code
        case KeyboardInterrupt() | click.Abort():
            print_error("Interrupted. Nothing is left half done; run the command again to continue.")
            return exit_code(error)
        case MemoryError():
            print_error("Out of memory. Close other programs and try again.")
            return 1
        case Exception():
            print_error(
                f"This is a bug in migrator ({type(error).__name__}: {error}). "
                "Please report it with the output of the same command run with '--log-level debug'."
            )
            import logging  # loaded only when needed

            logging.getLogger("migrator").debug("Traceback of the bug:", exc_info=error)
            return 1
    raise error


def _with_suggestion(error: click.UsageError, arguments: Sequence[str]) -> click.UsageError:
    """Return the error; if an option is only in the wrong place, add the corrected command line."""
    if not isinstance(error, click.NoSuchOption) or error.ctx is None:
        return error
    name = error.option_name
    common, rest = _split_common(arguments)
    if name in _COMMON_OPTIONS:
        where, line = "before", [*common, *rest]
    elif _is_flag_of(name, rest) and "--" not in rest:
        where, line = "after", [*common, *(word for word in rest if word != name), name]
    else:
        return error
    typed = " ".join(["migrator", *map(shell_quote, line)])
    return _Misused(error.message, f"The option must come {where} the command:\n  {typed}", error.ctx)


def _split_common(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split the words into the options that come before a command, with their values, and everything else."""
    common: list[str] = []
    rest: list[str] = []
    words = iter(arguments)
    for word in words:
        if word == "--":
            rest += [word, *words]
        elif word in _COMMON_OPTIONS:
            common += [word, next(words, "VALUE")]
        else:
            (common if word.partition("=")[0] in _COMMON_OPTIONS else rest).append(word)
    return common, rest


def _is_flag_of(name: str, words: Sequence[str]) -> bool:
    """Return whether the command that the words name has this option, and the option takes no value."""
    command: click.Command | None = cli
    for word in words:
        if isinstance(command, click.Group) and not word.startswith("-"):
            command = command.get_command(click.Context(command), word)
    options = [] if command is None or isinstance(command, click.Group) else command.params
    return any(name in option.opts for option in options if isinstance(option, click.Option) and option.is_flag)
