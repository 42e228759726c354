"""``migrator report``: the receipt."""

from __future__ import annotations

from pathlib import Path

import click

from migrator.cli.options import Resolve, WithFile, prints_report
from migrator.cli.output import echo, print_authority, printable, with_location
from migrator.receipt.facts import Receipt, receipt_of
from migrator.receipt.page import write_page
from migrator.text import counted, duration, plain, size

_MOST = 30  # workspaces, and runs, that are listed


def _print(written: WithFile) -> None:
    if written.path is not None:
        echo(f"The receipt is in {plain(str(written.path))}; open it in a browser.")
        return
    receipt: Receipt = written.report
    totals = receipt.totals
    echo(f"Receipt for {plain(receipt.data_dir)}, {receipt.made_at}")
    echo(
        f"Found {counted(totals.found, 'session')} = {totals.migrated:,} migrated + {totals.merged:,} merged + "
        f"{totals.quarantined:,} quarantined + {totals.failed:,} failed."
    )
    echo(
        f"In {counted(totals.files, 'file')}, {totals.failed_files:,} of them failed; with "
        f"{counted(totals.instances, 'instance')} and {counted(totals.messages, 'message')}."
    )
    echo(
        f"JSON files {size(totals.json_bytes)}, database {size(totals.database_bytes)}, "
        f"backups {size(totals.backup_bytes)}."
    )
    echo("    found migrated   merged quarantined   failed  workspace")
    for account in receipt.workspaces[:_MOST]:
        echo(
            f"{account.found:>9,}{account.migrated:>9,}{account.merged:>9,}{account.quarantined:>12,}"
            f"{account.failed:>9,}  {plain(account.path)}"
        )
    if len(receipt.workspaces) > _MOST:
        echo(f"  … and {len(receipt.workspaces) - _MOST} more; --json or --html tell of them, too.")
    if not receipt.recorded:
        echo("It was migrated before runs left a record: how long it took is not known.")
    for run in receipt.runs[-_MOST:]:
        stages = ", ".join(f"{plain(name)} {duration(took)}" for name, took in run.stages.items())
        echo(f"Run of {plain(run.ended_at)}: {counted(run.found, 'session')}, {duration(run.duration_ms)} ({stages})")
    print_authority(receipt.authority, receipt.backend)
    if receipt.backup:
        echo(f"Backup: {plain(receipt.backup)}" + ("" if receipt.backup_exists else " (it is gone)"))
    if receipt.go_back:
        echo(f"To go back: {', then '.join(map(printable, receipt.go_back))}")
    for need in receipt.needs:
        echo(f"Needs you: {printable(need.message)}" + (f" Run: {printable(need.command)}" if need.command else ""))


@click.command("report", short_help="Get a receipt: what was found, what became of it, how to go back.")
@click.option(
    "--html",
    "target",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Write it as one page with plots, to look at in a browser, to print or to keep.",
)
@prints_report(_print)
def report_command(resolve: Resolve, target: Path | None) -> WithFile:
    """Show the receipt of all that was migrated so far: for each workspace and in total what was found, and that it is
    what was migrated, merged, quarantined and failed; sizes before and after; how long each stage took; the backup and
    how to go back; what needs you, with the command that does it.

    It is made from what each run recorded in the database, and changes nothing.

    \b
    migrator report                       read it here
    migrator report --html receipt.html   see it in a browser
    """
    receipt = receipt_of(resolve())
    if target is not None:
        write_page(receipt, target, with_location)
    return WithFile(receipt, "html", target)
