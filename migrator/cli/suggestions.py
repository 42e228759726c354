"""What was meant by a command line with a slip in it: the same words in an order, or with a name, that works."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import click

from migrator.cli.output import shell_quote

COMMON_OPTIONS = ("--data-dir", "--database", "--log-level")


def with_suggestion(error: click.UsageError, arguments: Sequence[str], program: click.Group) -> click.UsageError:
    """The error, with the line as it should have been where an option merely stands in the wrong place.

    :param arguments: what was typed behind the name of the program
    """
    if not isinstance(error, click.NoSuchOption) or error.ctx is None:
        return error
    name = error.option_name
    common, rest = _parted(arguments)
    if name in COMMON_OPTIONS:
        where, line = "before", [*common, *rest]
    elif _is_flag_of(name, rest, program) and "--" not in rest:
        where, line = "behind", [*common, *(word for word in rest if word != name), name]
    else:
        return error
    return click.UsageError(f"{error.message} It stands {where} the command:\n  {_typed(line)}", error.ctx)


def close_names(name: str, program: click.Group, ctx: click.Context) -> list[str]:
    """The commands that somebody may have meant who typed this one, as they are typed."""
    from difflib import get_close_matches  # only a mistake pays for loading it

    inner = [f"{group} {name}" for group, command in _groups(program, ctx) if command.get_command(ctx, name)]
    return inner or get_close_matches(name, program.list_commands(ctx), n=1)


def _groups(program: click.Group, ctx: click.Context) -> Iterator[tuple[str, click.Group]]:
    for name in program.list_commands(ctx):
        command = program.get_command(ctx, name)
        if isinstance(command, click.Group):
            yield name, command


def _parted(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """The options that stand before every command, each with its value, and everything else."""
    common: list[str] = []
    rest: list[str] = []
    words = iter(arguments)
    for word in words:
        if word == "--":
            rest += [word, *words]
        elif word in COMMON_OPTIONS:
            common += [word, next(words, "VALUE")]
        else:
            (common if word.partition("=")[0] in COMMON_OPTIONS else rest).append(word)
    return common, rest


def _is_flag_of(name: str, words: Sequence[str], program: click.Group) -> bool:
    """Whether the command that the words name has such an option, which takes no value."""
    command: click.Command | None = program
    for word in words:
        if isinstance(command, click.Group) and not word.startswith("-"):
            command = command.get_command(click.Context(command), word)
    options = [] if command is None or isinstance(command, click.Group) else command.params
    return any(name in option.opts for option in options if isinstance(option, click.Option) and option.is_flag)


def _typed(words: Sequence[str]) -> str:
    return " ".join(["migrator", *map(shell_quote, words)])
