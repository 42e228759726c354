"""``migrator status``: shows the current state."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import click

from migrator.cli.options import Resolve, prints_report
from migrator.cli.output import echo, pager, print_authority, print_notes, printable
from migrator.inventory.deletions import Deletion
from migrator.inventory.status import StatusReport, status_of
from migrator.text import counted, plain, size

_NAMED = 10  # deleted sessions


@pager()
def _print(report: StatusReport) -> None:
    print_notes(report.warnings)
    if report.lost is not None:
        echo(printable(report.lost))
        echo("The JSON files, which may lack everything since the migration:")
    else:
        print_authority(report.authority, report.backend)
        if report.migration_status is None:
            echo("There is no database yet.")
        else:
            echo(
                f"Database: {plain(report.database)} ({size(report.database_bytes)}, schema version "
                f"{report.schema_version}, migration {plain(report.migration_status)})"
            )
    if report.backup_path:
        echo(f"Backup:   {plain(report.backup_path)}")
    for workspace in report.workspaces:
        nouns = ("session", "instance", "message")
        contents = ": " + ", ".join(counted(getattr(workspace, f"{noun}s"), noun) for noun in nouns)
        if workspace.state in ("new", "failed") and not workspace.sessions:
            contents = ""  # the file's sessions are not in the database, so they are not counted
        held = f", {workspace.quarantined} in quarantine" if workspace.quarantined else ""
        held += f", {workspace.deleted} deleted" if workspace.deleted else ""
        held += f", {workspace.held} missing in the file" if workspace.held else ""
        echo(f"  {workspace.state:<9} {plain(workspace.hash)}  {plain(workspace.path)}{contents}{held}")
        if workspace.error:
            echo(f"            {printable(workspace.error)}")
    if report.quarantined:
        echo(printable(f"In quarantine: {counted(report.quarantined, 'item')}; 'migrator quarantine list' shows why."))
    _print_deletions(report)
    if report.refused is not None:
        print_notes([report.refused])  # in place of a command that would end with it
        return
    if report.migration_status == "rolled_back":
        echo(printable("After the rollback, the app uses the JSON files. 'migrator migrate' moves to SQLite again."))
    if report.needs_migration:
        echo(printable(f"{counted(len(report.changed_files), 'file')} to migrate: run 'migrator migrate'."))


def _print_deletions(report: StatusReport) -> None:
    """Name the first few sessions that files lost."""
    if report.held:
        names = _names(deletion for deletion in report.deletions if deletion.held)
        text = f"To decide: {counted(report.held, 'session')} missing in their files, still in SQLite ({names})"
        echo(printable(f"{text}; see 'migrator deletions list'."))
    if report.deleted:
        names = _names(deletion for deletion in report.deletions if not deletion.held)
        text = f"Kept in quarantine: {counted(report.deleted, 'deleted session')} ({names})"
        echo(printable(f"{text}; 'migrator quarantine list' shows them."))


def _names(deletions: Iterator[Deletion]) -> str:
    names = [deletion.session_id for deletion in islice(deletions, _NAMED + 1)]
    return ", ".join(names[:_NAMED]) + (", …" if len(names) > _NAMED else "")


@click.command("status", short_help="Show the current state.")
@prints_report(_print)
def status_command(resolve: Resolve) -> StatusReport:
    """Show which store is authoritative, which backend is in use, and each workspace. Changes nothing.

    \b
    migrator status                          for people
    migrator status --json                   for programs
    """
    return status_of(resolve())
