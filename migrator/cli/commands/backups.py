"""``migrator backups``: the copies that migrations took."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

import click

from migrator.cli.output import counted, plain, print_report, say, size, told
from migrator.data_dir import DataDir

Resolve = Callable[[], DataDir]


@click.group("backups", short_help="The copies that were taken: list, verify, restore, prune.")
def backups_command() -> None:
    """Before anything changes, migrator copies it into a folder of its own under backups/."""


@backups_command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print it as one JSON object.")
@click.pass_obj
def list_command(resolve: Resolve, as_json: bool) -> int:
    """List the backups, oldest first. Nothing is hashed: what looks whole may still be damaged.

    \b
    migrator backups list
    """
    from migrator.backups.catalog import list_backups

    listed = list_backups(resolve())
    if as_json:
        print_report({"backups": [asdict(backup) for backup in listed]})
        return 0
    for backup in listed:
        held = f"{counted(backup.files, 'file')}, {size(backup.bytes)}"
        state = "" if backup.error is None else f"  DAMAGED: {told(backup.error)}"
        say(f"{plain(backup.name)}  {backup.kind or 'unknown':<8}  {held}{state}")
    if not listed:
        say("There are no backups.")
    return 0


@backups_command.command("verify")
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Print it as one JSON object.")
@click.pass_obj
def verify_command(resolve: Resolve, names: tuple[str, ...], as_json: bool) -> int:
    """Hash every file of the backups again. Exit code 1 if one is damaged.

    \b
    migrator backups verify                  all of them
    migrator backups verify 20250113T100000Z-1a2b3c4d
    """
    from migrator.backups.catalog import verify_backups

    verified = verify_backups(resolve(), names)
    damaged = sum(backup.state == "damaged" for backup in verified)
    if as_json:
        print_report({"backups": [asdict(backup) for backup in verified]})
        return 1 if damaged else 0
    for backup in verified:
        say(f"{backup.state:<8} {plain(backup.name)}  {counted(backup.files, 'file')}, {size(backup.bytes)}")
        for problem in backup.problems:
            say(f"         {told(problem)}")
    if damaged:
        say(told("'migrator verify --repair' copies again what the files still hold unchanged."))
    elif not verified:
        say("There are no backups.")
    return 1 if damaged else 0


@backups_command.command("restore")
@click.argument("name")
@click.option(
    "--overwrite-newer-work",
    is_flag=True,
    help="Take the place of files that differ from the backup; each is kept beside its place.",
)
@click.option("--json", "as_json", is_flag=True, help="Print what was restored as one JSON object.")
@click.pass_obj
def restore_command(resolve: Resolve, name: str, overwrite_newer_work: bool, as_json: bool) -> int:
    """Put the files of a backup back to where they came from.

    All of them, or none. While SQLite holds the truth, 'migrator rollback' is what brings the files back.

    \b
    migrator backups restore 20250113T100000Z-1a2b3c4d
    """
    from migrator.backups.restore import restore_backup

    report = restore_backup(resolve(), name, overwrite_newer_work=overwrite_newer_work)
    if as_json:
        print_report(report.to_json())
        return 0
    for file in report.files:
        say(f"{file.status:<9} {plain(file.file)}")
        if file.kept_beside:
            say(f"          what was there lies in {plain(file.kept_beside)}")
    say(f"Restored {plain(report.name)}.")
    return 0


@backups_command.command("prune")
@click.option("--keep", metavar="N", type=int, required=True, help="How many of the newest to keep.")
@click.option("--dry-run", is_flag=True, help="Only tell what would be removed.")
@click.option("--json", "as_json", is_flag=True, help="Print what was removed as one JSON object.")
@click.pass_obj
def prune_command(resolve: Resolve, keep: int, dry_run: bool, as_json: bool) -> int:
    """Remove backups, but for the newest N and those that are still needed.

    What the database compares changed files with stays, whatever N is. So do versions of sessions that somebody decided
    against in quarantine, and folders whose manifest can't be read; these don't count.

    \b
    migrator backups prune --keep 3 --dry-run
    migrator backups prune --keep 3
    """
    from migrator.backups.prune import prune_backups

    report = prune_backups(resolve(), keep, dry_run=dry_run)
    if as_json:
        print_report(report.to_json())
        return 0
    for name, reason in report.kept.items():
        say(f"keeps   {plain(name)}: {plain(reason)}")
    for name in report.removed:
        say(f"{'would remove' if dry_run else 'removed'} {plain(name)}")
    verb = "Would remove" if dry_run else "Removed"
    say(f"{verb} {counted(len(report.removed), 'backup')}, {size(report.bytes)}.")
    return 0
