"""``migrator backend``: what the app runs on."""

from __future__ import annotations

import click

from migrator.admin.switch_backend import BackendReport, show_backend, switch_backend
from migrator.authority import BACKENDS, Backend
from migrator.cli.options import Resolve, prints_report, progress_option
from migrator.cli.output import echo, printable
from migrator.cli.progress import Outcome, run_with_progress
from migrator.data_dir import DataDir
from migrator.progress import Listener


def _print(report: BackendReport) -> None:
    for note in report.notes:
        echo(printable(note))
    if report.before != report.backend:
        echo(f"Switched from {report.before} to {report.backend}.")
    else:
        echo(f"The app runs on {report.backend}.")
    if report.trial is not None:
        echo(f"Trial of both stores: {report.trial.summary()}.")


def _outcome(report: BackendReport) -> Outcome:
    notes = [note for note in report.notes if note not in report.errors]
    return Outcome(report.errors, notes, report.before == report.backend)


@click.command("backend", short_help="Show or switch what the app runs on.")
@click.argument("target", required=False, type=click.Choice(BACKENDS))
@progress_option()
@prints_report(_print)
def backend_command(resolve: Resolve, target: Backend | None, progress: str) -> BackendReport:
    """Show what the app runs on, or switch it together with all the data that the switch needs.

    \b
    migrator backend         show it, and what a trial of both stores found
    migrator backend sqlite  migrate if need be, then run on SQLite
    migrator backend hybrid  run on SQLite and keep the JSON files up to date beside it, comparing what is read
    migrator backend json    go back to the JSON files, with everything (a rollback)
    """

    def work(data_dir: DataDir, listener: Listener) -> BackendReport:
        return show_backend(data_dir) if target is None else switch_backend(data_dir, target, listener)

    return run_with_progress(resolve, progress, work, _outcome)
