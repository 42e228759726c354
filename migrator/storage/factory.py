"""Opens the authoritative store, chosen by argument, environment and storage.json."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from migrator.authority import (
    BACKENDS,
    Authority,
    Backend,
    State,
    authority_of,
    effective_backend,
    missing_database,
    read_flag,
    require_backend,
    state_of,
    write_flag,
)
from migrator.data_dir import DataDir
from migrator.errors import MigratorError, StaleStoreError, StorageIOError, UsageError
from migrator.files.os_errors import remaining_os_errors
from migrator.hints import NamesCommands, complete, complete_error, options_for
from migrator.inventory.location import BACKEND_VARIABLE, resolve_data_dir
from migrator.ownership import require_own_database

if TYPE_CHECKING:
    from migrator.storage.protocol import SessionStorage


_MOST = 1_000_000  # connections, or seconds
_RANGES = (
    ("pool_size", 1, _MOST),
    ("acquire_timeout", 0, _MOST),
    ("busy_timeout", 0, _MOST),
    ("cache_size", -(1 << 31), (1 << 31) - 1),
    ("mmap_size", -(1 << 63), (1 << 63) - 1),  # a negative one is SQLite's default
)


@remaining_os_errors()
def open_storage(
    data_dir: str | os.PathLike[str] | DataDir | None = None,
    backend: Backend | None = None,
    *,
    database: str | os.PathLike[str] | None = None,
    read_only: bool = False,
    pool_size: int | None = None,
    acquire_timeout: float | None = None,
    busy_timeout: float | None = None,
    cache_size: int | None = None,
    mmap_size: int | None = None,
) -> SessionStorage:
    """Open the store that the app runs on: ``backend``, ``$STORAGE_BACKEND``, storage.json, or the authoritative one.

    ``migration_metadata`` decides which store is authoritative; a storage.json that disagrees is corrected. A workspace
    whose file failed to migrate is served from its JSON file.

    :param read_only: also open a store that is not authoritative; writing raises StaleStoreError
    :param pool_size: how many connections the store uses at most; None means 5, which is enough for 5 threads
    :param acquire_timeout: seconds to wait for one of them; None means 3
    :param busy_timeout: seconds to wait for a lock of another program; None means 5 for the database, and 3 for a file
    :param cache_size: SQLite's cache_size, as in its PRAGMA
    :param mmap_size: SQLite's mmap_size, in bytes
    :raises UsageError: there is no such backend, an argument is invalid, or the database belongs to another
        data directory
    :raises StaleStoreError: the requested backend is not authoritative, or the authoritative database is missing
    :raises ConnectionFailed: the database cannot be opened
    :raises SchemaError: it is newer than this program
    """
    settings = _Settings(pool_size, acquire_timeout, busy_timeout, cache_size, mmap_size, read_only=read_only)
    settings.require_valid()
    places = data_dir if isinstance(data_dir, DataDir) and database is None else _resolved(data_dir, database)
    try:
        return _opened(places, backend, settings)
    except MigratorError as error:
        complete_error(error, places)
        raise


class _Settings(NamedTuple):
    """How a store uses its database and its files."""

    pool_size: int | None
    acquire_timeout: float | None
    busy_timeout: float | None
    cache_size: int | None
    mmap_size: int | None
    read_only: bool

    def require_valid(self) -> None:
        """Check the numbers.

        :raises UsageError: one is not a number, or too small
        """
        for name, smallest, largest in _RANGES:
            value: Any = getattr(self, name)
            kind, expected = ((int, float), "a number") if name.endswith("timeout") else (int, "an integer")
            fits = isinstance(value, kind) and not isinstance(value, bool) and smallest <= value <= largest
            if value is not None and not fits:
                from migrator.documents.validation import abbreviated

                message = f"{name} cannot be {abbreviated(value)}: it must be {expected} from {smallest} to {largest}."
                raise UsageError(message, code="option.invalid")

    def of_sqlite(self) -> dict[str, Any]:
        """Return those that were given, as arguments of SqliteStorage."""
        return {name: value for name, value in self._asdict().items() if value is not None}


def _opened(places: DataDir, backend: str | None, settings: _Settings) -> SessionStorage:
    read_only = settings.read_only
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
    store = _open(places, wanted, settings)
    if read_only:
        from migrator.storage.wrappers import ReadOnly

        opened_read_only = StaleStoreError("The store was opened read-only.", code="store.read_only")
        store = ReadOnly(store, lost or refusal or opened_read_only)
    if isinstance(store, NamesCommands):
        store.places = places
    return store


def _resolved(data_dir: str | os.PathLike[str] | DataDir | None, database: str | os.PathLike[str] | None) -> DataDir:
    places = resolve_data_dir(data_dir, database)
    for note in places.notes:
        import logging  # slow to load; seldom needed

        logging.getLogger("migrator").warning("%s", complete(note, options_for(places)))
    return places


def is_served_by_sqlite(places: DataDir, state: State | None = None) -> bool:
    """Return whether :func:`open_storage` without a backend reads from the database.

    :param state: of the database, if it has been read already
    :raises ConnectionFailed: the database cannot be opened
    """
    wanted = _named(None) or effective_backend(places, (state or state_of(places.database)).authority)
    return authority_of(wanted) == "sqlite" and places.database.exists()


def _named(backend: str | None) -> Backend | None:
    """Return the backend that the argument or ``$STORAGE_BACKEND`` names; other programs use that variable, too."""
    if backend is not None:
        return require_backend(backend)
    chosen = os.environ.get(BACKEND_VARIABLE)
    return chosen if chosen in BACKENDS else None


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


def _open(places: DataDir, backend: Backend, settings: _Settings) -> SessionStorage:
    # Each store's module is imported only when that store is opened, to start faster.
    from migrator.storage.json_files import JsonStorage

    json_files = JsonStorage(places, lock_timeout=settings.busy_timeout)
    if backend == "json":
        return json_files
    from migrator.storage.migrated import failed_workspaces
    from migrator.storage.sqlite import SqliteStorage

    sqlite = SqliteStorage(places.database, backups=places.backups, **settings.of_sqlite())
    store: SessionStorage = sqlite
    if backend == "hybrid" and not settings.read_only and os.access(places.database, os.W_OK):
        import logging

        from migrator.storage.hybrid.journal import renew_if_damaged
        from migrator.storage.hybrid.json_secondary import MirrorFiles
        from migrator.storage.hybrid.store import HybridStorage

        renewed = renew_if_damaged(places)
        if renewed is not None:
            logging.getLogger("migrator").warning("%s", complete(renewed, options_for(places)))
        store = HybridStorage(
            sqlite,
            MirrorFiles(places),
            places.hybrid_journal,
            acquire_timeout=settings.acquire_timeout,
            is_current=lambda: read_flag(places) in ("hybrid", "json"),  # after a rollback, SQLite refuses by itself
        )
    failed = failed_workspaces(places)
    if failed:
        from migrator.storage.wrappers import FallbackStorage

        # A later run may have migrated the file, so a workspace that failed once is checked again each time.
        return FallbackStorage(store, json_files, lambda name: name in failed and name in failed_workspaces(places))
    return store
