"""Finds the data directory and its database, from options, the environment and what is recorded in the directory."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from migrator.authority import BACKENDS, read_flag, state_of
from migrator.data_dir import DATABASE_VARIABLE, DataDir, database_path, find_root, path_text, recorded_database
from migrator.database import schema
from migrator.database.connection import opened
from migrator.database.errors import sqlite_errors
from migrator.errors import Message, MigratorError, UsageError
from migrator.files.os_errors import remaining_os_errors
from migrator.ownership import foreign_database

SHARED_VARIABLE = "DATABASE_URL"  # other programs use it, too
BACKEND_VARIABLE = "STORAGE_BACKEND"
_MAGIC = b"SQLite format 3\0"


@remaining_os_errors()
def resolve_data_dir(
    data_dir: str | os.PathLike[str] | DataDir | None = None, database: str | os.PathLike[str] | None = None
) -> DataDir:
    """Find the data directory and its database.

    The data directory is the argument, else ``$AIT42_DATA_DIR``, else ``~/.ait42``. The database is the first of:

    1. the argument: a path or an ``sqlite:`` URL
    2. ``$MIGRATOR_DATABASE_URL``
    3. the database that is authoritative here
    4. ``$DATABASE_URL``, if its file is absent, empty, or a database of the app
    5. the one that storage.json names, else ``sessions.db`` in the data directory

    :param data_dir: a :class:`DataDir` is returned as it is, unless another database is named
    :raises UsageError: there is no home directory, an argument is empty or not a path, the URL is not an SQLite URL, or
        the file is not a database
    """
    if isinstance(data_dir, DataDir):
        if database is None:
            return data_dir
        data_dir = data_dir.root
    places = _chosen(find_root(data_dir), database)
    foreign = foreign_database(places)
    return places if foreign is None else places._replace(notes=(*places.notes, foreign))


def _chosen(root: Path, database: str | os.PathLike[str] | None) -> DataDir:
    notes = _unknown_backend()
    place = path_text("database", database) if database is not None else os.environ.get(DATABASE_VARIABLE) or None
    recorded = recorded_database(root)
    if place is not None:
        _require_not_text(chosen := database_path(place), recorded)
        return DataDir(root, chosen, notes)
    url = os.environ.get(SHARED_VARIABLE)
    if not url:
        return DataDir(root, recorded, notes)
    try:
        shared = database_path(url)
    except UsageError as error:
        return DataDir(root, recorded, (*notes, _passed_over(error.message)))
    if shared == recorded or os.path.realpath(shared) == os.path.realpath(recorded):
        return DataDir(root, recorded, notes)
    if _is_authoritative(DataDir(root, recorded)):
        reason = f"The authoritative database here is {recorded}."
    elif not _may_be_ours(shared):
        reason = f"{shared} is not a database of the app."
    else:
        return DataDir(root, shared, notes)
    return DataDir(root, recorded, (*notes, _passed_over(reason)))


def _require_not_text(chosen: Path, recorded: Path) -> None:
    """Check that a file that the user named is not one of another kind.

    The database of the data directory, damaged so that it is no longer one, is not refused: it has its own way out.

    :raises UsageError: it is a file, and does not begin as every SQLite database does
    """
    with suppress(OSError):  # opening it will say why
        if os.path.realpath(chosen) != os.path.realpath(recorded) and chosen.is_file():
            with chosen.open("rb") as file:
                begin = file.read(len(_MAGIC))
            if begin and begin != _MAGIC:
                raise UsageError(
                    f"{chosen} is not an SQLite database.",
                    code="database.not_a_database",
                    hint=f"Nothing was changed. Correct --database or ${DATABASE_VARIABLE}.",
                )


def _passed_over(reason: str) -> Message:
    return Message(
        f"${SHARED_VARIABLE} is not used: {reason}",
        code="option.database_url_ignored",
        hint=f"To choose a database, use --database or ${DATABASE_VARIABLE}.",
    )


def _unknown_backend() -> tuple[Message, ...]:
    if os.environ.get(BACKEND_VARIABLE) in (None, "", *BACKENDS):
        return ()
    message = f"${BACKEND_VARIABLE} is not used: it names no backend of migrator."
    return (Message(message, code="option.backend_ignored", hint=f"The backends are: {', '.join(BACKENDS)}."),)


def _is_authoritative(places: DataDir) -> bool:
    if read_flag(places) in ("sqlite", "hybrid"):
        return True
    try:
        return state_of(places.database).authority == "sqlite"
    except (MigratorError, OSError):
        return True  # it is there, and cannot be read: no other database may take its place


def _may_be_ours(path: Path) -> bool:
    """Return whether a file is absent, empty, or has the app's tables."""
    try:
        if not os.path.lexists(path) or (path.is_file() and path.stat().st_size == 0):
            return True
        with opened(path, read_only=True) as connection, sqlite_errors("read the schema of", path):
            schema.require_apps(connection, path)
            return schema.version(connection) > 0
    except (MigratorError, OSError):
        return False
