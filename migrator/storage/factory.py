"""Opens the authoritative store, chosen by argument, environment and storage.json."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from migrator.authority import (
    BACKENDS,
    Authority,
    Backend,
    authority_of,
    effective_backend,
    missing_database,
    read_flag,
    state_of,
    write_flag,
)
from migrator.data_dir import DataDir
from migrator.errors import StaleStoreError, StorageIOError, UsageError
from migrator.files.os_errors import remaining_os_errors
from migrator.inventory.location import BACKEND_VARIABLE, resolve_data_dir
from migrator.ownership import require_own_database

if TYPE_CHECKING:
    from migrator.storage.protocol import SessionStorage


@remaining_os_errors()
def open_storage(
    data_dir: str | os.PathLike[str] | DataDir | None = None,
    backend: str | None = None,
    *,
    database: str | os.PathLike[str] | None = None,
    read_only: bool = False,
    cache_size: int | None = None,
    mmap_size: int | None = None,
) -> SessionStorage:
    """Open the store that the app runs on: ``backend``, ``$STORAGE_BACKEND``, storage.json, or the authoritative one.

    ``migration_metadata`` decides which store is authoritative; a storage.json that disagrees is corrected. A workspace
    whose file failed to migrate is served from its JSON file.

    :param read_only: also open a store that is not authoritative; writing raises StaleStoreError
    :param cache_size: SQLite's cache_size, as in its PRAGMA
    :param mmap_size: SQLite's mmap_size, in bytes
    :raises UsageError: there is no such backend, or the database belongs to another data directory
    :raises StaleStoreError: the requested backend is not authoritative, or the authoritative database is missing
    :raises ConnectionFailed: the database cannot be opened
    :raises SchemaError: it is newer than this program
    """
    places = data_dir if isinstance(data_dir, DataDir) else _resolved(data_dir, database)
    state = state_of(places.database)
    authority = state.authority
    lost = missing_database(places, state)
    if not read_only:
        require_own_database(places)
        if lost is not None:
            raise lost
    agreed = effective_backend(places, authority)
    wanted = _named(backend)
    if wanted is None:
        flag = None if read_only else read_flag(places)
        if not read_only and flag != agreed and (flag is not None or places.flag.exists()):
            with suppress(StorageIOError):  # without write permission the right store is opened all the same
                write_flag(places, agreed)
        wanted = agreed
    refusal = _refusal(wanted, authority, agreed)
    if refusal is not None and not read_only:
        raise refusal
    store = _open(places, wanted, read_only=read_only, cache_size=cache_size, mmap_size=mmap_size)
    if read_only:
        from migrator.storage.wrappers import ReadOnly

        opened_read_only = StaleStoreError("The store was opened read-only.", code="store.read_only")
        return ReadOnly(store, lost or refusal or opened_read_only)
    return store


def _resolved(data_dir: str | os.PathLike[str] | None, database: str | os.PathLike[str] | None) -> DataDir:
    places = resolve_data_dir(data_dir, database)
    for note in places.notes:
        import logging  # slow to load; seldom needed

        logging.getLogger("migrator").warning("%s", note)
    return places


def is_served_by_sqlite(places: DataDir) -> bool:
    """Return whether :func:`open_storage` without a backend reads from the database.

    :raises ConnectionFailed: the database cannot be opened
    """
    wanted = _named(None) or effective_backend(places, state_of(places.database).authority)
    return authority_of(wanted) == "sqlite" and places.database.exists()


def _named(backend: str | None) -> Backend | None:
    """Return the backend that the argument or ``$STORAGE_BACKEND`` names; other programs use that variable, too."""
    chosen = backend or os.environ.get(BACKEND_VARIABLE)
    if chosen in BACKENDS:
        return chosen
    if not backend:
        return None
    raise UsageError(
        f"There is no backend {backend!r}.", code="backend.unknown", hint=f"Use one of: {', '.join(BACKENDS)}."
    )


def _refusal(wanted: Backend, authority: Authority, agreed: Backend) -> StaleStoreError | None:
    """Return the error if a backend must not be written to, otherwise None."""
    if authority_of(wanted) != authority:
        current = {"json": "the JSON files are", "sqlite": "SQLite is"}[authority]
        return StaleStoreError(
            f"The backend {wanted!r} was requested, but {current} authoritative: the stores would diverge.",
            code="store.not_authoritative",
            hint=f"'migrator backend {wanted}' switches with all data.",
        )
    if wanted == "hybrid" and agreed != "hybrid":
        return StaleStoreError(
            "The backend 'hybrid' was requested, but the JSON files are not up to date.",
            code="hybrid.not_started",
            hint="'migrator backend hybrid' updates them and switches.",
        )
    return None


def _open(
    places: DataDir, backend: Backend, *, read_only: bool, cache_size: int | None, mmap_size: int | None
) -> SessionStorage:
    # Each store's module is imported only when that store is opened, to start faster.
    from migrator.storage.json_files import JsonStorage

    if backend == "json":
        return JsonStorage(places)
    from migrator.storage.migrated import failed_workspaces
    from migrator.storage.sqlite import SqliteStorage

    sqlite = SqliteStorage(
        places.database, backups=places.backups, cache_size=cache_size, mmap_size=mmap_size, read_only=read_only
    )
    store: SessionStorage = sqlite
    if backend == "hybrid" and not read_only and os.access(places.database, os.W_OK):
        import logging

        from migrator.storage.hybrid.journal import renew_if_damaged
        from migrator.storage.hybrid.json_secondary import MirrorFiles
        from migrator.storage.hybrid.store import HybridStorage

        renewed = renew_if_damaged(places)
        if renewed is not None:
            logging.getLogger("migrator").warning("%s", renewed)
        store = HybridStorage(
            sqlite,
            MirrorFiles(places),
            places.hybrid_journal,
            is_current=lambda: read_flag(places) in ("hybrid", "json"),  # after a rollback, SQLite refuses by itself
        )
    failed = failed_workspaces(places)
    if failed:
        from migrator.storage.wrappers import FallbackStorage

        # A later run may have migrated the file, so a workspace that failed once is checked again each time.
        return FallbackStorage(
            store, JsonStorage(places), lambda name: name in failed and name in failed_workspaces(places)
        )
    return store
