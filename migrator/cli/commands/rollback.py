"""``migrator rollback``."""

from __future__ import annotations

from collections.abc import Callable

import click

from migrator.cli.commands.migrate import PROGRESS
from migrator.cli.output import counted, plain, print_report, say, told
from migrator.data_dir import DataDir


@click.command("rollback", short_help="Bring everything back into the JSON files.")
@click.option("--dry-run", is_flag=True, help="Do everything for real in a scratch folder, and remove it again.")
@click.option("--progress", type=PROGRESS, default="auto", show_default=True, help="How to show progress.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as one JSON object.")
@click.pass_obj
def rollback_command(resolve: Callable[[], DataDir], dry_run: bool, progress: str, as_json: bool) -> int:
    """Make the JSON files the truth again, with everything that SQLite holds.

    A workspace that did not change since the migration gets its original bytes; a changed one is written in the app's
    format. The database and the backups stay. 'migrator migrate' afterwards works again.

    \b
    migrator rollback --dry-run              see what would happen
    migrator rollback                        do it
    """
    from migrator.cli.progress import Ended, reported
    from migrator.export.rollback import RollbackReport, run_rollback

    def ended(report: RollbackReport) -> Ended:
        notes = [warning for warning in report.warnings if warning not in report.problems]
        return Ended(report.exit_code, report.problems, notes, report.status == "nothing_to_do")

    report = reported(
        "rollback",
        progress,
        lambda listener: run_rollback(resolve(), dry_run=dry_run, listener=listener),
        ended,
        as_json=as_json,
    )
    if as_json:
        print_report(report.to_json())
        return report.exit_code
    if report.status == "nothing_to_do":
        say("Nothing to do: the JSON files are the truth already.")
        return report.exit_code
    for file in report.workspaces:
        how = "as it was" if file.restored == "bytes" else "written from SQLite"
        say(f"  {plain(file.file)}: {counted(file.sessions, 'session')}, {how}")
    if progress != "jsonl":  # whose last event has them
        for warning in report.warnings:
            say(f"Note: {told(warning)}", error=True)
    went = "Would go" if report.dry_run else "Went"
    say(f"{went} back to JSON: {counted(len(report.workspaces), 'file')}. The database stays: {plain(report.database)}")
    return report.exit_code
