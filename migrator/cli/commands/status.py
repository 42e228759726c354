"""``migrator status``: shows the current state."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice

import click

from migrator.cli.options import Resolve, prints_report
from migrator.cli.output import echo, pager, print_authority, print_notes, printable
from migrator.inventory.deletions import Deletion
from migrator.inventory.status import StatusReport, WorkspaceState
from migrator.storage.hybrid.status import status_with_journal
from migrator.text import counted, plain, portion, size

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
    if report.running is not None:
        from migrator.cli.progress import verb_of  # seldom needed

        done = portion(report.running.done, report.running.total)
        sessions = f", {counted(report.running.sessions, 'session')}" if report.running.sessions else ""
        echo(f"A migrator is at work: {verb_of(report.running.phase)} {done}{sessions}.")
    _print_workspaces(report.workspaces)
    if report.quarantined:
        echo(printable(f"In quarantine: {counted(report.quarantined, 'item')}; 'migrator quarantine list' shows why."))
    _print_deletions(report)
    if report.refused is not None:
        print_notes([report.refused])  # in place of a command that would end with it
        return
    if report.migration_status == "rolled_back":
        echo(printable("After the rollback, the app uses the JSON files. 'migrator migrate' moves to SQLite again."))
    if report.search_index in ("pending", "building"):
        echo("The search index is not finished, so searching takes longer: 'migrator search-index build' builds it.")
    if report.needs_migration:
        echo(printable(f"{counted(len(report.changed_files), 'file')} to migrate: run 'migrator migrate'."))


def _print_workspaces(workspaces: Sequence[WorkspaceState]) -> None:
    """Print a table of the workspaces, and its totals."""
    if not workspaces:
        return
    echo()
    echo((f"{'STATE':<10}{'SESSIONS':>8}{'INSTANCES':>11}{'MESSAGES':>10}  WORKSPACE", "heading"))
    for workspace in workspaces:
        counts = [workspace.sessions, workspace.instances, workspace.messages]
        held = {
            "in quarantine": workspace.quarantined,
            "deleted": workspace.deleted,
            "missing in the file": workspace.held,
        }
        notes = ", ".join(f"{number:,} {what}" for what, number in held.items() if number)
        name = plain(workspace.path) + (f"  ({notes})" if notes else "")
        echo(
            (f"{workspace.state:<10}", workspace.state),
            f"{_cells(counts if _is_counted(workspace) else None)}  {name}",
            wrap=False,
        )
        if workspace.error:
            echo(f"{'':<10}{printable(workspace.error)}")
    nouns = ("sessions", "instances", "messages")
    totals = [sum(getattr(workspace, noun) for workspace in workspaces) for noun in nouns]
    states = Counter(workspace.state for workspace in workspaces)
    each = ", ".join(f"{number:,} {state}" for state, number in states.items())
    cells = _cells(totals if any(map(_is_counted, workspaces)) else None)
    echo((f"{'total':<10}{cells}  {counted(len(workspaces), 'workspace')} ({each})", "heading"))
    echo()


def _is_counted(workspace: WorkspaceState) -> bool:
    """Return whether its sessions are counted: those of a file that is not in the database are not."""
    return workspace.state not in ("new", "failed") or workspace.sessions > 0


def _cells(counts: Sequence[int] | None) -> str:
    return " " * 29 if counts is None else "{:>8,}{:>11,}{:>10,}".format(*counts)


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
    return status_with_journal(resolve())
