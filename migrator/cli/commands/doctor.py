"""``migrator doctor``: checks the machine and the data directory for problems."""

from __future__ import annotations

from pathlib import Path

import click

from migrator.cli.options import FILE, Resolve, WithFile, prints_report
from migrator.cli.output import echo, printable
from migrator.diagnostics.doctor import examine, summary
from migrator.diagnostics.summing import summed
from migrator.diagnostics.support_report import write_support_report
from migrator.text import plain


def _print(examined: WithFile) -> None:
    for finding in summed(examined.report.findings):
        echo((f"{finding.level:<8}", finding.level), f" {finding.subject}: {printable(finding.message)}")
        if finding.command and finding.level != "ok":
            echo(f"         run: {printable(finding.command)}", wrap=False)
    echo(summary(examined.report))
    if examined.path is not None:
        echo(f"The support report is {plain(str(examined.path))}; read it before you pass it on.")


@click.command("doctor", short_help="Check for problems and show how to fix them.")
@click.option(
    "--report",
    "target",
    metavar="FILE",
    type=FILE,
    help="Also write a support report, a JSON file for people who help you: counts, states and versions, with "
    "hashes instead of names.",
)
@prints_report(_print, works=True)
def doctor_command(resolve: Resolve, target: Path | None) -> WithFile:
    """Check the machine and the data directory, and show how to fix each problem.

    Changes nothing. Exit code 3 if a problem needs attention.

    The support report contains no text of chats or tasks, and no paths, branches or file names.

    \b
    migrator doctor                          check for problems
    migrator doctor --report report.json     also write a support report
    """
    data_dir = resolve()
    report = examine(data_dir)
    if target is not None:
        write_support_report(data_dir, report, target)
    return WithFile(report, "report", target)
