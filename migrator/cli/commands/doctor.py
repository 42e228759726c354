"""``migrator doctor``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from migrator.cli.output import plain, print_report, say, told
from migrator.data_dir import DataDir


@click.command("doctor", short_help="Look for everything that could be wrong.")
@click.option(
    "--report",
    "target",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Also write a report for whoever helps you: counts, states and versions, with hashes for every name.",
)
@click.option("--json", "as_json", is_flag=True, help="Print it as one JSON object.")
@click.pass_obj
def doctor_command(resolve: Callable[[], DataDir], target: Path | None, as_json: bool) -> int:
    """Look at the machine and the data directory, and tell what mends each problem.

    Changes nothing. Exit code 3 if something needs you.

    The report that --report writes holds no word of a chat, a task, a path or a branch, and no name of a file.

    \b
    migrator doctor                          look, and tell
    migrator doctor --report report.zip      for whoever helps
    """
    from migrator.diagnostics.doctor import examine, summary

    data_dir = resolve()
    report = examine(data_dir)
    if target is not None:
        from migrator.diagnostics.support_report import write_support_report

        write_support_report(data_dir, report, target)
    if as_json:
        print_report(report.to_json() | ({"report": str(target)} if target else {}))
        return report.exit_code
    for finding in report.findings:
        say(f"{finding.level:<8} {finding.subject}: {told(finding.message)}")
        if finding.command and finding.level != "ok":
            say(f"         run: {told(finding.command)}")
    say(summary(report))
    if target is not None:
        say(f"The report is in {plain(str(target))}; look into it before you pass it on.")
    return report.exit_code
