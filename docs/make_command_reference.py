"""Writes docs/commands.md: the help of every command, as a terminal of 80 columns shows it.

usage: python docs/make_command_reference.py
"""

from collections.abc import Iterator
from pathlib import Path

import click

from migrator.cli.app import cli

PAGE = Path(__file__).with_name("commands.md")
HEAD = """# Commands

What `migrator COMMAND --help` prints, for every command. [Integration](integration.md#what-to-show) says what the exit
codes mean for an app. `docs/make_command_reference.py` writes this page.
"""
WIDTH = 80  # columns: the page shows no more without scrolling


def page() -> str:
    """Return the whole page."""
    return HEAD + "".join(f"\n## {name}\n\n```text\n{help_}\n```\n" for name, help_ in commands(cli, "migrator", None))


def commands(command: click.Command, name: str, parent: click.Context | None) -> Iterator[tuple[str, str]]:
    """Yield the full name and the help of every command; a group comes before its commands."""
    settings = command.context_settings | {"terminal_width": WIDTH, "max_content_width": WIDTH}
    context = click.Context(command, info_name=name.rpartition(" ")[2], parent=parent, **settings)
    lines = command.get_help(context).splitlines()
    yield name, "\n".join(line.rstrip() for line in lines)
    if isinstance(command, click.Group):
        for part in command.list_commands(context):
            inner = command.get_command(context, part)
            if inner is not None:
                yield from commands(inner, f"{name} {part}", context)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
