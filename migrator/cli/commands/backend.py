"""``migrator backend``: what the app runs on."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from migrator.authority import BACKENDS, Backend
from migrator.cli.commands.migrate import PROGRESS
from migrator.cli.output import print_report, say, told
from migrator.data_dir import DataDir

if TYPE_CHECKING:
    from migrator.admin.switch_backend import BackendReport


@click.command("backend", short_help="Show or switch what the app runs on.")
@click.argument("target", required=False, type=click.Choice(BACKENDS))
@click.option("--progress", type=PROGRESS, default="auto", show_default=True, help="How to show progress.")
@click.option("--json", "as_json", is_flag=True, help="Print it as one JSON object.")
@click.pass_obj
def backend_command(resolve: Callable[[], DataDir], target: Backend | None, progress: str, as_json: bool) -> int:
    """Show what the app runs on, or switch it together with all the data that the switch needs.

    \b
    migrator backend         show it, and what a trial of both stores found
    migrator backend sqlite  migrate if need be, then run on SQLite
    migrator backend hybrid  run on SQLite and keep the JSON files up to date beside it, comparing what is read
    migrator backend json    go back to the JSON files, with everything (a rollback)
    """
    from migrator.admin.switch_backend import show_backend, switch_backend
    from migrator.cli.progress import Ended, reported
    from migrator.progress import Listener

    def work(listener: Listener) -> BackendReport:
        return show_backend(resolve()) if target is None else switch_backend(resolve(), target, listener)

    def ended(report: BackendReport) -> Ended:
        notes = [note for note in report.notes if note not in report.problems]
        return Ended(report.exit_code, report.problems, notes, report.before == report.backend)

    report = reported("backend", progress, work, ended, as_json=as_json)
    if as_json:
        print_report(report.to_json())
    else:
        _print(report)
    return report.exit_code


def _print(report: BackendReport) -> None:
    for note in report.notes:
        say(told(note))
    if report.before != report.backend:
        say(f"Switched from {report.before} to {report.backend}.")
    else:
        say(f"The app runs on {report.backend}.")
    if report.trial is not None:
        say(f"Trial of both stores: {report.trial.summary()}.")
