"""Runs all checks of the machine and the data directory, one after the other; changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from migrator.data_dir import WRONG_PLACES, DataDir
from migrator.diagnostics import data as history
from migrator.diagnostics import machine
from migrator.diagnostics.summing import summed
from migrator.errors import MigratorError
from migrator.files.os_errors import os_errors
from migrator.report import Report
from migrator.text import counted
from migrator.verification.findings import Finding, problem

_CHECKS = (
    machine.programs,
    machine.data_directory,
    machine.file_access,
    machine.file_system,
    machine.lock,
    history.database,
    history.storage_flag,
    history.backups,
    history.pending_work,
    history.search_index,
    history.rolled_back,
    machine.disk_space,
    history.hybrid_mode,
)


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
    """Run every check. A check that cannot be carried out is a finding, too; one error is reported once."""
    findings: dict[Finding, None] = {}
    for check in _CHECKS:
        damaged = any(found.code == "database.damaged" for found in findings)
        for found in _guarded(check, data_dir):
            if not damaged or found.code != "database.damaged":  # other checks meet the same damage
                findings[found] = None
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
