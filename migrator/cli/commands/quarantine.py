"""``migrator quarantine``: what was set aside, and the way back for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from migrator.cli.output import block, counted, paged, plain, print_json, print_report, say, size, told
from migrator.data_dir import DataDir

if TYPE_CHECKING:
    from migrator.database.quarantine import QuarantinedItem
    from migrator.quarantine.items import ShownItem
    from migrator.quarantine.retry import RetriedItem, Take

Resolve = Callable[[], DataDir]

_NUMBER = click.IntRange(min=1)


@click.group("quarantine", short_help="What is no valid session, and conflicts: see it, put it right.")
def quarantine_command() -> None:
    """A session that is not valid is kept here as it stood in its file, and so is the losing side of a conflict.

    \b
    migrator quarantine list                       what there is, and why
    migrator quarantine show 3                     all of it
    migrator quarantine retry 3 --edited new.json  a corrected version takes its place among the sessions
    migrator quarantine retry 4 --take both        a conflict, decided
    """


@quarantine_command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print it as one JSON object.")
@click.pass_obj
def list_command(resolve: Resolve, as_json: bool) -> int:
    """List what is in quarantine: where it is from, and the first thing that is wrong with it.

    \b
    migrator quarantine list
    """
    from migrator.quarantine.items import list_quarantine

    items = list_quarantine(resolve())
    if as_json:
        print_json({"items": [item.to_json() for item in items]})
        return 0
    with paged():
        for item in items:
            say(f"{item.id:>5}  {plain(item.reason):<10}  {_place(item)}")
            if item.problems:
                more = len(item.problems) - 1
                say(f"       {plain(str(item.problems[0]))}{f' (and {more} more)' if more else ''}")
        if items:
            held, first = counted(len(items), "item"), items[0].id
            say(told(f"{held} in quarantine. 'migrator quarantine show {first}' shows the first in full."))
        else:
            say("Nothing is in quarantine.")
    return 0


def _place(item: QuarantinedItem) -> str:
    source = plain(item.source) if item.source else "no file any more"
    workspace = plain(item.workspace_path or item.workspace_hash or "no workspace")
    return f"{source}, position {item.position}, {size(item.size)}, {workspace}"


@quarantine_command.command("show")
@click.argument("number", metavar="ID", type=_NUMBER)
@click.option("--json", "as_json", is_flag=True, help="Print it as one JSON object, the text unchanged.")
@click.pass_obj
def show_command(resolve: Resolve, number: int, as_json: bool) -> int:
    """Show one item: every problem with the place in it, and the whole text; of a conflict, every version.

    \b
    migrator quarantine show 3
    migrator quarantine show 3 --json        with the text unchanged
    """
    from migrator.quarantine.items import show_quarantined

    shown = show_quarantined(resolve(), number)
    if as_json:
        print_json(shown.to_json())
    else:
        with paged():
            _print_item(shown)
    return 0


def _print_item(shown: ShownItem) -> None:
    item = shown.item
    say(f"{item.id}: {plain(item.reason)}, from {_place(item)}, since {plain(item.created_at)}")
    for problem in item.problems:
        say(f"  - {plain(str(problem))}")
    if not shown.is_text:
        export = "'migrator quarantine export --to quarantined' has them."
        say(told(f"It is not UTF-8: each byte that can't be read is shown as \ufffd; {export}"))
    if item.reason != "conflict":
        say(block(shown.text))
        name = shown.file_name
        correct = f"'migrator quarantine retry {item.id} --edited quarantined/{name}'"
        say(told(f"To correct it: 'migrator quarantine export --to quarantined', edit {name} there, then {correct}."))
        return
    for title, version in (
        ("The version that both started from", shown.base),
        ("SQLite's version", shown.stored),
        ("The file's version, in quarantine", shown.raw),
    ):
        text = "(there is none, or it can't be told)" if version is None else version.decode("utf-8", "replace")
        say(f"{title}:\n{block(text)}")
    say("From SQLite's version to the file's:")
    for line in shown.difference():
        say(block(line))
    decide = f"'migrator quarantine retry {item.id} --take theirs'"
    say(told(f"Decide with {decide}, which is the file's version, or with 'ours' or 'both' instead."))


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
@click.option("--json", "as_json", is_flag=True, help="Print what became of each as one JSON object.")
@click.pass_obj
def retry_command(
    resolve: Resolve, numbers: tuple[int, ...], every: bool, edited: Path | None, take: Take | None, as_json: bool
) -> int:
    """Validate again, and put what is valid now back to its old place among the sessions.

    A version of a conflict that has to go is kept in a folder under backups/. Exit code 3 if anything stays.

    \b
    migrator quarantine retry --all          whatever is valid now
    migrator quarantine retry 3 --edited corrected.json
    migrator quarantine retry 4 --take both  a conflict, as two sessions
    """
    from migrator.quarantine.retry import retry

    report = retry(resolve(), numbers, every=every, edited=edited, take=take)
    if as_json:
        print_report(report.to_json())
        return report.exit_code
    for item in report.items:
        _print_retried(item)
    for warning in report.warnings:
        say(f"Note: {told(warning)}", error=True)
    if not report.items:
        say("Nothing is in quarantine.")
    return report.exit_code


def _print_retried(item: RetriedItem) -> None:
    result = {
        "restored": f"put back to its place as {counted(len(item.sessions), 'session')}.",
        "replaced": "put in the place of SQLite's version.",
        "dropped": "dropped; SQLite's version stays.",
        "still_invalid": "still no valid session; nothing was changed. A corrected file is named with --edited:",
        "needs_edit": "a torn end is no session: write what it should be into a file, and name that with --edited.",
        "needs_choice": "both sides changed it: say --take theirs, ours or both, or name a file with --edited.",
    }[item.result]
    say(f"{item.id}: {result}")
    for problem in item.problems:
        say(f"  - {plain(str(problem))}")
    if item.kept:
        say(f"  What had to go is kept in {plain(item.kept)}")


@quarantine_command.command("export")
@click.option("--to", "target", metavar="DIR", required=True, type=click.Path(path_type=Path), help="Where to.")
@click.option("--json", "as_json", is_flag=True, help="Print what was written as one JSON object.")
@click.pass_obj
def export_command(resolve: Resolve, target: Path, as_json: bool) -> int:
    """Write each item into DIR as it is: ID.json, or ID.txt for what is no JSON. Nothing in DIR is overwritten.

    \b
    migrator quarantine export --to ~/quarantined
    """
    from migrator.quarantine.items import take_out

    report = take_out(resolve(), target)
    if as_json:
        print_json(report.to_json())
        return 0
    for item in report.items:
        say(plain(item.file))
    say(f"Wrote {counted(len(report.items), 'item')} into {plain(report.directory)}.")
    return 0
