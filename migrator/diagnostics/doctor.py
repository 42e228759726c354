"""Runs all checks of the machine and the data directory, one after the other; changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from migrator.data_dir import WRONG_PLACES, DataDir
from migrator.database.connection import BUSY_TIMEOUT, waiting
from migrator.diagnostics import data as history
from migrator.diagnostics import machine
from migrator.diagnostics.summing import summed
from migrator.errors import MigratorError
from migrator.files.os_errors import os_errors
from migrator.ownership import foreign_database
from migrator.report import Report
from migrator.text import counted
from migrator.verification.findings import Finding, note, problem

_FIRST = (machine.programs, machine.data_directory)
_OF_THE_MACHINE = (
    *_FIRST,
    machine.file_access,
    machine.file_system,
    machine.lock,
)
# Of the database with its files and backups, which belong together.
_OF_THE_HISTORY = (
    history.database,
    history.storage_flag,
    history.backups,
    history.pending_work,
    history.search_index,
    history.rolled_back,
    machine.disk_space,
    history.hybrid_mode,
)
_MET_BY_MANY = {"database.damaged", "database.locked"}  # what other checks meet, too


@dataclass(frozen=True)
class DoctorReport(Report):
    """Every finding of the doctor."""

    findings: tuple[Finding, ...]

    @property
    def exit_code(self) -> int:
        """3 if a problem needs attention; 2 if this is not a data directory of the app."""
        if any(finding.level == "problem" and finding.code in WRONG_PLACES for finding in self.findings):
            return 2
        return 3 if any(finding.level == "problem" for finding in self.findings) else 0

    def to_json(self) -> dict[str, Any]:
        return super().to_json() | {"status": "problems" if self.exit_code else "well"}


def examine(data_dir: DataDir) -> DoctorReport:
    """Run every check. A check that cannot be carried out is a finding, too; one error is reported once.

    The database of another data directory is examined from there. Of a data directory that the user may not enter,
    nothing else can be checked.
    """
    findings: dict[Finding, None] = {}
    is_closed = machine.closed_folder(data_dir.root) is not None
    is_own = is_closed or foreign_database(data_dir) is None
    checks = _FIRST if is_closed else (*_OF_THE_MACHINE, *(_OF_THE_HISTORY if is_own else ()))
    for check in checks:
        known = {found.code for found in findings} & _MET_BY_MANY
        with waiting(0 if "database.locked" in known else BUSY_TIMEOUT):
            for found in _guarded(check, data_dir):
                if found.code not in known:
                    findings[found] = None
    if not is_own:
        message = f"{data_dir.database} and the files and backups of {data_dir.root} do not belong together, so they "
        findings[note("history", f"{message}were not checked.", code="database.other_data_dir")] = None
    return DoctorReport(tuple(findings))


def _guarded(check: Callable[[DataDir], Iterator[Finding]], data_dir: DataDir) -> Iterator[Finding]:
    subject = check.__name__.replace("_", " ")
    try:
        yield from _with_our_errors(check, data_dir)
    except MigratorError as error:
        subject = "database" if error.code.startswith("database.") else subject
        yield problem(subject, error.message, code=error.code, hint=error.hint)


def _with_our_errors(check: Callable[[DataDir], Iterator[Finding]], data_dir: DataDir) -> Iterator[Finding]:
    try:
        yield from check(data_dir)
    except OSError as error:
        with os_errors("examine", error.filename or data_dir.root):
            raise


def summary(report: DoctorReport) -> str:
    """Return how many problems there are, as a sentence; those of one kind count as one."""
    problems = sum(finding.level == "problem" for finding in summed(report.findings))
    if not problems:
        return "No problems found."
    return f"{counted(problems, 'problem')} {'needs' if problems == 1 else 'need'} attention."
