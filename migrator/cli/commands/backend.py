"""``migrator backend``: shows or switches the backend that the app uses."""

from __future__ import annotations

import click

from migrator.admin.switch_backend import BackendReport, show_backend, switch_backend
from migrator.authority import BACKENDS, Backend, missing_database, state_of
from migrator.cli.options import Resolve, asks, prints_report, progress_option, require_yes, yes_option
from migrator.cli.output import echo, print_error, printable
from migrator.cli.progress import Outcome, run_with_progress
from migrator.data_dir import DataDir
from migrator.progress import Listener


def _print(report: BackendReport) -> None:
    for note in report.notes:
        echo(printable(note))
    if report.before != report.backend:
        echo(f"Switched from {report.before} to {report.backend}.")
    else:
        echo(f"Backend in use: {report.backend}.")
    if report.trial is not None and report.backend == "hybrid":  # the switch out of it has its own note
        echo(f"Hybrid mode: {report.trial.summary()}.")


def _outcome(report: BackendReport) -> Outcome:
    notes = [note for note in report.notes if note not in report.errors]
    return Outcome(report.errors, notes, report.before == report.backend)


@click.command("backend", short_help="Show or switch the backend that the app uses.")
@click.argument("target", required=False, type=click.Choice(BACKENDS))
@yes_option
@progress_option()
@prints_report(_print, works="target")
def backend_command(resolve: Resolve, target: Backend | None, yes: bool, progress: str) -> BackendReport:
    """Show which backend the app uses, or switch to another one, together with all data.

    \b
    migrator backend         show the backend, and what hybrid mode found
    migrator backend sqlite  migrate if necessary, then use SQLite
    migrator backend hybrid  use SQLite, update the JSON files too, and compare
    migrator backend json    go back to the JSON files (a rollback)

    If the authoritative database is lost, 'migrator backend json' accepts the loss; on a terminal it asks before.

    In hybrid mode every write goes to both stores, and what is read from SQLite is compared with the JSON files.
    """
    if target == "json" and asks(yes):
        places = resolve()
        lost = missing_database(places, state_of(places.database))
        if lost is not None:
            print_error(lost.message)
            require_yes("Use the JSON files, which may lack everything since the migration?")

    def work(data_dir: DataDir, listener: Listener) -> BackendReport:
        return show_backend(data_dir) if target is None else switch_backend(data_dir, target, listener)

    return run_with_progress(resolve, progress, work, _outcome)
