"""``migrator migrate``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from migrator.cli.output import complain, counted, plain, print_report, say, size, told
from migrator.data_dir import DataDir
from migrator.worker.gc_pause import without_collector

if TYPE_CHECKING:
    from migrator.migration.report import MigrationReport

PROGRESS = click.Choice(["auto", "bar", "jsonl", "none"])


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
@click.option(
    "--progress",
    type=PROGRESS,
    default="auto",
    show_default=True,
    help="A bar on a terminal, else a line a file, or a second where there are very many.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as one JSON object.")
@click.pass_obj
@without_collector()
def migrate_command(
    resolve: Callable[[], DataDir],
    dry_run: bool,
    strict: bool,
    salvage: bool,
    workspaces: tuple[str, ...],
    no_search_index: bool,
    progress: str,
    as_json: bool,
) -> int:
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
    from migrator.cli.progress import showing
    from migrator.errors import MigratorError
    from migrator.migration.report import MigrationReport
    from migrator.migration.run import run_migration

    data_dir = None
    try:
        data_dir = resolve()
        with showing(progress) as listener:
            report = run_migration(
                data_dir,
                dry_run=dry_run,
                strict=strict,
                salvage=salvage,
                workspaces=workspaces,
                search_index=not no_search_index,
                listener=listener,
            )
    except MigratorError as error:
        if not as_json and progress != "jsonl":
            raise
        database = str(data_dir.database) if data_dir else ""
        report = MigrationReport("failed", database, errors=(str(error),))
        if progress == "jsonl":
            _finished(report, error.exit_code)
        else:
            complain(str(error))
        if as_json:
            print_report(report.to_json())
        return error.exit_code
    if progress == "jsonl":
        _finished(report, report.exit_code)
    if as_json:
        print_report(report.to_json())
    else:
        if progress != "jsonl":  # whose last event has them
            for warning in report.warnings:
                say(f"Note: {told(warning)}", error=True)
        _print_report(report)
    return report.exit_code


def _finished(report: MigrationReport, exit_code: int) -> None:
    from migrator.cli.progress import Ended, finished

    more = {name: getattr(report, name) for name in ("database", "backup_path", "duration_ms", "dry_run")}
    ended = Ended(exit_code, report.errors, report.warnings, report.status == "nothing_to_do")
    finished("migrate", ended, totals=vars(report.totals), **more)


def _print_report(report: MigrationReport) -> None:
    from migrator.cli.progress import speed

    totals = report.totals
    taken = [workspace for workspace in report.workspaces if workspace.status in ("migrated", "merged")]
    if report.status == "nothing_to_do":
        if totals.workspaces:
            say(f"Nothing to do: {counted(totals.workspaces, 'workspace')} known and unchanged.")
        else:
            say("Nothing to do: no session files found.")
        for workspace in report.workspaces:
            if workspace.error:
                say(f"Still JSON: {plain(workspace.path)}: {told(workspace.error)}")
        return
    moved = "Would migrate" if report.dry_run else "Migrated"
    say(
        f"{moved} {counted(sum(workspace.sessions for workspace in taken), 'session')} "
        f"({counted(sum(workspace.instances for workspace in taken), 'instance')}, "
        f"{counted(sum(workspace.messages for workspace in taken), 'message')}) of {counted(len(taken), 'workspace')}, "
        f"{size(totals.bytes)} in {report.duration_ms / 1000:.1f} s ({speed(totals.bytes, report.duration_ms)}), "
        "each read back and compared."
    )
    _print_workspaces(report)
    held = counted(totals.quarantined, "session")
    if totals.quarantined and report.dry_run:  # there is no list of it to look at
        say(f"Would go to quarantine: {held}.")
    elif totals.quarantined:
        say(told(f"In quarantine: {held}; 'migrator quarantine list' tells why."))
    if totals.failed:
        not_migrated = "Would not be migrated" if report.dry_run else "Not migrated"
        files, them = ("its file", "it") if totals.failed == 1 else ("their files", "them")
        say(
            f"{not_migrated}: {counted(totals.failed, 'workspace')}; the app goes on with {files}, or with what was "
            f"migrated from {them} before."
        )
    for message in report.errors:
        say(f"  - {told(message)}")
    if not report.dry_run:
        say(f"Database: {plain(report.database)}")
        if report.backup_path:
            say(f"Backup:   {plain(report.backup_path)}")


_SHOWN = 30


def _print_workspaces(report: MigrationReport) -> None:
    """Each workspace that something was done for, or that needs somebody; the others are but counted."""
    shown = [workspace for workspace in report.workspaces if workspace.status != "unchanged" or workspace.error]
    for workspace in shown[:_SHOWN]:
        say(
            f"  {workspace.status:<9} {workspace.sessions:>7,} {plain(workspace.path)}"
            + (f"  ({workspace.quarantined} in quarantine)" if workspace.quarantined else "")
        )
    if len(shown) > _SHOWN:
        say(told(f"  … and {len(shown) - _SHOWN} more; 'migrator status' lists them all."))
    unchanged = len(report.workspaces) - len(shown)
    if unchanged:
        say(f"  unchanged {unchanged:>7,} {'workspace' if unchanged == 1 else 'workspaces'}")
