"""``migrator status``, ``verify`` and ``export``: looking, and taking out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from migrator.cli.commands.migrate import PROGRESS
from migrator.cli.output import counted, paged, plain, print_report, say, size, told
from migrator.data_dir import DataDir

if TYPE_CHECKING:
    from migrator.inventory.status import StatusReport, WorkspaceState
    from migrator.verification.run import VerifyReport

Resolve = Callable[[], DataDir]


@click.command("status", short_help="See how things stand.")
@click.option("--json", "as_json", is_flag=True, help="Print it as one JSON object.")
@click.pass_obj
def status_command(resolve: Resolve, as_json: bool) -> int:
    """Show which store holds the truth, what the app runs on, and each workspace. Changes nothing.

    \b
    migrator status                          who holds the truth, and each workspace
    migrator status --json                   the same for a program
    """
    from migrator.inventory.status import status_of

    report = status_of(resolve())
    if as_json:
        print_report(report.to_json())
    else:
        with paged():
            _print_status(report)
    return 0


def _print_status(report: StatusReport) -> None:
    for warning in report.warnings:
        say(f"Note: {told(warning)}", error=True)
    if report.lost is not None:
        say(told(report.lost))
        say("The JSON files are as old as the migration:")
    else:
        _print_authority(report)
    if report.backup_path:
        say(f"Backup:   {plain(report.backup_path)}")
    for workspace in report.workspaces:
        held = f", {workspace.quarantined} in quarantine" if workspace.quarantined else ""
        say(f"  {workspace.state:<9} {plain(workspace.hash)}  {plain(workspace.path)}{_contents(workspace)}{held}")
        if workspace.error:
            say(f"            {told(workspace.error)}")
    if report.quarantined:
        say(told(f"In quarantine: {counted(report.quarantined, 'item')}; 'migrator quarantine list' tells why."))
    if report.needs_migration:
        say(told(f"{counted(len(report.changed_files), 'file')} to take up: run 'migrator migrate'."))


def _contents(workspace: WorkspaceState) -> str:
    if workspace.state in ("new", "failed") and not workspace.sessions:
        return ""  # the database has none of what is in the file, which nobody has counted
    held = (
        counted(workspace.sessions, "session"),
        counted(workspace.instances, "instance"),
        counted(workspace.messages, "message"),
    )
    return f": {', '.join(held)}"


def _print_authority(report: StatusReport) -> None:
    truth = {"sqlite": "SQLite", "json": "the JSON files"}[report.authority]
    say(f"The truth is in {truth}; the app runs on {report.backend}.")
    if report.migration_status is None:
        say("There is no database yet.")
    else:
        say(
            f"Database: {plain(report.database)} ({size(report.database_bytes)}, schema version "
            f"{report.schema_version}, migration {plain(report.migration_status)})"
        )


@click.command("verify", short_help="Compare everything with where it came from.")
@click.option("--repair", is_flag=True, help="First put right what can be put right safely, and tell what that was.")
@click.option("--progress", type=PROGRESS, default="auto", show_default=True, help="How to show progress.")
@click.option("--json", "as_json", is_flag=True, help="Print it as one JSON object.")
@click.pass_obj
def verify_command(resolve: Resolve, repair: bool, progress: str, as_json: bool) -> int:
    """Check the database deeply: SQLite's own checks, every session read, every file and backup hashed and compared.

    Without --repair it changes nothing. Exit code 1 if anything is broken.

    What --repair puts right: backup copies that are missing or damaged, where the file is still the same; indexes that
    do not fit their tables; a storage.json that disagrees with the authority; what runs that died left; files of ours
    that others may read. Files that changed, and at a glance did not, are marked for 'migrator migrate' to look closer.

    \b
    migrator verify                          changes nothing
    migrator verify --repair                 puts right what it safely can, first
    """
    from migrator.cli.progress import Ended, reported
    from migrator.verification.repair import repair_and_verify
    from migrator.verification.run import verify

    def ended(report: VerifyReport) -> Ended:
        nothing = report.status == "nothing_to_verify"
        return Ended(report.exit_code, report.broken, (*report.repaired, *report.notes), nothing)

    check = repair_and_verify if repair else verify
    report = reported("verify", progress, lambda listener: check(resolve(), listener), ended, as_json=as_json)
    if as_json:
        print_report(report.to_json())
    else:
        _print_verification(report)
    return report.exit_code


def _print_verification(report: VerifyReport) -> None:
    for repaired in report.repaired:
        say(f"mended  {told(repaired)}")
    for broken in report.broken:
        say(f"BROKEN  {told(broken)}")
    for note in report.notes:
        say(f"note    {told(note)}")
    if report.status == "clean":
        unchanged = sum(source.database == "unchanged" for source in report.sources)
        say(
            f"Clean: {counted(report.sessions, 'session')} read; {unchanged:,} of "
            f"{counted(len(report.sources), 'file')} in SQLite exactly as migrated."
        )
    elif report.broken:
        say(f"{counted(len(report.broken), 'thing')} broken in {plain(report.database)}.")


@click.command("export", short_help="Write sessions from SQLite into JSON files.")
@click.option("--to", "target", metavar="DIR", required=True, type=click.Path(path_type=Path), help="Where to.")
@click.option(
    "--workspace", "workspaces", metavar="PATH", multiple=True, help="Only this workspace, by path or hash. Repeatable."
)
@click.option("--json", "as_json", is_flag=True, help="Print what was written as one JSON object.")
@click.pass_obj
def export_command(resolve: Resolve, target: Path, workspaces: tuple[str, ...], as_json: bool) -> int:
    """Write each workspace's sessions into DIR as the app's own <hash>.json. Nothing in DIR is overwritten.

    A file that could not be migrated is left out, and told of; exit code 3 then.

    \b
    migrator export --to ~/sessions          every workspace
    migrator export --to ~/shop --workspace ~/my/shop
    """
    from migrator.export.to_folder import export

    report = export(resolve(), target, workspaces)
    if as_json:
        print_report(report.to_json())
        return report.exit_code
    for workspace in report.workspaces:
        held = f" ({workspace.quarantined} in quarantine left out)" if workspace.quarantined else ""
        say(f"{plain(workspace.file)}: {counted(workspace.sessions, 'session')} of {plain(workspace.path)}{held}")
    for note in report.notes:
        say(f"Note: {told(note)}", error=True)
    say(f"Exported {counted(len(report.workspaces), 'workspace')} to {plain(report.directory)}.")
    return report.exit_code
