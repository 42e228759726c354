"""``migrator verify``: checks the database, the files and the backups."""

from __future__ import annotations

from collections import Counter

import click

from migrator.cli.options import Resolve, prints_report, progress_option
from migrator.cli.output import echo, printable
from migrator.cli.progress import Outcome, run_with_progress
from migrator.text import counted, plain
from migrator.verification.repair import repair_and_verify
from migrator.verification.run import VerifyReport, verify

# What verify says of the files that are in each of these states.
_FILES = {
    "unchanged": "unchanged in SQLite since the migration",
    "changed": "changed in SQLite",
    "none": "not migrated",
}


def _print(report: VerifyReport) -> None:
    for repaired in report.repaired:
        echo(("repaired", "repaired"), f"  {printable(repaired)}")
    for broken in report.broken:
        echo(("BROKEN", "BROKEN"), f"    {printable(broken)}")
    for note in report.notes:
        echo(("note", "note"), f"      {printable(note)}")
    if report.status == "clean":
        states = Counter(source.database for source in report.sources)
        files = ", ".join(f"{states[state]:,} {what}" for state, what in _FILES.items() if states[state])
        verified = f": {counted(report.sessions, 'session')} verified." + (f" Files: {files}." if files else "")
        echo(("OK", "ok"), verified)
    elif report.broken:
        echo(f"{counted(len(report.broken), 'problem')} found in {plain(report.database)}.")


def _outcome(report: VerifyReport) -> Outcome:
    notes = (*report.repaired, *report.notes)
    return Outcome(report.broken, notes, report.status == "nothing_to_verify")


@click.command("verify", short_help="Check the database, the files and the backups.")
@click.option("--repair", is_flag=True, help="First repair what can be repaired safely, and report it.")
@progress_option()
@prints_report(_print, works=True)
def verify_command(resolve: Resolve, repair: bool, progress: str) -> VerifyReport:
    """Check the database thoroughly: run SQLite's own checks, read every session, hash every file and backup.

    Changes nothing without --repair. Exit code 1 if a problem is found.

    --repair fixes: missing or damaged backup copies of files that have not changed; indexes that do not match their
    tables; a storage.json that contradicts the database; leftovers of interrupted runs; files of migrator that other
    users can read. If a file changed without a new size or time, --repair makes the next 'migrator migrate' read it.

    \b
    migrator verify                          check only
    migrator verify --repair                 repair first, then check
    """
    check = repair_and_verify if repair else verify
    return run_with_progress(resolve, progress, check, _outcome)
