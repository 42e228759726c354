"""Everything that could be wrong with the machine and the data directory, looked at one by one; changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from migrator.data_dir import DataDir
from migrator.diagnostics import data as history
from migrator.diagnostics import machine
from migrator.errors import MigratorError
from migrator.report import Report
from migrator.verification.findings import Finding, problem

_CHECKS = (
    machine.programs,
    machine.folder,
    machine.places,
    machine.file_system,
    machine.lock,
    history.database,
    history.around,
    history.backups,
    history.work,
    machine.space,
    history.hybrid_mode,
)


@dataclass(frozen=True)
class DoctorReport(Report):
    """Everything that was looked at."""

    findings: tuple[Finding, ...]

    @property
    def exit_code(self) -> int:
        """3 where something needs the user."""
        return 3 if any(finding.level == "problem" for finding in self.findings) else 0

    def to_json(self) -> dict[str, Any]:
        return super().to_json() | {"status": "problems" if self.exit_code else "well"}


def examine(data_dir: DataDir) -> DoctorReport:
    """Look at everything. What can't even be looked at is a finding, too."""
    findings: list[Finding] = []
    for check in _CHECKS:
        findings += _guarded(check, data_dir)
    return DoctorReport(tuple(findings))


def _guarded(check: Callable[[DataDir], Iterator[Finding]], data_dir: DataDir) -> Iterator[Finding]:
    subject = check.__name__.replace("_", " ")
    try:
        yield from check(data_dir)
    except MigratorError as error:
        yield problem(subject, str(error))
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        yield problem(subject, f"It can't be looked at:{where}: {error.strerror or error}.")


def summary(report: DoctorReport) -> str:
    """The report in one sentence."""
    problems = sum(finding.level == "problem" for finding in report.findings)
    if not problems:
        return "All is well."
    return "One thing needs you." if problems == 1 else f"{problems} things need you."
