"""``migrator doctor``."""

from __future__ import annotations

from collections.abc import Callable

import click

from migrator.cli.output import plain, print_json
from migrator.data_dir import DataDir


@click.command("doctor", short_help="Look for everything that could be wrong.")
@click.option("--json", "as_json", is_flag=True, help="Print it as one JSON object.")
@click.pass_obj
def doctor_command(resolve: Callable[[], DataDir], as_json: bool) -> int:
    """Look at the machine and the data directory, and tell what mends each problem.

    Changes nothing. Exit code 3 if something needs you.
    """
    from migrator.migration.doctor import examine, summary

    report = examine(resolve())
    if as_json:
        print_json(report.to_json())
        return report.exit_code
    for finding in report.findings:
        click.echo(f"{finding.level:<8} {finding.subject}: {plain(finding.message)}")
        if finding.command and finding.level != "ok":
            click.echo(f"         run: {plain(finding.command)}")
    click.echo(summary(report))
    return report.exit_code
