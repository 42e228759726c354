"""``migrator completion``: prints the script that lets a shell complete commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from migrator.cli.output import echo


@click.command("completion", short_help="Let your shell complete commands and options.")
@click.argument("shell", type=click.Choice(("bash", "zsh", "fish")))
@click.pass_context
def completion_command(ctx: click.Context, shell: str) -> int:
    """Print a script that lets the shell complete migrator's commands and options with the Tab key.

    \b
    echo 'eval "$(migrator completion bash)"' >> ~/.bashrc
    echo 'eval "$(migrator completion zsh)"' >> ~/.zshrc
    migrator completion fish > ~/.config/fish/completions/migrator.fish

    Takes effect in the next shell that you open. Needs bash 4.4 or newer, zsh or fish.
    """
    found = get_completion_class(shell)
    if found is None:
        raise click.UsageError(f"This version of click has no completion for {shell}.")
    # Not source(): for bash it would start bash to ask for its version, and warn if bash is missing or old.
    completion = found(ctx.find_root().command, {}, "migrator", "_MIGRATOR_COMPLETE")
    echo(completion.source_template % completion.source_vars(), wrap=False)
    return 0
