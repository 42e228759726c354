"""``migrator quarantine``: lists, shows, restores and exports what is in quarantine."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import get_args

import click

from migrator.cli.layout import fitted
from migrator.cli.options import FILE, Resolve, prints_report, whole_number
from migrator.cli.output import echo, pager, print_notes, printable
from migrator.cli.suggestions import suggests
from migrator.database.quarantine import QuarantinedItem, Reason
from migrator.quarantine.dismiss import DismissReport, dismiss
from migrator.quarantine.items import (
    ExportedItems,
    QuarantineList,
    ShownItem,
    export_quarantine,
    list_quarantine,
    show_quarantined,
)
from migrator.quarantine.retry import RetryReport, Take, retry
from migrator.text import block, counted, local_time, plain, size

_NUMBER = whole_number(1)
_ITEMS = suggests(lambda places, _: (str(item.id) for item in list_quarantine(places).items))
_MOST_LINES = 200  # of a diff
_WIDTH_OF_TASK = 72
_REASONS = get_args(Reason)


@click.group("quarantine", short_help="Inspect and fix invalid sessions and conflicts.")
def quarantine_command() -> None:
    """The quarantine holds invalid sessions, byte for byte as in their files, and the rejected side of each conflict.

    It also keeps the sessions that were deleted in a file and therefore in SQLite.

    \b
    migrator quarantine list                       list the items and the reasons
    migrator quarantine show 3                     show an item in full
    migrator quarantine retry 3 --edited new.json  restore a corrected version
    migrator quarantine retry 4 --take both        resolve a conflict
    """


@pager()
def _print_listed(report: QuarantineList) -> None:
    for item in report.items:
        session_id, task = _named(item)
        echo((f"{item.id:>5}  {plain(item.reason):<10}  {session_id}", "heading"))
        for line in filter(None, (task, _origin(item))):
            echo(f"       {line}")
        if item.problems and item.reason != "deleted":
            more = len(item.problems) - 1
            echo(f"       {plain(str(item.problems[0]))}{f' (and {more} more)' if more else ''}")
    if report.items:
        held, first = counted(len(report.items), "item"), report.items[0].id
        echo(printable(f"{held} in quarantine. 'migrator quarantine show {first}' shows the first one in full."))
    else:
        echo("The quarantine is empty.")


@quarantine_command.command("list")
@prints_report(_print_listed, stored=True)
def list_command(resolve: Resolve) -> QuarantineList:
    """List the items in quarantine, with id, task, origin and first problem.

    The index is the place of a session in its file, counted from 0.

    \b
    migrator quarantine list
    """
    return list_quarantine(resolve())


def _named(item: QuarantinedItem) -> tuple[str, str]:
    """Return the id and the beginning of the task of the session that an item is."""
    task = fitted(plain(" ".join((item.task or "")[:1000].split())), _WIDTH_OF_TASK).rstrip()
    return "no id" if item.session_id is None else plain(item.session_id), task


def _origin(item: QuarantinedItem) -> str:
    source = plain(item.source) if item.source else "file unknown"
    workspace = plain(item.workspace_path or item.workspace_hash or "workspace unknown")
    return f"{source}, index {item.position}, {size(item.size)}, {workspace}"


@pager()
def _print_item(shown: ShownItem) -> None:
    item = shown.item
    echo((f"{item.id}: {'  '.join(_named(item)).rstrip()}", "heading"))
    echo(f"{plain(item.reason)}, from {_origin(item)}, since {plain(local_time(item.created_at))}")
    for problem in item.problems:
        echo(f"  - {plain(str(problem))}")
    if not shown.is_text:
        export = "'migrator quarantine export --to quarantined' writes the original bytes."
        echo(printable(f"Not valid UTF-8: invalid bytes are shown as \ufffd. {export}"))
    if item.reason == "deleted":
        echo(block(shown.text), wrap=False)
        echo(printable(f"To put it back, run 'migrator quarantine retry {item.id}'."))
        return
    if item.reason != "conflict":
        echo(block(shown.text), wrap=False)
        name = shown.file_name
        correct = f"'migrator quarantine retry {item.id} --edited quarantined/{name}'"
        export = "'migrator quarantine export --to quarantined'"
        echo(printable(f"To fix it: run {export}, edit quarantined/{name}, then run {correct}."))
        return
    if shown.stored is None:
        echo("SQLite does not have this session, or has several with its id. The file's version:")
    else:
        echo("Changes from SQLite's version to the file's version:")
    lines = list(islice(shown.difference(), _MOST_LINES + 1))
    for line in lines[:_MOST_LINES]:
        echo((block(line), line[:1]), wrap=False)
    more = "The rest is not shown. " if len(lines) > _MOST_LINES else ""
    echo(printable(f"{more}'migrator quarantine export --to quarantined' writes all versions."))
    decide = f"'migrator quarantine retry {item.id} --take theirs'"
    echo(printable(f"To resolve it, run {decide} to use the file's version, or give 'ours' or 'both' instead."))


@quarantine_command.command("show")
@click.argument("number", metavar="ID", type=_NUMBER, shell_complete=_ITEMS)
@prints_report(_print_item, "Print the item as one JSON object, with its text unchanged.", stored=True)
def show_command(resolve: Resolve, number: int) -> ShownItem:
    """Show one item in full, with its problems.

    For a conflict, it shows what differs between the file's version and SQLite's.

    \b
    migrator quarantine show 3
    migrator quarantine show 3 --json        as JSON, with the text unchanged
    """
    return show_quarantined(resolve(), number)


def _print_retry(report: RetryReport) -> None:
    for item in report.items:
        result = {
            "restored": f"restored ({counted(len(item.sessions), 'session')}).",
            "replaced": "restored; it replaced SQLite's version.",
            "dropped": "dropped; SQLite's version stays.",
            "still_invalid": "still invalid; nothing changed. Correct it in a file, and pass that with --edited.",
            "needs_edit": "this is a truncated tail, not a session: write the intended session to a file and pass it "
            "with --edited.",
            "needs_choice": "both sides changed it: pass --take theirs, ours or both, or a file with --edited.",
        }[item.result]
        echo(f"{item.id}: {result}")
        for problem in item.problems:
            echo(f"  - {plain(str(problem))}")
        if item.kept:
            echo(f"  The replaced version is kept in {plain(item.kept)}")
    print_notes(report.warnings)
    if not report.items:
        echo("The quarantine is empty.")


@quarantine_command.command("retry")
@click.argument("numbers", metavar="[ID]...", type=_NUMBER, nargs=-1, shell_complete=_ITEMS)
@click.option("--all", "every", is_flag=True, help="All items in quarantine, except deleted sessions.")
@click.option(
    "--reason",
    type=click.Choice(_REASONS),
    help="With --all: only the items with this reason.",
)
@click.option(
    "--edited",
    metavar="FILE",
    type=FILE,
    help="A file with the corrected session as JSON, or an array of sessions. Needs exactly one ID.",
)
@click.option(
    "--take",
    type=click.Choice(get_args(Take)),
    help="For a conflict: use the file's version, SQLite's version, or both as two sessions.",
)
@prints_report(_print_retry, "Print the result for each item as one JSON object.", works=True)
def retry_command(
    resolve: Resolve,
    numbers: tuple[int, ...],
    every: bool,
    reason: str | None,
    edited: Path | None,
    take: Take | None,
) -> RetryReport:
    """Validate items again and restore those that are valid now.

    A restored session goes back to its old position in the session list. The rejected version of a conflict, and the
    text that a corrected file replaces, are kept in a folder under backups/. Exit code 3 if an item stays in
    quarantine.

    \b
    migrator quarantine retry --all          restore every item that is valid now
    migrator quarantine retry 3 --edited corrected.json
    migrator quarantine retry 4 --take both  keep both versions, as two sessions
    migrator quarantine retry --all --reason deleted
    """
    return retry(resolve(), numbers, every=every, reason=reason, edited=edited, take=take)


def _print_dismissed(report: DismissReport) -> None:
    for item in report.items:
        echo(f"{item.id}: taken out; its text is in {plain(item.file)}" if item.file else f"{item.id}: discarded.")
    if not report.items:
        echo("There is no such item.")


@quarantine_command.command("dismiss")
@click.argument("numbers", metavar="[ID]...", type=_NUMBER, nargs=-1, shell_complete=_ITEMS)
@click.option("--all", "every", is_flag=True, help="All items in quarantine, except deleted sessions.")
@click.option("--reason", type=click.Choice(_REASONS), help="With --all: only the items with this reason.")
@click.option("--to", metavar="FILE", type=FILE, help="A new file for the text. Needs one ID.")
@click.option("--discard", is_flag=True, help="Keep no text. Backups and JSON files may still contain it.")
@prints_report(_print_dismissed, "Print what was taken out as one JSON object.")
def dismiss_command(
    resolve: Resolve, numbers: tuple[int, ...], every: bool, reason: str | None, to: Path | None, discard: bool
) -> DismissReport:
    """Take items out of quarantine. Their texts are kept in the folder dismissed/ of the data directory.

    A later rollback writes their files without them.

    \b
    migrator quarantine dismiss 3
    migrator quarantine dismiss 3 --to ~/old-session.json
    migrator quarantine dismiss --all --reason deleted --discard
    """
    return dismiss(resolve(), numbers, every=every, reason=reason, to=to, discard=discard)


def _print_exported(report: ExportedItems) -> None:
    for item in report.items:
        echo(plain(item.file))
    echo(f"Wrote {counted(len(report.items), 'item')} into {plain(report.directory)}.")


@quarantine_command.command("export")
@click.option("--to", "target", metavar="DIR", required=True, type=FILE, help="Folder to write to.")
@prints_report(_print_exported, "Print what was written as one JSON object.", stored=True, works=True)
def export_command(resolve: Resolve, target: Path) -> ExportedItems:
    """Write all items unchanged into DIR. Overwrites nothing there.

    Each file is called ID.json, or ID.txt if the item is not JSON.

    \b
    migrator quarantine export --to ~/quarantined
    """
    return export_quarantine(resolve(), target)
