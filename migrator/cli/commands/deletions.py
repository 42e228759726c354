"""``migrator deletions``: lists the deletions that are held, and confirms or declines them."""

from __future__ import annotations

import click

from migrator.cli.options import Resolve, prints_report
from migrator.cli.output import echo, pager, print_notes, printable
from migrator.cli.suggestions import suggests
from migrator.quarantine.deletions import (
    DecidedDeletions,
    HeldDeletions,
    confirm_deletions,
    decline_deletions,
    list_deletions,
)
from migrator.text import counted, local_time, plain

_HELD = suggests(lambda places, _: (item.id for item in list_deletions(places).items))
_IDS = click.argument("ids", metavar="[ID]...", nargs=-1, shell_complete=_HELD)
_ALL = click.option("--all", "every", is_flag=True, help="All deletions that are held.")


@click.group("deletions", short_help="Decide about sessions that a file lost.")
def deletions_command() -> None:
    """Sessions that were deleted in a file are deleted in SQLite too, unless the file lost too many of them at once.

    That happens if an older copy of the file came back, or if the app began the file anew. Then the sessions stay in
    SQLite until you decide. Whatever is deleted is kept in quarantine.

    \b
    migrator deletions list                  show them
    migrator deletions confirm --all         delete them in SQLite too
    migrator deletions decline --all         keep them
    """


@pager()
def _print_listed(report: HeldDeletions) -> None:
    for item in report.items:
        task = " ".join(item.task.split())
        echo(f"{plain(item.id)}  {counted(item.messages, 'message')}  {plain(item.workspace_path)}  {plain(task)}")
        echo(f"       missing in {plain(item.source)} since {plain(local_time(item.found_at))}")
    if report.items:
        held = counted(len(report.items), "deletion")
        decide = "'migrator deletions confirm --all' deletes them, 'migrator deletions decline --all' keeps them."
        echo(printable(f"{held} to decide. {decide}"))
    else:
        echo("No deletion waits for a decision.")


@deletions_command.command("list")
@prints_report(_print_listed, stored=True)
def list_command(resolve: Resolve) -> HeldDeletions:
    """List the sessions that a file lost and that stay in SQLite until you decide. Changes nothing.

    \b
    migrator deletions list
    """
    return list_deletions(resolve())


def _print_decided(report: DecidedDeletions) -> None:
    for item in report.items:
        result = "kept." if item.item is None else f"deleted; kept in quarantine as item {item.item}."
        echo(f"{plain(item.id)}: {result}")
    print_notes(report.warnings)
    if not report.items:
        echo("No deletion waits for a decision.")


@deletions_command.command("confirm")
@_IDS
@_ALL
@prints_report(_print_decided, "Print the result for each session as one JSON object.")
def confirm_command(resolve: Resolve, ids: tuple[str, ...], every: bool) -> DecidedDeletions:
    """Delete these sessions in SQLite too.

    Each is kept in quarantine, and can be put back from there.

    \b
    migrator deletions confirm --all
    """
    return confirm_deletions(resolve(), ids, every=every)


@deletions_command.command("decline")
@_IDS
@_ALL
@prints_report(_print_decided, "Print the result for each session as one JSON object.")
def decline_command(resolve: Resolve, ids: tuple[str, ...], every: bool) -> DecidedDeletions:
    """Keep these sessions in SQLite.

    The next rollback writes them to their file again; in hybrid mode that happens at once.

    \b
    migrator deletions decline --all
    """
    return decline_deletions(resolve(), ids, every=every)
