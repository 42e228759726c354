"""The JSON files brought up to date with SQLite, which stays the authority: for running both stores side by side."""

from __future__ import annotations

from contextlib import closing

from migrator.data_dir import DataDir
from migrator.database.connection import opened, transaction
from migrator.export.workspace_files import WriteBack
from migrator.migration.run import Run
from migrator.progress import Listener, ignore_progress
from migrator.storage.hybrid.journal import Journal


def merge_files(data_dir: DataDir, listener: Listener = ignore_progress) -> tuple[str, ...]:
    """Take up what others wrote into the files; the caller holds the lock.

    :returns: what needs the user
    """
    return Run(data_dir, strict=False, salvage=False, named=(), listener=listener).run().errors


def write_mirrors(data_dir: DataDir, listener: Listener = ignore_progress) -> list[str]:
    """Write every workspace's file as SQLite has it; the caller holds the lock, and has merged the files.

    The files are what later changes in them are compared with: so they are taken up at once as they are.

    :returns: warnings
    """
    path = data_dir.database
    journal = Journal(data_dir.hybrid_journal)
    with closing(journal), opened(path) as connection, transaction(connection, path, "write the JSON files"):
        write_back = WriteBack(data_dir, connection, listener, install=True, trial=journal)
        write_back.run()
    taken_up = Run(data_dir, strict=False, salvage=False, named=(), listener=listener, in_trial=True).run()
    return [*write_back.warnings, *taken_up.errors]
