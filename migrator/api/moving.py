"""Functions for programs that move the data: migrate, go back, verify, export, and choose the backend."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING

from migrator.api import PathLike, at, listener_of, name_of, path_of, several, text_of
from migrator.inventory import plan  # loaded here, not in the first call of needs_migration, which has to be fast
from migrator.progress import Listener

if TYPE_CHECKING:
    from migrator.admin.switch_backend import BackendReport
    from migrator.authority import Backend
    from migrator.data_dir import DataDir
    from migrator.export.rollback import RollbackReport
    from migrator.export.to_folder import ExportReport
    from migrator.migration.report import MigrationReport
    from migrator.staging.connections.choice import Wanted
    from migrator.verification.run import VerifyReport


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
    loader: Wanted = "auto",
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
    :raises UsageError: an argument is invalid
    :raises MigratorError: the migration failed; the store that was authoritative still is, unchanged
    """
    from migrator.migration.run import run_migration  # each function imports what it needs when it is called

    run = partial(
        run_migration,
        dry_run=dry_run,
        strict=strict,
        salvage=salvage,
        workspaces=several("workspaces", workspaces, name_of),
        adopt=several("adopt", adopt, name_of),
        from_database=None if from_database is None else path_of("from_database", from_database),
        search_index=search_index,
        loader=text_of("loader", loader),
        listener=listener_of(progress),
    )
    return at(data_dir, database, run)


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
    from migrator.export.rollback import run_rollback

    listener = listener_of(progress)
    return at(
        data_dir,
        database,
        lambda places: run_rollback(places, dry_run=dry_run, salvage=salvage, listener=listener),
    )


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
    listener = listener_of(progress)
    if repair:
        from migrator.verification.repair import repair_and_verify

        return at(data_dir, database, lambda places: repair_and_verify(places, listener))
    from migrator.verification.run import verify as run_verification

    return at(data_dir, database, lambda places: run_verification(places, listener))


def needs_migration(data_dir: PathLike | DataDir | None = None, *, database: PathLike | None = None) -> bool:
    """Whether ``migrate`` has to be run: a file is new, or has changed since it was migrated.

    False after a rollback, when the user has chosen JSON, and in hybrid mode, where migrator itself writes the files.
    Looks at names, sizes and times of change, and reads a file only if those leave a doubt.
    """
    return at(data_dir, database, lambda places: plan.needs_migration(places, plan.make_plan(places)))


def export_sessions(
    target: PathLike,
    data_dir: PathLike | DataDir | None = None,
    *,
    database: PathLike | None = None,
    workspaces: Iterable[PathLike] = (),
) -> ExportReport:
    """Write the sessions of SQLite into ``target``, as ``<hash>.json`` in the app's format. Overwrites nothing there.

    :param workspaces: only these, by path or hash; none for all
    :raises WorkspaceNotFound: the database does not have one of the workspaces
    :raises StorageIOError: a file of that name exists, or cannot be written; nothing was exported
    """
    from migrator.export.to_folder import export

    folder, named = path_of("target", target), several("workspaces", workspaces, name_of)
    return at(data_dir, database, lambda places: export(places, folder, named))


def show_backend(data_dir: PathLike | DataDir | None = None, *, database: PathLike | None = None) -> BackendReport:
    """Which backend the app uses, and what hybrid mode has recorded. Changes nothing."""
    from migrator.admin import switch_backend as switching

    return at(data_dir, database, switching.show_backend)


def switch_backend(
    backend: Backend,
    data_dir: PathLike | DataDir | None = None,
    *,
    database: PathLike | None = None,
    progress: Listener | None = None,
) -> BackendReport:
    """Switch the app to a backend, with all data: a migration or a rollback, as far as one is necessary.

    :raises UsageError: there is no such backend
    :raises StaleStoreError: some files could not be migrated, or the authoritative database is missing
    :raises MigratorError: the migration or the rollback failed; the backend is the one before
    """
    from migrator.admin import switch_backend as switching
    from migrator.authority import require_backend

    require_backend(backend)
    listener = listener_of(progress)
    return at(data_dir, database, lambda places: switching.switch_backend(places, backend, listener))
