"""``migrator doctor``."""

from __future__ import annotations

from pathlib import Path

import click

from migrator.cli.options import Resolve, WithFile, prints_report
from migrator.cli.output import echo, printable
from migrator.diagnostics.doctor import examine, summary
from migrator.diagnostics.support_report import write_support_report
from migrator.text import plain


def _print(examined: WithFile) -> None:
    for finding in examined.report.findings:
        echo(f"{finding.level:<8} {finding.subject}: {printable(finding.message)}")
        if finding.command and finding.level != "ok":
            echo(f"         run: {printable(finding.command)}")
    echo(summary(examined.report))
    if examined.path is not None:
        echo(f"The report is in {plain(str(examined.path))}; look into it before you pass it on.")


@click.command("doctor", short_help="Look for everything that could be wrong.")
@click.option(
    "--report",
    "target",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Also write a report for whoever helps you: counts, states and versions, with hashes for every name.",
)
@prints_report(_print)
def doctor_command(resolve: Resolve, target: Path | None) -> WithFile:
    """Look at the machine and the data directory, and tell what mends each problem.

    Changes nothing. Exit code 3 if something needs you.

    The report that --report writes holds no word of a chat, a task, a path or a branch, and no name of a file.

    \b
    migrator doctor                          look, and tell
    migrator doctor --report report.zip      for whoever helps
    """
    data_dir = resolve()
    report = examine(data_dir)
    if target is not None:
        write_support_report(data_dir, report, target)
    return WithFile(report, "report", target)
