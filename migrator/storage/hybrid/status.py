"""The current state, with a warning if the journal of hybrid mode is damaged. Changes nothing."""

from __future__ import annotations

from dataclasses import replace

from migrator.data_dir import DataDir
from migrator.errors import ConnectionFailed
from migrator.inventory.status import StatusReport, status_of


def status_with_journal(data_dir: DataDir) -> StatusReport:
    """Report the current state, and in hybrid mode why its journal cannot be used.

    :raises MigratorError: the database or the folder cannot be read
    """
    report = status_of(data_dir)
    if report.backend != "hybrid":
        return report
    from migrator.storage.hybrid.journal import find_damage  # no other mode has a journal

    try:
        damage = find_damage(data_dir.hybrid_journal)
    except ConnectionFailed as error:
        damage = error.as_message()
    return report if damage is None else replace(report, warnings=(*report.warnings, damage))
