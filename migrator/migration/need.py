"""Whether there is anything to migrate: what an app asks at each of its starts."""

from __future__ import annotations

from migrator.authority import lost_truth, read_flag
from migrator.data_dir import DataDir
from migrator.migration.survey import Survey, survey


def has_work(data_dir: DataDir) -> bool:
    """Whether ``migrate`` has to be run: a file is new or changed.

    Not after a rollback, when the user has chosen JSON; nor while both stores run, when we write the files ourselves;
    nor where the database is gone that held the truth, so that the files are old.
    """
    return needs_migration(data_dir, survey(data_dir))


def needs_migration(data_dir: DataDir, found: Survey) -> bool:
    """The same, by what was found."""
    if found.state.status == "rolled_back" or read_flag(data_dir.flag) == "hybrid":
        return False
    return bool(found.work.pending) and lost_truth(data_dir, found.state) is None
