"""``migrator rollback``: goes back from SQLite to the JSON files."""

from __future__ import annotations

from functools import partial

import click

from migrator.cli.options import Resolve, prints_report, progress_option
from migrator.cli.output import echo, print_notes
from migrator.cli.progress import Outcome, run_with_progress
from migrator.export.rollback import RollbackReport, run_rollback
from migrator.text import counted, plain


def _print(report: RollbackReport) -> None:
    if report.status == "nothing_to_do":
        echo("Nothing to do: the JSON files are already authoritative.")
        return
    for file in report.workspaces:
        how = "original bytes" if file.restored == "bytes" else "written from SQLite"
        echo(f"  {plain(file.file)}: {counted(file.sessions, 'session')}, {how}")
    print_notes(report.warnings)
    went, files = "Would go" if report.dry_run else "Went", counted(len(report.workspaces), "file")
    echo(f"{went} back to JSON: {files}. The database is kept: {plain(report.database)}")


def _outcome(report: RollbackReport) -> Outcome:
    notes = [warning for warning in report.warnings if warning not in report.errors]
    return Outcome(report.errors, notes, report.status == "nothing_to_do")


@click.command("rollback", short_help="Go back to the JSON files with all sessions.")
@click.option("--dry-run", is_flag=True, help="Do everything in a temporary folder, then remove it.")
@click.option("--salvage", is_flag=True, help="If the database is damaged: go back with what can be read of it.")
@progress_option()
@prints_report(_print, "Print the report as one JSON object.", works=True)
def rollback_command(resolve: Resolve, dry_run: bool, salvage: bool, progress: str) -> RollbackReport:
    """Make the JSON files authoritative again, with everything that is in SQLite.

    A workspace that did not change since the migration gets its original bytes back; a changed one is written in the
    app's format. The database and the backups are kept. You can run 'migrator migrate' again later.

    With --salvage, what a damaged database does not have is taken from the backup copies of the files, and named; the
    exit code is then 3. The damaged database is kept under another name.

    \b
    migrator rollback --dry-run              see what would happen
    migrator rollback                        do it
    migrator rollback --salvage              do it with a damaged database
    """
    return run_with_progress(resolve, progress, partial(run_rollback, dry_run=dry_run, salvage=salvage), _outcome)
