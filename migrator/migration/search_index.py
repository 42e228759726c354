"""Finishes the search index after a run."""

from __future__ import annotations

from dataclasses import replace

from migrator.authority import read_state
from migrator.data_dir import DataDir
from migrator.database.connection import opened
from migrator.database.errors import sqlite_errors
from migrator.errors import Message, MigratorError
from migrator.migration.options import Options
from migrator.migration.report import MigrationReport
from migrator.progress import StageTimer
from migrator.search.build import PHASE, finish
from migrator.search.index import UNFINISHED, index_state


def index_after(report: MigrationReport, data_dir: DataDir, options: Options, timer: StageTimer) -> MigrationReport:
    """Finish the index after a run, while the lock is still held; a failure is only a warning, as the run is done."""
    path = data_dir.database
    if not path.exists():
        return report
    warnings = []
    with opened(path) as connection:
        with sqlite_errors("read the state of the search index", path):
            state = index_state(connection) if read_state(connection, path).authority == "sqlite" else None
        if state is None:
            return report
        timer.begin(PHASE)
        if state in UNFINISHED:
            try:
                state = finish(connection, data_dir, options.listener, wanted=options.search_index)
            except MigratorError as error:
                warnings.append(
                    Message(
                        f"The search index is not finished: {error.message} Everything else is done.",
                        code="search_index.unfinished",
                        hint=" ".join(filter(None, (error.hint, "Run 'migrator search-index build' to finish it."))),
                    )
                )
                with sqlite_errors("read the state of the search index", path):
                    state = index_state(connection)
    stages = timer.read()[1]
    return replace(report, search_index=state, warnings=(*report.warnings, *warnings), stages=stages)
