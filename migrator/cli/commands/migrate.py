"""``migrator migrate``: moves the session history into SQLite."""

from __future__ import annotations

from functools import partial
from typing import Any

import click

from migrator.cli.options import NAME, Resolve, prints_report, progress_option
from migrator.cli.output import echo, print_notes, printable
from migrator.cli.progress import Outcome, run_with_progress
from migrator.migration.report import MigrationReport, WorkspaceReport
from migrator.migration.run import run_migration
from migrator.text import counted, plain, size
from migrator.worker.gc_pause import without_collector

_MOST_LISTED = 30  # workspaces


def _print(report: MigrationReport) -> None:
    print_notes(report.warnings)
    if report.status == "nothing_to_do" or (report.restored and all(map(_is_unchanged, report.workspaces))):
        nothing = "Nothing else to do" if report.restored else "Nothing to do"
        unchanged = sum(workspace.error is None for workspace in report.workspaces)
        if report.workspaces:
            echo(f"{nothing}: {counted(unchanged, 'workspace')} unchanged since the last migration.")
        else:
            root = click.get_current_context().obj().root
            echo(f"Nothing to do: there are no session files in {plain(str(root))}.")
        for workspace in report.workspaces:
            if workspace.error:
                echo(printable(f"Not migrated: {workspace.path}; 'migrator status' shows why."))
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
        f"{verb} {sessions} ({instances}, {messages}) from {workspaces}: {size(count)} in {took / 1000:.1f} s "
        f"({speed}). Each session was read back and compared."
    )
    _print_workspaces(report)
    _print_problems(report)
    if report.dry_run:
        echo("This was a dry run: nothing was changed. The messages above say what a migration would do.")
        return
    echo(f"Database: {plain(report.database)}")
    if report.backup_path:
        echo(f"Backup:   {plain(report.backup_path)}")


def _is_unchanged(workspace: WorkspaceReport) -> bool:
    return workspace.status in ("unchanged", "failed")


def _print_problems(report: MigrationReport) -> None:
    totals = report.totals
    held = counted(totals.quarantined, "session")
    if totals.quarantined and report.dry_run:  # there is no quarantine to list afterwards
        echo(f"Would go to quarantine: {held}.")
    elif totals.quarantined:
        echo(printable(f"In quarantine: {held}; 'migrator quarantine list' shows why."))
    if totals.failed:
        not_migrated = "Would not be migrated" if report.dry_run else "Not migrated"
        files, them = ("its file", "it") if totals.failed == 1 else ("their files", "them")
        echo(
            f"{not_migrated}: {counted(totals.failed, 'workspace')}. The app keeps using {files}, or what was migrated "
            f"from {them} earlier."
        )
    done = "Would be deleted" if report.dry_run else "Deleted"
    if totals.deleted:
        echo(f"{done} in SQLite, as in the files: {counted(totals.deleted, 'session')}; kept in quarantine.")
    if totals.held:
        echo(f"Deleted in the files, still in SQLite: {counted(totals.held, 'session')}; waiting for your decision.")
    for message in report.errors:
        echo(f"  - {printable(message)}")


def _print_workspaces(report: MigrationReport) -> None:
    """List the workspaces that were changed or need attention; only count the others."""
    listed = [workspace for workspace in report.workspaces if workspace.status != "unchanged" or workspace.error]
    for workspace in listed[:_MOST_LISTED]:
        echo(
            (f"  {workspace.status:<9}", workspace.status),
            f" {workspace.sessions:>7,} {plain(workspace.path)}"
            + (f"  ({workspace.quarantined} in quarantine)" if workspace.quarantined else "")
            + (f"  ({workspace.deleted} deleted)" if workspace.deleted else "")
            + (f"  ({workspace.held} missing in the file)" if workspace.held else ""),
        )
    if len(listed) > _MOST_LISTED:
        echo(printable(f"  … and {len(listed) - _MOST_LISTED} more; 'migrator status' lists them all."))
    unchanged = len(report.workspaces) - len(listed)
    if unchanged:
        noun = "workspace" if unchanged == 1 else "workspaces"
        echo(f"  unchanged {unchanged:>7,} {noun}")


def _outcome(report: MigrationReport) -> Outcome:
    more = {name: getattr(report, name) for name in ("database", "backup_path", "duration_ms", "dry_run")}
    more["totals"] = vars(report.totals)
    return Outcome(report.errors, report.warnings, report.status == "nothing_to_do", more)


@click.command("migrate", short_help="Move the session history into SQLite.")
@click.option("--dry-run", is_flag=True, help="Do everything in a temporary folder, then remove it.")
@click.option("--strict", is_flag=True, help="Abort without publishing if any file or session is invalid.")
@click.option("--salvage", is_flag=True, help="Migrate the complete sessions of truncated files; quarantine the rest.")
@click.option(
    "--workspace",
    "workspaces",
    metavar="PATH",
    type=NAME,
    multiple=True,
    help="Path of a workspace to include, with its PATH/.ait42/sessions.json if present. May be repeated.",
)
@click.option(
    "--adopt",
    metavar="FILE",
    multiple=True,
    help="Add the sessions of a file whose name is not a workspace hash, such as a conflict copy. May be repeated.",
)
@click.option(
    "--from-database",
    metavar="FILE",
    help="Add the sessions of a database that an earlier branch of the app made.",
)
@click.option(
    "--loader",
    type=click.Choice(["auto", "sqlite-utils", "apsw"]),
    default="auto",
    show_default=True,
    help="What fills the new database; auto takes apsw, the faster one, where it is installed. The result is the same.",
)
@click.option("--no-search-index", is_flag=True, help="Do not build the full-text search index.")
@progress_option("Progress style: a bar on a terminal, otherwise at most one line per second.")
@without_collector()
@prints_report(_print, "Print the report as one JSON object.", works=True)
def migrate_command(resolve: Resolve, no_search_index: bool, progress: str, **options: Any) -> MigrationReport:
    """Move every session of the data directory into its SQLite database.

    The files are backed up first; only hybrid mode changes them. Every session is read back from the new database and
    compared with its file before the database is used. Invalid sessions go to quarantine, and files that cannot be read
    stay where they are; everything else is migrated. Run it again at any time: it migrates only what is new or changed.

    At the end, when the app may already start, it builds the index for full-text search.

    \b
    migrator migrate --dry-run               see what would happen
    migrator migrate --workspace ~/my/repo   name a workspace that is not detected
    migrator migrate --adopt 'copy of shop.json' --workspace ~/shop
    migrator --data-dir /tmp/.ait42 migrate  use another data directory
    """
    work = partial(run_migration, search_index=not no_search_index, **options)
    return run_with_progress(resolve, progress, work, _outcome, MigrationReport.failed)
