"""The functions for programs that embed migrator. The command line calls them too."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from migrator.data_dir import DataDir
from migrator.files.os_errors import remaining_os_errors
from migrator.inventory import plan  # loaded here, not in the first call of needs_migration, which has to be fast
from migrator.inventory.location import resolve_data_dir
from migrator.progress import Listener, ignore_progress

if TYPE_CHECKING:
    from migrator.export.rollback import RollbackReport
    from migrator.migration.report import MigrationReport
    from migrator.quarantine.deletions import DecidedDeletions, HeldDeletions
    from migrator.verification.run import VerifyReport

PathLike = str | os.PathLike[str]


@remaining_os_errors()
def migrate(
    data_dir: PathLike | DataDir | None = None,
    *,
    database: PathLike | None = None,
    dry_run: bool = False,
    strict: bool = False,
    salvage: bool = False,
    workspaces: Iterable[PathLike] = (),
    adopt: Iterable[PathLike] = (),
    from_database: PathLike | None = None,
    search_index: bool = True,
    loader: str = "auto",
    progress: Listener | None = None,
) -> MigrationReport:
    """Migrate every session of the data directory to SQLite; after the first time, only what is new or has changed.

    :param data_dir: the app's data directory; None means ``$AIT42_DATA_DIR``, else ``~/.ait42``
    :param database: a path or an ``sqlite:`` URL; None means as in :func:`resolve_data_dir`
    :param dry_run: run the whole migration in a scratch directory and change nothing
    :param strict: publish nothing if any file or session is invalid
    :param salvage: migrate the complete sessions of truncated files and quarantine the rest
    :param workspaces: paths of workspaces to include, each with its older ``.ait42/sessions.json`` if present
    :param adopt: files with other names than the app's, such as conflict copies; SQLite gets what it lacks of them
    :param from_database: a database that an earlier branch of the app made; its sessions are added in the same way
    :param search_index: build the full-text search index after everything else; once the phase ``search_index`` begins,
        the store can be opened and used
    :param loader: what fills the new database: ``apsw``, ``sqlite-utils``, or ``auto``, the faster one installed
    :param progress: called with a :class:`Progress` from time to time, in the calling thread; None to hear nothing
    :raises MigrationLocked: another migrator is running there
    :raises MigratorError: the migration failed; the store that was authoritative still is, unchanged
    """
    from migrator.migration.run import run_migration

    return run_migration(
        _resolved(data_dir, database),
        dry_run=dry_run,
        strict=strict,
        salvage=salvage,
        workspaces=workspaces,
        adopt=adopt,
        from_database=from_database,
        search_index=search_index,
        loader=loader,
        listener=progress or ignore_progress,
    )


@remaining_os_errors()
def rollback(
    data_dir: PathLike | DataDir | None = None,
    *,
    database: PathLike | None = None,
    dry_run: bool = False,
    salvage: bool = False,
    progress: Listener | None = None,
) -> RollbackReport:
    """Write every session back to the JSON files and make them authoritative, without losing anything.

    :param salvage: if the database is damaged, write what can be read of it, and name the rest

    :raises MigrationLocked: another migrator is running there
    :raises RollbackFailed: the rollback failed; SQLite is still authoritative, and intact
    """
    from migrator.export.rollback import run_rollback  # each function imports what it needs when it is called

    places, listener = _resolved(data_dir, database), progress or ignore_progress
    return run_rollback(places, dry_run=dry_run, salvage=salvage, listener=listener)


@remaining_os_errors()
def verify(
    data_dir: PathLike | DataDir | None = None,
    *,
    database: PathLike | None = None,
    repair: bool = False,
    progress: Listener | None = None,
) -> VerifyReport:
    """Check the database in depth: against itself, its backups and the files it came from.

    :param repair: first repair what can be rebuilt from verified data; without it, nothing is changed
    :returns: every problem that was found
    :raises MigratorError: the database cannot be opened at all
    """
    places = _resolved(data_dir, database)
    if repair:
        from migrator.verification.repair import repair_and_verify

        return repair_and_verify(places, progress or ignore_progress)
    from migrator.verification.run import verify as run_verification

    return run_verification(places, progress or ignore_progress)


@remaining_os_errors()
def list_deletions(data_dir: PathLike | DataDir | None = None, *, database: PathLike | None = None) -> HeldDeletions:
    """The sessions that a file lost and that stay in SQLite until the user decides. Changes nothing.

    :raises MigratorError: the database cannot be opened
    """
    from migrator.quarantine import deletions

    return deletions.list_deletions(_resolved(data_dir, database))


@remaining_os_errors()
def confirm_deletions(
    ids: Iterable[str] | None, data_dir: PathLike | DataDir | None = None, *, database: PathLike | None = None
) -> DecidedDeletions:
    """Delete sessions in SQLite that a file lost; each is kept in quarantine.

    :param ids: as :func:`list_deletions` names them; None for all that are held
    :raises QuarantineError: one of them is not held; nothing was changed
    :raises StaleStoreError: SQLite is not authoritative
    """
    from migrator.quarantine import deletions

    chosen = () if ids is None else tuple(ids)
    return deletions.confirm_deletions(_resolved(data_dir, database), chosen, every=ids is None)


@remaining_os_errors()
def decline_deletions(
    ids: Iterable[str] | None, data_dir: PathLike | DataDir | None = None, *, database: PathLike | None = None
) -> DecidedDeletions:
    """Keep sessions in SQLite that a file lost; the next rollback or hybrid mode writes them to the file again.

    The parameters and errors are those of :func:`confirm_deletions`.
    """
    from migrator.quarantine import deletions

    chosen = () if ids is None else tuple(ids)
    return deletions.decline_deletions(_resolved(data_dir, database), chosen, every=ids is None)


@remaining_os_errors()
def needs_migration(data_dir: PathLike | DataDir | None = None, *, database: PathLike | None = None) -> bool:
    """Whether ``migrate`` has to be run: a file is new, or has changed since it was migrated.

    False after a rollback, when the user has chosen JSON, and in hybrid mode, where migrator itself writes the files.
    Looks at names, sizes and times of change, and reads a file only if those leave a doubt.
    """
    places = _resolved(data_dir, database)
    return plan.needs_migration(places, plan.make_plan(places))


def _resolved(data_dir: PathLike | DataDir | None, database: PathLike | None) -> DataDir:
    return data_dir if isinstance(data_dir, DataDir) else resolve_data_dir(data_dir, database)
