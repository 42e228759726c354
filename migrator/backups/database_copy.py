"""Schema steps on a database that may hold data: never without a copy of it as it was."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from migrator.authority import read_state
from migrator.backups.manifest import give_name, read_manifest, stamp, working_folder, write_listing
from migrator.data_dir import place_in
from migrator.database import queries, schema
from migrator.database.connection import copy_database, opened, transaction
from migrator.database.errors import sqlite_errors
from migrator.errors import MigratorError
from migrator.files import copying, durable


def upgrade(connection: sqlite3.Connection, path: Path | str, backups: Path) -> tuple[list[str], Path | None]:
    """Apply the steps that a database lacks, all or none; one that holds sessions is copied first.

    :param backups: the folder of the backups
    :returns: the names of the steps applied, and the copy, or None where none was needed
    :raises SchemaError: the database has other tables than the steps make, or newer ones
    """
    if schema.require_known(connection, path) == schema.latest_version():
        return schema.apply(connection, path), None  # which may have been made without a record of the steps
    with (
        changing(connection, path, backups) as back_up,
        transaction(connection, path, "apply the schema steps"),  # one process alone does it
    ):
        copy = None
        if 0 < schema.require_known(connection, path) < schema.latest_version():
            with sqlite_errors("look for sessions", path):
                has_sessions = connection.execute(queries.HAS_SESSIONS).fetchone()[0]
            if has_sessions:  # somebody would miss it
                copy = back_up("before-apply")
        return schema.apply(connection, path), copy


@contextmanager
def changing(connection: sqlite3.Connection, path: Path | str, backups: Path) -> Iterator[Callable[[str], Path]]:
    """A change of the tables or of the authority, for which ``back_up(why)`` takes a copy of the database.

    Where the block fails and the database stands as it did, the copy goes again: another attempt takes another one.

    :param connection: the one that the change is made on; it may be in a transaction, which the copy then knows
        nothing of
    """
    before = read_state(connection, path)
    made: list[Path] = []

    def back_up(why: str) -> Path:
        with opened(path, read_only=True) as reader:
            copy, is_new = _back_up(reader, Path(path), backups, why)
        if is_new:
            made.append(copy)
        return copy

    try:
        yield back_up
    except BaseException:
        with suppress(MigratorError):  # what went wrong first is what the user has to hear of
            if made and not connection.in_transaction and read_state(connection, path) == before:
                for copy in made:
                    durable.remove_folder(copy.parent)
        raise


def back_up_database(connection: sqlite3.Connection, path: Path, backups: Path, why: str) -> Path:
    """Copy a whole database, as it stands on this connection, through SQLite's own backup interface.

    :param why: a word for the folder's name, e.g. ``before-revert``
    :returns: the copy, or an earlier one of just the same
    """
    return _back_up(connection, path, backups, why)[0]


def _back_up(connection: sqlite3.Connection, path: Path, backups: Path, why: str) -> tuple[Path, bool]:
    """The copy, and whether it is a new one."""
    with working_folder(backups) as working:
        copy = working / path.name
        copy_database(connection, path, copy)
        digest = copying.sha256_of(copy)
        for folder in sorted(backups.glob("[0-9]*-database-*")):  # an earlier copy of just this, if it is whole still
            with suppress(MigratorError):
                listed = {file.sha256 for file in read_manifest(folder).files}
                if digest in listed and copying.sha256_of(folder / path.name) == digest:
                    return folder / path.name, False
        durable.sync_file(copy)
        now = stamp()
        manifest: dict[str, object] = {
            "format": 1,
            "created_at": now,
            "database": place_in(backups.parent, path),
            "why": why,
            "sha256": digest,
        }
        write_listing(working, manifest, [{"file": copy.name, "sha256": digest}])
        return give_name(working, backups, f"{now}-database-{why}") / copy.name, True
