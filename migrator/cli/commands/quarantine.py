"""``migrator quarantine``: what was set aside, and the way back for it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

from migrator.cli.options import Resolve, prints_report
from migrator.cli.output import echo, pager, print_notes, printable
from migrator.database.quarantine import QuarantinedItem
from migrator.quarantine.items import ShownItem, TakenOutReport, list_quarantine, show_quarantined, take_out
from migrator.quarantine.retry import RetryReport, Take, retry
from migrator.report import Report
from migrator.text import block, counted, plain, size

_NUMBER = click.IntRange(min=1)


@dataclass(frozen=True)
class _Listed(Report):
    items: tuple[QuarantinedItem, ...]


@click.group("quarantine", short_help="What is no valid session, and conflicts: see it, put it right.")
def quarantine_command() -> None:
    """A session that is not valid is kept here as it stood in its file, and so is the losing side of a conflict.

    \b
    migrator quarantine list                       what there is, and why
    migrator quarantine show 3                     all of it
    migrator quarantine retry 3 --edited new.json  a corrected version takes its place among the sessions
    migrator quarantine retry 4 --take both        a conflict, decided
    """


@pager()
def _print_listed(report: _Listed) -> None:
    for item in report.items:
        echo(f"{item.id:>5}  {plain(item.reason):<10}  {_origin(item)}")
        if item.problems:
            more = len(item.problems) - 1
            echo(f"       {plain(str(item.problems[0]))}{f' (and {more} more)' if more else ''}")
    if report.items:
        held, first = counted(len(report.items), "item"), report.items[0].id
        echo(printable(f"{held} in quarantine. 'migrator quarantine show {first}' shows the first in full."))
    else:
        echo("Nothing is in quarantine.")


@quarantine_command.command("list")
@prints_report(_print_listed, stored=True)
def list_command(resolve: Resolve) -> _Listed:
    """List what is in quarantine: where it is from, and the first thing that is wrong with it.

    \b
    migrator quarantine list
    """
    return _Listed(tuple(list_quarantine(resolve())))


def _origin(item: QuarantinedItem) -> str:
    source = plain(item.source) if item.source else "no file any more"
    workspace = plain(item.workspace_path or item.workspace_hash or "no workspace")
    return f"{source}, position {item.position}, {size(item.size)}, {workspace}"


@pager()
def _print_item(shown: ShownItem) -> None:
    item = shown.item
    echo(f"{item.id}: {plain(item.reason)}, from {_origin(item)}, since {plain(item.created_at)}")
    for problem in item.problems:
        echo(f"  - {plain(str(problem))}")
    if not shown.is_text:
        export = "'migrator quarantine export --to quarantined' has them."
        echo(printable(f"It is not UTF-8: each byte that can't be read is shown as \ufffd; {export}"))
    if item.reason != "conflict":
        echo(block(shown.text))
        name = shown.file_name
        correct = f"'migrator quarantine retry {item.id} --edited quarantined/{name}'"
        export = "'migrator quarantine export --to quarantined'"
        echo(printable(f"To correct it: {export}, edit {name} there, then {correct}."))
        return
    for title, version in (
        ("The version that both started from", shown.base),
        ("SQLite's version", shown.stored),
        ("The file's version, in quarantine", shown.raw),
    ):
        text = "(there is none, or it can't be told)" if version is None else version.decode("utf-8", "replace")
        echo(f"{title}:\n{block(text)}")
    echo("From SQLite's version to the file's:")
    for line in shown.difference():
        echo(block(line))
    decide = f"'migrator quarantine retry {item.id} --take theirs'"
    echo(printable(f"Decide with {decide}, which is the file's version, or with 'ours' or 'both' instead."))


@quarantine_command.command("show")
@click.argument("number", metavar="ID", type=_NUMBER)
@prints_report(_print_item, "Print it as one JSON object, the text unchanged.", stored=True)
def show_command(resolve: Resolve, number: int) -> ShownItem:
    """Show one item: every problem with the place in it, and the whole text; of a conflict, every version.

    \b
    migrator quarantine show 3
    migrator quarantine show 3 --json        with the text unchanged
    """
    return show_quarantined(resolve(), number)


def _print_retry(report: RetryReport) -> None:
    for item in report.items:
        result = {
            "restored": f"put back to its place as {counted(len(item.sessions), 'session')}.",
            "replaced": "put in the place of SQLite's version.",
            "dropped": "dropped; SQLite's version stays.",
            "still_invalid": "still no valid session; nothing was changed. A corrected file is named with --edited:",
            "needs_edit": "a torn end is no session: write what it should be into a file, and name that with --edited.",
            "needs_choice": "both sides changed it: say --take theirs, ours or both, or name a file with --edited.",
        }[item.result]
        echo(f"{item.id}: {result}")
        for problem in item.problems:
            echo(f"  - {plain(str(problem))}")
        if item.kept:
            echo(f"  What had to go is kept in {plain(item.kept)}")
    print_notes(report.warnings)
    if not report.items:
        echo("Nothing is in quarantine.")


@quarantine_command.command("retry")
@click.argument("numbers", metavar="[ID]...", type=_NUMBER, nargs=-1)
@click.option("--all", "every", is_flag=True, help="Everything in quarantine.")
@click.option(
    "--edited",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="The corrected session as JSON, or an array of several, for the one ID.",
)
@click.option(
    "--take",
    type=click.Choice(["theirs", "ours", "both"]),
    help="Of a conflict: the file's version, SQLite's, or both as two sessions.",
)
@prints_report(_print_retry, "Print what became of each as one JSON object.")
def retry_command(
    resolve: Resolve, numbers: tuple[int, ...], every: bool, edited: Path | None, take: Take | None
) -> RetryReport:
    """Validate again, and put what is valid now back to its old place among the sessions.

    A version of a conflict that has to go is kept in a folder under backups/. Exit code 3 if anything stays.

    \b
    migrator quarantine retry --all          whatever is valid now
    migrator quarantine retry 3 --edited corrected.json
    migrator quarantine retry 4 --take both  a conflict, as two sessions
    """
    return retry(resolve(), numbers, every=every, edited=edited, take=take)


def _print_exported(report: TakenOutReport) -> None:
    for item in report.items:
        echo(plain(item.file))
    echo(f"Wrote {counted(len(report.items), 'item')} into {plain(report.directory)}.")


@quarantine_command.command("export")
@click.option("--to", "target", metavar="DIR", required=True, type=click.Path(path_type=Path), help="Where to.")
@prints_report(_print_exported, "Print what was written as one JSON object.", stored=True)
def export_command(resolve: Resolve, target: Path) -> TakenOutReport:
    """Write each item into DIR as it is: ID.json, or ID.txt for what is no JSON. Nothing in DIR is overwritten.

    \b
    migrator quarantine export --to ~/quarantined
    """
    return take_out(resolve(), target)
