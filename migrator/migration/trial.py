"""The end of a trial of both stores: what the files still lack of it."""

from __future__ import annotations

from migrator.data_dir import DataDir
from migrator.database.state import state_of
from migrator.storage.hybrid import HybridStorage, read_trial
from migrator.storage.json_files import JsonStorage
from migrator.storage.sqlite import SqliteStorage


def repair_files(data_dir: DataDir) -> None:
    """Write into the JSON files what a trial could not; what still can't be written stays recorded as pending.

    :raises ConnectionFailed: the database or the trial's journal can't be opened
    """
    trial = read_trial(data_dir.hybrid_journal)
    if trial is None or not trial.pending_repairs or state_of(data_dir.database).authority != "sqlite":
        return
    with HybridStorage(SqliteStorage(data_dir.database), JsonStorage(data_dir), data_dir.hybrid_journal) as both:
        both.repair()
