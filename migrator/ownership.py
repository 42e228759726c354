"""Determines which data directory a database belongs to, so that two directories never share one.

A database in a data directory belongs to that directory, whatever it records, so that copies and snapshots work. One
elsewhere belongs to the directory that it records. That this is gone proves nothing, since its disk may not be mounted:
the record follows only a directory whose own storage.json names the database.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from migrator.data_dir import DEFAULT_DATABASE, DataDir, is_data_dir, recorded_database
from migrator.database import queries
from migrator.database.connection import opened, transaction
from migrator.database.errors import sqlite_errors
from migrator.database.schema import SURROUNDINGS_VERSION, version
from migrator.errors import Message, MigratorError, UsageError
from migrator.files.durable import as_text


class _Owner(NamedTuple):
    """The data directory that a database belongs to.

    :ivar root: its path; None if that is the one that was asked about, or none at all
    :ivar moved: the one that was asked about is the recorded one, moved
    """

    root: Path | None = None
    moved: bool = False


def place_to_record(root: Path) -> str:
    """Return the path of a data directory as a database records it."""
    return as_text(Path(os.path.realpath(root)))


def require_own_database(places: DataDir, *, follow: bool = True) -> None:
    """Check that the database does not belong to another data directory, before either is changed.

    :param follow: if the recorded directory was moved here, record that
    :raises UsageError: it belongs to another one
    """
    owner = _owner(places)
    if owner.root is not None:
        foreign = _message(places, owner.root)
        raise UsageError(foreign.message, code=foreign.code, hint=f"Nothing was changed. {foreign.hint}")
    if follow and owner.moved:
        with opened(places.database) as connection:
            if version(connection) < SURROUNDINGS_VERSION:
                return  # recorded by the run that applies the schema steps
            with transaction(connection, places.database, "record the data directory"):
                connection.execute(queries.SET_DATA_DIR, (place_to_record(places.root),))


def foreign_database(places: DataDir, database: Path | None = None) -> Message | None:
    """Return a note that a database belongs to another data directory; None if it does not.

    :param database: another one than that of ``places``
    """
    places = places if database is None else places._replace(database=database)
    owner = _owner(places)
    return None if owner.root is None else _message(places, owner.root)


def _message(places: DataDir, owner: Path) -> Message:
    own = places.root / DEFAULT_DATABASE
    hint = f"Use --data-dir {owner} for it; for the sessions of {places.root}, use --database {own}."
    if not places.database.is_relative_to(owner):
        hint += f" If {owner} was moved here, its storage.json must be here, and no longer there."
    return Message(
        f"The database {places.database} belongs to the data directory {owner}, not to {places.root}; from here, "
        "it can only be read.",
        code="database.other_data_dir",
        hint=hint,
    )


def _owner(places: DataDir) -> _Owner:
    database = places.database
    if database.parent == places.root and not os.path.islink(database):
        return _Owner()  # the usual case
    for folder in Path(os.path.realpath(database)).parents:
        if _is_same(folder, places.root):
            return _Owner()
        if is_data_dir(folder):
            return _Owner(folder)
    recorded = _recorded(database)
    if recorded is None or os.fspath(recorded) == place_to_record(places.root) or _is_same(recorded, places.root):
        return _Owner()
    if _names(places.root, database) and not _names(recorded, database):
        return _Owner(moved=True)
    return _Owner(recorded)


def _recorded(database: Path) -> Path | None:
    """Return the recorded data directory; in a database from before there was a record, that of the last backup."""
    root = backup = None
    # A damaged database says nothing; restoring it from a backup must be possible.
    with suppress(MigratorError, OSError):
        if database.stat().st_size:
            with opened(database, read_only=True) as connection, sqlite_errors("read", database):
                found = version(connection)
                if found >= SURROUNDINGS_VERSION:
                    (root,) = connection.execute(queries.DATA_DIR).fetchone() or (None,)
                if found:
                    _, _, backup, _ = connection.execute(queries.METADATA).fetchone() or (None,) * 4
    if root is not None:
        return Path(root)
    return Path(backup).parent.parent if backup and os.path.isabs(backup) else None


def _names(root: Path, database: Path) -> bool:
    """Return whether storage.json in a data directory names the database, or that is in its default place."""
    with suppress(ValueError):
        content = DataDir(root, database).flag_content()
        return bool(content) and _is_same(recorded_database(root, content), database)
    return False


def _is_same(one: Path, other: Path) -> bool:
    with suppress(OSError, ValueError):
        return os.path.samefile(one, other)
    return False
