"""``migrator report``: the receipt."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from migrator.cli.output import counted, located, plain, print_report, say, size, told
from migrator.data_dir import DataDir
from migrator.text import duration

if TYPE_CHECKING:
    from migrator.receipt.facts import Receipt, RunAccount

_SHOWN = 30


@click.command("report", short_help="Get a receipt: what was found, what became of it, how to go back.")
@click.option(
    "--html",
    "target",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Write it as one page with plots, to look at in a browser, to print or to keep.",
)
@click.option("--json", "as_json", is_flag=True, help="Print it as one JSON object.")
@click.pass_obj
def report_command(resolve: Callable[[], DataDir], target: Path | None, as_json: bool) -> int:
    """Show the receipt of all that was migrated so far: for each workspace and in total what was found, and that it is
    what was migrated, merged, quarantined and failed; sizes before and after; how long each stage took; the backup and
    how to go back; what needs you, with the command that does it.

    It is made from what each run recorded in the database, and changes nothing.

    \b
    migrator report                       read it here
    migrator report --html receipt.html   see it in a browser
    """
    from migrator.receipt.facts import receipt_of

    receipt = receipt_of(resolve())
    if target is not None:
        from migrator.receipt.page import write_page

        write_page(receipt, target, located)
    if as_json:
        print_report(receipt.to_json() | ({"html": str(target)} if target else {}))
    elif target is not None:
        say(f"The receipt is in {plain(str(target))}; open it in a browser.")
    else:
        _print_receipt(receipt)
    return 0


def _print_receipt(receipt: Receipt) -> None:
    totals = receipt.totals
    say(f"Receipt for {plain(receipt.data_dir)}, {receipt.made_at}")
    say(
        f"Found {counted(totals.found, 'session')} = {totals.migrated:,} migrated + {totals.merged:,} merged + "
        f"{totals.quarantined:,} quarantined + {totals.failed:,} failed."
    )
    say(
        f"In {counted(totals.files, 'file')}, {totals.failed_files:,} of them failed; with "
        f"{counted(totals.instances, 'instance')} and {counted(totals.messages, 'message')}."
    )
    say(
        f"JSON files {size(totals.json_bytes)}, database {size(totals.database_bytes)}, "
        f"backups {size(totals.backup_bytes)}."
    )
    say("    found migrated   merged quarantined   failed  workspace")
    for account in receipt.workspaces[:_SHOWN]:
        say(
            f"{account.found:>9,}{account.migrated:>9,}{account.merged:>9,}{account.quarantined:>12,}"
            f"{account.failed:>9,}  {plain(account.path)}"
        )
    if len(receipt.workspaces) > _SHOWN:
        say(f"  … and {len(receipt.workspaces) - _SHOWN} more; --json or --html tell of them, too.")
    if not receipt.recorded:
        say("It was migrated before runs left a record: how long it took is not known.")
    for run in receipt.runs[-_SHOWN:]:
        _print_run(run)
    truth = {"sqlite": "SQLite", "json": "the JSON files"}[receipt.authority]
    say(f"The truth is in {truth}; the app runs on {receipt.backend}.")
    if receipt.backup:
        say(f"Backup: {plain(receipt.backup)}" + ("" if receipt.backup_exists else " (it is gone)"))
    if receipt.go_back:
        say(f"To go back: {', then '.join(map(told, receipt.go_back))}")
    for need in receipt.needs:
        say(f"Needs you: {told(need.message)}" + (f" Run: {told(need.command)}" if need.command else ""))


def _print_run(run: RunAccount) -> None:
    stages = ", ".join(f"{plain(name)} {duration(took)}" for name, took in run.stages.items())
    say(f"Run of {plain(run.ended_at)}: {counted(run.found, 'session')}, {duration(run.duration_ms)} ({stages})")
