"""``migrator migrate``."""

from __future__ import annotations

from functools import partial
from typing import Any

import click

from migrator.cli.options import Resolve, prints_report, progress_option
from migrator.cli.output import echo, print_notes, printable
from migrator.cli.progress import Outcome, run_with_progress
from migrator.migration.report import MigrationReport
from migrator.migration.run import run_migration
from migrator.text import counted, plain, size
from migrator.worker.gc_pause import without_collector

_MOST_WORKSPACES = 30  # that are listed


def _print(report: MigrationReport) -> None:
    print_notes(report.warnings)
    if report.status == "nothing_to_do":
        if report.totals.workspaces:
            echo(f"Nothing to do: {counted(report.totals.workspaces, 'workspace')} known and unchanged.")
        else:
            echo("Nothing to do: no session files found.")
        for workspace in report.workspaces:
            if workspace.error:
                echo(f"Still JSON: {plain(workspace.path)}: {printable(workspace.error)}")
        return
    migrated = [workspace for workspace in report.workspaces if workspace.status in ("migrated", "merged")]
    sessions, instances, messages = (
        counted(sum(getattr(workspace, f"{noun}s") for workspace in migrated), noun)
        for noun in ("session", "instance", "message")
    )
    verb, workspaces = "Would migrate" if report.dry_run else "Migrated", counted(len(migrated), "workspace")
    count, took = report.totals.bytes, report.duration_ms
    speed = f"{size(count * 1000 / took)}/s" if took else ""
    echo(
        f"{verb} {sessions} ({instances}, {messages}) of {workspaces}, {size(count)} in {took / 1000:.1f} s "
        f"({speed}), each read back and compared."
    )
    _print_workspaces(report)
    _print_problems(report)
    if not report.dry_run:
        echo(f"Database: {plain(report.database)}")
        if report.backup_path:
            echo(f"Backup:   {plain(report.backup_path)}")


def _print_problems(report: MigrationReport) -> None:
    totals = report.totals
    held = counted(totals.quarantined, "session")
    if totals.quarantined and report.dry_run:  # there is no list of it to look at
        echo(f"Would go to quarantine: {held}.")
    elif totals.quarantined:
        echo(printable(f"In quarantine: {held}; 'migrator quarantine list' tells why."))
    if totals.failed:
        not_migrated = "Would not be migrated" if report.dry_run else "Not migrated"
        files, them = ("its file", "it") if totals.failed == 1 else ("their files", "them")
        echo(
            f"{not_migrated}: {counted(totals.failed, 'workspace')}; the app goes on with {files}, or with what was "
            f"migrated from {them} before."
        )
    for message in report.errors:
        echo(f"  - {printable(message)}")


def _print_workspaces(report: MigrationReport) -> None:
    """Each workspace that something was done for, or that needs somebody; the others are but counted."""
    listed = [workspace for workspace in report.workspaces if workspace.status != "unchanged" or workspace.error]
    for workspace in listed[:_MOST_WORKSPACES]:
        echo(
            f"  {workspace.status:<9} {workspace.sessions:>7,} {plain(workspace.path)}"
            + (f"  ({workspace.quarantined} in quarantine)" if workspace.quarantined else "")
        )
    if len(listed) > _MOST_WORKSPACES:
        echo(printable(f"  … and {len(listed) - _MOST_WORKSPACES} more; 'migrator status' lists them all."))
    unchanged = len(report.workspaces) - len(listed)
    if unchanged:
        echo(f"  unchanged {unchanged:>7,} {'workspace' if unchanged == 1 else 'workspaces'}")


def _outcome(report: MigrationReport) -> Outcome:
    more = {name: getattr(report, name) for name in ("database", "backup_path", "duration_ms", "dry_run")}
    more["totals"] = vars(report.totals)
    return Outcome(report.errors, report.warnings, report.status == "nothing_to_do", more)


@click.command("migrate", short_help="Move the session history into SQLite.")
@click.option("--dry-run", is_flag=True, help="Do everything for real in a scratch folder, and remove it again.")
@click.option("--strict", is_flag=True, help="Publish nothing if anything is bad.")
@click.option("--salvage", is_flag=True, help="Take what is whole of torn files; the torn end goes to quarantine.")
@click.option(
    "--workspace",
    "workspaces",
    metavar="PATH",
    multiple=True,
    help="Make a workspace's path known, and take along its older PATH/.ait42/sessions.json. Repeatable.",
)
@click.option("--no-search-index", is_flag=True, help="Leave out what makes 'migrator sessions search' fast.")
@progress_option("A bar on a terminal, else a line a file, or a second where there are very many.")
@without_collector()
@prints_report(_print, "Print the report as one JSON object.")
def migrate_command(resolve: Resolve, no_search_index: bool, progress: str, **options: Any) -> MigrationReport:
    """Move every session of the data directory into its SQLite database.

    The files are backed up first and never touched. Every session is read back from the new database and compared with
    its file before the database counts. A session that is not valid goes to quarantine and a file that can't be read
    stays where it is; all others are migrated. Run it again at any time: it takes up only what is new or changed.

    When all of that is done, and the app may start, it builds the index that makes searching fast.

    \b
    migrator migrate --dry-run               see what would happen
    migrator migrate --workspace ~/my/repo   tell a workspace that it can't find out
    migrator --data-dir /tmp/.ait42 migrate  another data directory
    """
    work = partial(run_migration, search_index=not no_search_index, **options)
    return run_with_progress(resolve, progress, work, _outcome, MigrationReport.failed)
