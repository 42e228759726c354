"""``migrator help``: shows the help of a command."""

from __future__ import annotations

import click

from migrator.cli.output import echo


def _names(ctx: click.Context, _: click.Parameter, typed: str) -> list[str]:
    command, context = _find(ctx.find_root(), ctx.params.get("words") or ())
    names = command.list_commands(context) if isinstance(command, click.Group) else []
    return [name for name in names if name.startswith(typed)]


def _find(context: click.Context, words: tuple[str, ...]) -> tuple[click.Command, click.Context]:
    """Find the command that the words name."""
    command = context.command
    for word in words:
        if not isinstance(command, click.Group):
            raise click.UsageError(f"'{context.command_path}' has no command {word!r}.", context)
        name, found, _ = command.resolve_command(context, [word])
        if found is None:
            raise click.UsageError(f"No such command {word!r}.", context)
        command, context = found, click.Context(found, info_name=name, parent=context)
    return command, context


@click.command("help", short_help="Show the help of a command.")
@click.argument("words", metavar="[COMMAND]...", nargs=-1, shell_complete=_names)
@click.pass_context
def help_command(ctx: click.Context, words: tuple[str, ...]) -> int:
    """Show the help of a command, as its option --help does.

    \b
    migrator help                            all commands
    migrator help sessions list
    """
    command, context = _find(ctx.find_root(), words)
    echo(command.get_help(context), wrap=False)
    return 0
