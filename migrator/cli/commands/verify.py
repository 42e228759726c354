"""``migrator verify``."""

from __future__ import annotations

import click

from migrator.cli.options import Resolve, prints_report, progress_option
from migrator.cli.output import echo, printable
from migrator.cli.progress import Outcome, run_with_progress
from migrator.text import counted, plain
from migrator.verification.repair import repair_and_verify
from migrator.verification.run import VerifyReport, verify


def _print(report: VerifyReport) -> None:
    for repaired in report.repaired:
        echo(f"mended  {printable(repaired)}")
    for broken in report.broken:
        echo(f"BROKEN  {printable(broken)}")
    for note in report.notes:
        echo(f"note    {printable(note)}")
    if report.status == "clean":
        unchanged = sum(source.database == "unchanged" for source in report.sources)
        echo(
            f"Clean: {counted(report.sessions, 'session')} read; {unchanged:,} of "
            f"{counted(len(report.sources), 'file')} in SQLite exactly as migrated."
        )
    elif report.broken:
        echo(f"{counted(len(report.broken), 'thing')} broken in {plain(report.database)}.")


def _outcome(report: VerifyReport) -> Outcome:
    notes = (*report.repaired, *report.notes)
    return Outcome(report.broken, notes, report.status == "nothing_to_verify")


@click.command("verify", short_help="Compare everything with where it came from.")
@click.option("--repair", is_flag=True, help="First put right what can be put right safely, and tell what that was.")
@progress_option()
@prints_report(_print)
def verify_command(resolve: Resolve, repair: bool, progress: str) -> VerifyReport:
    """Check the database deeply: SQLite's own checks, every session read, every file and backup hashed and compared.

    Without --repair it changes nothing. Exit code 1 if anything is broken.

    What --repair puts right: backup copies that are missing or damaged, where the file is still the same; indexes that
    do not fit their tables; a storage.json that disagrees with the authority; what runs that died left; files of ours
    that others may read. Files that changed, and at a glance did not, are marked for 'migrator migrate' to look closer.

    \b
    migrator verify                          changes nothing
    migrator verify --repair                 puts right what it safely can, first
    """
    check = repair_and_verify if repair else verify
    return run_with_progress(resolve, progress, check, _outcome)
