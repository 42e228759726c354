"""``migrator export``: writes sessions from SQLite into JSON files."""

from __future__ import annotations

from pathlib import Path

import click

from migrator.cli.options import FILE, NAME, Resolve, prints_report
from migrator.cli.output import echo, print_notes
from migrator.export.to_folder import ExportReport, export
from migrator.text import counted, plain


def _print(report: ExportReport) -> None:
    for workspace in report.workspaces:
        held = f" ({workspace.quarantined} in quarantine, not exported)" if workspace.quarantined else ""
        echo(f"{plain(workspace.file)}: {counted(workspace.sessions, 'session')} of {plain(workspace.path)}{held}")
    print_notes(report.notes)
    echo(f"Exported {counted(len(report.workspaces), 'workspace')} to {plain(report.directory)}.")


@click.command("export", short_help="Write sessions from SQLite into JSON files.")
@click.option("--to", "target", metavar="DIR", required=True, type=FILE, help="Folder to write to.")
@click.option(
    "--workspace",
    "workspaces",
    metavar="PATH",
    type=NAME,
    multiple=True,
    help="Only this workspace, by path or hash. May be repeated.",
)
@prints_report(_print, "Print what was written as one JSON object.", works=True)
def export_command(resolve: Resolve, target: Path, workspaces: tuple[str, ...]) -> ExportReport:
    """Write the sessions of each workspace into DIR as <hash>.json, in the app's format. Overwrites nothing in DIR.

    Files that could not be migrated are skipped and reported; the exit code is then 3.

    \b
    migrator export --to ~/sessions          every workspace
    migrator export --to ~/shop --workspace ~/my/shop
    """
    return export(resolve(), target, workspaces)
