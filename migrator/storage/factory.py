"""Opening the authoritative store: the argument, the environment, the flag, and above all the authority."""

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
    read_state,
    state_of,
    write_flag,
)
from migrator.data_dir import DataDir, resolve_data_dir
from migrator.database import queries
from migrator.database.connection import opened
from migrator.database.errors import sqlite_errors
from migrator.errors import StaleStoreError, StorageIOError, UsageError

if TYPE_CHECKING:
    from migrator.storage.protocol import SessionStorage

BACKEND_VARIABLE = "STORAGE_BACKEND"


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

    The authority is what ``migration_metadata`` says; a storage.json that disagrees with it is put right. A workspace
    whose file failed to migrate is served from its JSON file.

    :param read_only: take a store that is not the authority as well, to look at; writing to it raises StaleStoreError
    :param cache_size: of SQLite, as in its PRAGMA
    :param mmap_size: of SQLite, in bytes
    :raises UsageError: there is no backend of that name
    :raises StaleStoreError: the one that was asked for by name is not the authority, or that one is gone
    :raises ConnectionFailed: the database can't be opened
    :raises SchemaError: it is newer than this program
    """
    places = data_dir if isinstance(data_dir, DataDir) else resolve_data_dir(data_dir, database)
    state = state_of(places.database)
    authority = state.authority
    lost = missing_database(places, state)
    if lost is not None and not read_only:
        raise lost
    agreed = effective_backend(places, authority)
    wanted = _named(backend)
    if wanted is None:
        flag = None if read_only else read_flag(places)
        if not read_only and flag != agreed and (flag is not None or places.flag.exists()):  # else none is needed
            with suppress(StorageIOError):  # a hint for people; who may not write it reads the right store all the same
                write_flag(places, agreed)
        wanted = agreed
    refusal = _refusal(wanted, authority, agreed)
    if refusal is not None and not read_only:
        raise StaleStoreError(refusal)
    store = _open(places, wanted, cache_size=cache_size, mmap_size=mmap_size)
    if read_only:
        from migrator.storage.wrappers import ReadOnly

        return ReadOnly(store, (lost and lost.message) or refusal or "it was opened for reading only.")
    return store


def is_served_by_sqlite(places: DataDir) -> bool:
    """Whether :func:`open_storage`, asked for no backend, reads from the database.

    :raises ConnectionFailed: it can't be opened
    """
    wanted = _named(None) or effective_backend(places, state_of(places.database).authority)
    return authority_of(wanted) == "sqlite" and places.database.exists()


def _named(backend: str | None) -> Backend | None:
    chosen = backend or os.environ.get(BACKEND_VARIABLE)
    if not chosen:
        return None
    if chosen in BACKENDS:
        return chosen
    source = "The argument" if backend else f"${BACKEND_VARIABLE}"
    raise UsageError(f"{source} names a backend {chosen!r}.", hint=f"There are {', '.join(BACKENDS)}.")


def _refusal(wanted: Backend, authority: Authority, agreed: Backend) -> str | None:
    """Why a backend may not be written to, and the way out; None if it may."""
    if authority_of(wanted) != authority:
        truth = {"json": "the JSON files", "sqlite": "SQLite"}[authority]
        return (
            f"The backend {wanted!r} was asked for, but {truth} hold{'' if authority == 'json' else 's'} the truth; "
            f"writing would fork history. 'migrator backend {wanted}' switches with all data."
        )
    if wanted == "hybrid" and agreed != "hybrid":
        return (
            "The backend 'hybrid' was asked for, but the JSON files are not up to date. "
            "'migrator backend hybrid' writes them and switches."
        )
    return None


def _open(places: DataDir, backend: Backend, *, cache_size: int | None, mmap_size: int | None) -> SessionStorage:
    # Each store is loaded when it is opened: an app that starts on one does not pay for the others.
    from migrator.storage.json_files import JsonStorage

    if backend == "json":
        return JsonStorage(places)
    from migrator.storage.sqlite import SqliteStorage

    sqlite = SqliteStorage(places.database, backups=places.backups, cache_size=cache_size, mmap_size=mmap_size)
    store: SessionStorage = sqlite
    if backend == "hybrid":
        from migrator.storage.hybrid.json_secondary import MirrorFiles
        from migrator.storage.hybrid.store import HybridStorage

        store = HybridStorage(sqlite, MirrorFiles(places, places.hybrid_journal), places.hybrid_journal)
    failed = failed_workspaces(places)
    if failed:
        from migrator.storage.wrappers import FallbackStorage

        # A later run may have taken the file up; only workspaces that failed once are asked about again.
        return FallbackStorage(
            store, JsonStorage(places), lambda name: name in failed and name in failed_workspaces(places)
        )
    return store


def failed_workspaces(places: DataDir) -> frozenset[str]:
    """The hashes of the workspaces whose own file failed to migrate."""
    if not places.database.exists():
        return frozenset()
    with opened(places.database, read_only=True) as connection, sqlite_errors("read the ledger", places.database):
        if not read_state(connection, places.database).has_ledger:
            return frozenset()
        return frozenset(name for (name,) in connection.execute(queries.FAILED_WORKSPACES))
