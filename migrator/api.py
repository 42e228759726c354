"""The functions for programs that embed migrator; the command line calls the same ones."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from migrator.data_dir import DataDir, resolve_data_dir
from migrator.inventory import plan  # who imports this asks it: the first call shall not pay for that
from migrator.progress import Listener, ignore_progress

if TYPE_CHECKING:
    from migrator.export.rollback import RollbackReport
    from migrator.migration.report import MigrationReport
    from migrator.verification.run import VerifyReport

PathLike = str | os.PathLike[str]


def migrate(
    data_dir: PathLike | DataDir | None = None,
    *,
    database: PathLike | None = None,
    dry_run: bool = False,
    strict: bool = False,
    salvage: bool = False,
    workspaces: Iterable[PathLike] = (),
    search_index: bool = True,
    progress: Listener = ignore_progress,
) -> MigrationReport:
    """Move every session of the data directory into its SQLite database, or what is new or changed since the last time.

    :param data_dir: the app's data directory; None takes ``$AIT42_DATA_DIR``, else ``~/.ait42``
    :param database: a path or an ``sqlite:`` URL; None takes ``$DATABASE_URL``, else ``sessions.db`` there
    :param dry_run: do everything but change anything
    :param strict: publish nothing if anything is bad
    :param salvage: take what is whole of torn files, the rest going to quarantine
    :param workspaces: workspace paths to make known; each one's older ``.ait42/sessions.json`` is taken along
    :param search_index: build the index for full-text search when all else is done: from the phase ``search_index`` on
        the store can be opened and used
    :param progress: called with a :class:`Progress` now and then, in the calling thread
    :raises MigrationLocked: another migrator is at work there
    :raises MigratorError: it failed; the store that was the authority still is, unchanged
    """
    from migrator.migration.run import run_migration

    return run_migration(
        _resolved(data_dir, database),
        dry_run=dry_run,
        strict=strict,
        salvage=salvage,
        workspaces=workspaces,
        search_index=search_index,
        listener=progress,
    )


def rollback(
    data_dir: PathLike | DataDir | None = None,
    *,
    database: PathLike | None = None,
    dry_run: bool = False,
    progress: Listener = ignore_progress,
) -> RollbackReport:
    """Bring every session back into the JSON files and make them the authority, losing nothing.

    :raises MigrationLocked: another migrator is at work there
    :raises RollbackFailed: it did not work; SQLite still is the authority, and whole
    """
    from migrator.export.rollback import run_rollback  # each function loads what it needs, when it is called

    return run_rollback(_resolved(data_dir, database), dry_run=dry_run, listener=progress)


def verify(
    data_dir: PathLike | DataDir | None = None,
    *,
    database: PathLike | None = None,
    repair: bool = False,
    progress: Listener = ignore_progress,
) -> VerifyReport:
    """Check the database deeply, against itself, its backups and the files it came from.

    :param repair: first put right what can be made again from what is proven to be right; otherwise nothing is changed
    :returns: what is broken, item by item
    :raises MigratorError: the database can't be opened at all
    """
    places = _resolved(data_dir, database)
    if repair:
        from migrator.verification.repair import repair_and_verify

        return repair_and_verify(places, progress)
    from migrator.verification.run import verify as run_verification

    return run_verification(places, progress)


def needs_migration(data_dir: PathLike | DataDir | None = None, *, database: PathLike | None = None) -> bool:
    """Whether ``migrate`` has to be run: a file is new, or changed since it was migrated.

    Never after a rollback, when the user has chosen JSON, nor while both stores run, when we write the files ourselves.
    Reads names, sizes and times, and a file's contents only where those leave a doubt.
    """
    places = _resolved(data_dir, database)
    return plan.needs_migration(places, plan.make_plan(places))


def _resolved(data_dir: PathLike | DataDir | None, database: PathLike | None) -> DataDir:
    return data_dir if isinstance(data_dir, DataDir) else resolve_data_dir(data_dir, database)
