"""``migrator report``: shows the migration report."""

from __future__ import annotations

from pathlib import Path

import click

from migrator.cli.options import FILE, Resolve, WithFile, prints_report
from migrator.cli.output import echo, print_authority, printable, with_location
from migrator.receipt.facts import Receipt, receipt_of
from migrator.receipt.page import write_page
from migrator.text import counted, duration, local_time, plain, size

_MOST = 30  # workspaces, and runs, that are listed


def _print(written: WithFile) -> None:
    if written.path is not None:
        echo(f"Report written to {plain(str(written.path))}; open it in a browser.")
        return
    receipt: Receipt = written.report
    totals = receipt.totals
    echo(f"Migration report for {plain(receipt.data_dir)}, {local_time(receipt.made_at)}")
    echo(
        f"Found {counted(totals.found, 'session')} = {totals.migrated:,} migrated + {totals.merged:,} merged + "
        f"{totals.quarantined:,} quarantined + {totals.failed:,} failed."
    )
    echo(
        f"Files: {totals.files:,} ({totals.failed_files:,} failed). In the migrated sessions: "
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
        echo(f"  … and {len(receipt.workspaces) - _MOST} more: see --html or --json.")
    if not receipt.recorded:
        echo("Migrated before runs were recorded, so it is not known how long the migration took.")
    for run in receipt.runs[-_MOST:]:
        stages = ", ".join(f"{plain(name)} {duration(took)}" for name, took in run.stages.items())
        ended, found = plain(local_time(run.ended_at)), counted(run.found, "session")
        echo(f"Run of {ended}: {found}, {duration(run.duration_ms)} ({stages})")
    print_authority(receipt.authority, receipt.backend)
    if receipt.backup:
        echo(f"Backup: {plain(receipt.backup)}" + ("" if receipt.backup_exists else " (missing)"))
    if totals.deleted_now or totals.held_now:
        kept = f"{counted(totals.deleted_now, 'session')} kept in quarantine"
        echo(f"Deleted in the files: {kept}, {totals.held_now:,} waiting for a decision:")
        for deletion in receipt.deletions[:_MOST]:
            echo(f"  {plain(deletion.session_id)}  {'to decide' if deletion.held else f'item {deletion.item}'}")
        if len(receipt.deletions) > _MOST:
            echo(f"  … and {len(receipt.deletions) - _MOST} more: see --json.")
    if receipt.go_back:
        echo(f"To go back: {', then '.join(map(printable, receipt.go_back))}")
    for need in receipt.needs:
        fix = need.command if need.command and need.command not in need.message else None
        echo(f"Action needed: {printable(need.message)}" + (f" Run: {printable(fix)}" if fix else ""))


@click.command("report", short_help="Show what was found, what became of it, and how to go back.")
@click.option(
    "--html",
    "target",
    metavar="FILE",
    type=FILE,
    help="Write the report to FILE as one HTML page with plots.",
)
@prints_report(_print, works="target")
def report_command(resolve: Resolve, target: Path | None) -> WithFile:
    """Show a report on everything that has been migrated so far. Changes nothing.

    It shows, for each workspace and in total, how many sessions were found, and how many of them were migrated, merged,
    quarantined or failed; the sizes before and after; how long each stage took; where the backup is and how to go
    back; and what needs your attention, with the command for it.

    \b
    migrator report                      print it here
    migrator report --html report.html   write it as a web page
    """
    receipt = receipt_of(resolve())
    if target is not None:
        write_page(receipt, target, with_location)
    return WithFile(receipt, "html", target)
