"""``migrator backups``: lists, verifies, restores and removes the copies that migrator made."""

from __future__ import annotations

import click

from migrator.backups.catalog import BackupList, VerifiedBackups, backup_folders, list_backups, verify_backups
from migrator.backups.prune import PruneReport, prune_backups, what_to_prune
from migrator.backups.restore import RestoreReport, restore_backup
from migrator.cli.options import NAME, Resolve, asks, prints_report, require_yes, whole_number, yes_option
from migrator.cli.output import echo, printable
from migrator.cli.suggestions import suggests
from migrator.text import counted, plain, size

_NAMES = suggests(lambda places, _: (folder.name for folder in backup_folders(places)))


@click.group("backups", short_help="List, verify, restore or remove backups.")
def backups_command() -> None:
    """Before migrator changes anything, it copies the files into a new folder under backups/."""


def _print_listed(report: BackupList) -> None:
    for backup in report.backups:
        held = f"{counted(backup.files, 'file')}, {size(backup.bytes)}"
        echo(f"{plain(backup.name)}  {backup.kind or 'unknown':<8}  {held}")
        if backup.error is not None:
            echo("  ", ("DAMAGED", "problem"), f": {printable(backup.error)}")
    if not report.backups:
        echo("There are no backups.")


@backups_command.command("list")
@prints_report(_print_listed)
def list_command(resolve: Resolve) -> BackupList:
    """List the backups, oldest first.

    Their files are not hashed, so damage may go unnoticed: 'migrator backups verify' finds it.

    \b
    migrator backups list
    """
    return list_backups(resolve())


def _print_verified(report: VerifiedBackups) -> None:
    for backup in report.backups:
        held = f"{counted(backup.files, 'file')}, {size(backup.bytes)}"
        echo((f"{backup.state:<8}", backup.state), f" {plain(backup.name)}  {held}")
        for problem in backup.problems:
            echo(f"         {printable(problem)}")
    if report.exit_code:
        echo(printable("'migrator verify --repair' makes new copies of the files that have not changed since."))
    elif not report.backups:
        echo("There are no backups.")


@backups_command.command("verify")
@click.argument("names", metavar="[NAME]...", nargs=-1, type=NAME, shell_complete=_NAMES)
@prints_report(_print_verified, works=True)
def verify_command(resolve: Resolve, names: tuple[str, ...]) -> VerifiedBackups:
    """Hash every file of the backups and compare. Exit code 1 if a backup is damaged.

    \b
    migrator backups verify                  all backups
    migrator backups verify 20250113T100000Z-1a2b3c4d
    """
    return verify_backups(resolve(), names)


def _print_restored(report: RestoreReport) -> None:
    for file in report.files:
        echo(f"{file.status:<9} {plain(file.file)}")
        if file.kept_beside:
            echo(f"          the file that was there is now {plain(file.kept_beside)}")
    echo(f"Restored {plain(report.name)}.")


@backups_command.command("restore")
@click.argument("name", type=NAME, shell_complete=_NAMES)
@click.option(
    "--overwrite-newer-work",
    is_flag=True,
    help="Also replace files that differ from the backup; each is kept next to the restored file.",
)
@prints_report(_print_restored, "Print what was restored as one JSON object.", works=True)
def restore_command(resolve: Resolve, name: str, overwrite_newer_work: bool) -> RestoreReport:
    """Restore the files of a backup: all of them, or none.

    They go back to where they were. While SQLite is authoritative, use 'migrator rollback' to get the files back.

    \b
    migrator backups restore 20250113T100000Z-1a2b3c4d
    """
    return restore_backup(resolve(), name, overwrite_newer_work=overwrite_newer_work)


def _print_pruned(report: PruneReport) -> None:
    for name, reason in report.kept.items():
        echo(f"kept    {plain(name)}: {plain(reason)}")
    for name in report.removed:
        echo(f"{'would remove' if report.dry_run else 'removed'} {plain(name)}")
    verb = "Would remove" if report.dry_run else "Removed"
    echo(f"{verb} {counted(len(report.removed), 'backup')}, {size(report.bytes)}.")


@backups_command.command("prune")
@click.option("--keep", metavar="N", type=whole_number(1), required=True, help="How many of the newest to keep.")
@click.option("--discard-last-copies", is_flag=True, help="Also remove backups with sessions that exist nowhere else.")
@click.option("--dry-run", is_flag=True, help="Only show what would be removed.")
@yes_option
@prints_report(_print_pruned, "Print what was removed as one JSON object.", works=True)
def prune_command(resolve: Resolve, keep: int, discard_last_copies: bool, dry_run: bool, yes: bool) -> PruneReport:
    """Remove old backups that are no longer needed; keep the newest N.

    Always kept, whatever N is: backups that the database compares changed files with, versions of sessions that were
    rejected in quarantine, and folders whose manifest cannot be read. The last two do not count towards N.

    Backups with sessions that exist nowhere else are kept, too, and these sessions are named. On a terminal it shows
    what would be removed, and asks.

    \b
    migrator backups prune --keep 3 --dry-run
    migrator backups prune --keep 3 --yes
    """
    places = resolve()
    if not dry_run and asks(yes):
        planned = what_to_prune(places, keep, discard_last_copies=discard_last_copies)
        if planned.removed:
            _print_pruned(planned)
            require_yes("Remove them?")
    return prune_backups(places, keep, discard_last_copies=discard_last_copies, dry_run=dry_run)
