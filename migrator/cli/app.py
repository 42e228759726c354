"""The group of commands, and the one boundary that turns errors into messages and exit codes."""

from __future__ import annotations

import io
import sqlite3
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import click

from migrator._version import __version__
from migrator.cli.output import complain, located, print_failure, remember_place, say
from migrator.cli.signals import exit_code
from migrator.data_dir import DATA_DIR_VARIABLE, DATABASE_VARIABLE, resolve_data_dir
from migrator.errors import MigratorError

_LOG_LEVEL = "warning"

# Each command is loaded when it is asked for: a start with nothing to do should cost next to nothing.
_COMMANDS = {
    "migrate": "migrator.cli.commands.migrate",
    "status": "migrator.cli.commands.inspect",
    "report": "migrator.cli.commands.report",
    "browse": "migrator.cli.commands.browse",
    "verify": "migrator.cli.commands.inspect",
    "export": "migrator.cli.commands.inspect",
    "rollback": "migrator.cli.commands.rollback",
    "backend": "migrator.cli.commands.backend",
    "sessions": "migrator.cli.commands.sessions",
    "quarantine": "migrator.cli.commands.quarantine",
    "backups": "migrator.cli.commands.backups",
    "search-index": "migrator.cli.commands.search_index",
    "schema": "migrator.cli.commands.schema",
    "doctor": "migrator.cli.commands.doctor",
    "completion": "migrator.cli.commands.completion",
}


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - the same
        place = _COMMANDS.get(cmd_name)
        if place is None:
            return None
        command: click.Command = getattr(import_module(place), f"{cmd_name.replace('-', '_')}_command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from migrator.cli.suggestions import close_names  # only a mistake pays for loading it

            close = close_names(args[0], self, ctx)
            if close:  # click looks among the commands that are loaded, which none are
                names = " or ".join(map(repr, close))
                raise click.UsageError(f"{error.message} Did you mean {names}?", ctx) from error
            raise


def _show_version(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        say(f"migrator {__version__} (SQLite {sqlite3.sqlite_version})")
        ctx.exit()


@click.group(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done, or nothing to do; 1 failed, nothing changed; 2 wrong usage; "
    "3 done, and something needs you; 4 another migrator is at work.",
)
@click.option(
    "--data-dir",
    metavar="DIR",
    help=f"The app's data directory.  [default: ${DATA_DIR_VARIABLE}, else ~/.ait42]",
)
@click.option(
    "--database",
    metavar="PATH",
    help=f"The SQLite database, as a path or an sqlite: URL.  [default: ${DATABASE_VARIABLE}, else DIR/sessions.db]",
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"], case_sensitive=False),
    default=_LOG_LEVEL,
    show_default=True,
    help="How much to tell on standard error.",
)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version, help="Show versions."
)
@click.pass_context
def cli(ctx: click.Context, data_dir: str | None, database: str | None, log_level: str) -> None:
    """Move the session history of AIT42 Editor from its JSON files into SQLite, and back, losing nothing.

    \b
    migrator migrate       do it; run it again whenever you like
    migrator status        see how things stand
    migrator verify        compare everything with where it came from
    """
    if log_level != _LOG_LEVEL:  # warnings reach standard error without any help
        from migrator.cli.log import log_to_standard_error  # a start with nothing to do needs none

        log_to_standard_error(log_level)
    remember_place(data_dir, database)
    ctx.obj = lambda: resolve_data_dir(data_dir, database)


def run(arguments: Sequence[str]) -> int:
    """Run one command line; returns its exit code. No traceback for anything that files or machine can cause.

    With ``--json``, a failure is one object on standard output as well: ``status``, ``errors`` and ``exit_code``.
    """
    remember_place()
    try:
        result: Any = cli.main(args=list(arguments), prog_name="migrator", standalone_mode=False)
    except click.exceptions.Exit as leaving:
        return leaving.exit_code
    except BaseException as raised:  # noqa: BLE001 - the one boundary; what is not ours goes on from there
        error = raised
        if isinstance(raised, click.UsageError):
            from migrator.cli.suggestions import with_what_was_meant  # only a mistake pays for loading it

            error = with_what_was_meant(raised, arguments, cli)
        code = _report(error)
        if "--json" in arguments and isinstance(error, (MigratorError, click.ClickException)):
            text = error.format_message() if isinstance(error, click.ClickException) else located(str(error))
            print_failure(text, code)
        return code
    return result if isinstance(result, int) else 0


def _report(error: BaseException) -> int:
    """Say what went wrong in one message; returns the exit code for it."""
    match error:
        case click.ClickException():
            shown = io.StringIO()
            error.show(shown)  # it quotes what was typed
            say(shown.getvalue().rstrip("\n"), error=True)
            return error.exit_code
        case MigratorError():
            complain(str(error))
            return error.exit_code
        case KeyboardInterrupt() | click.Abort():
            complain("Interrupted. Nothing is half-done; run the command again to go on.")
            return exit_code(error)
        case MemoryError():
            complain("There is not enough memory for this. Close other programs and try again. Nothing was published.")
            return 1
        case Exception():
            complain(
                f"This is a bug in migrator ({type(error).__name__}: {error}). Nothing was published. "
                "Please report it, with what '--log-level debug' adds."
            )
            import logging

            logging.getLogger("migrator").debug("The bug, in full:", exc_info=error)
            return 1
    raise error
