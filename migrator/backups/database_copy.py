"""Copy the database before a schema step or a switch of the authoritative store changes it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from migrator.authority import read_state
from migrator.backups.manifest import give_name, next_sequence, read_manifest, stamp, working_folder, write_listing
from migrator.backups.reverted import restore_record
from migrator.data_dir import place_in
from migrator.database import queries, schema
from migrator.database.connection import copy_database, opened, transaction
from migrator.database.errors import sqlite_errors
from migrator.errors import MigratorError
from migrator.files import copying, durable

_LOSSLESS, _RECORD = "0002_lossless", "0004_rolled_back_sessions"


def upgrade(connection: sqlite3.Connection, path: Path | str, backups: Path) -> tuple[list[str], Path | None]:
    """Apply the missing schema steps, all or none; a database that holds sessions is copied first.

    :param backups: the folder of the backups
    :returns: the names of the steps applied, and the copy, or None if none was needed
    :raises SchemaError: the database has tables that no step makes, or newer ones
    """
    if schema.require_known(connection, path) == schema.latest_version():
        return schema.apply(connection, path), None  # the record of the steps may be missing
    with (
        changing(connection, path, backups) as back_up,
        transaction(connection, path, "apply the schema steps"),  # so only one process does it
    ):
        copy = None
        if 0 < schema.require_known(connection, path) < schema.latest_version():
            with sqlite_errors("count sessions", path):
                has_sessions = connection.execute(queries.HAS_SESSIONS).fetchone()[0]
            if has_sessions:
                copy = back_up("before-apply")
        applied = schema.apply(connection, path)
        if _RECORD in applied and read_state(connection, path).status == "rolled_back":
            with sqlite_errors("restore the record of the rollback", path):
                restore_record(connection, backups, lossless=_LOSSLESS not in applied)
        return applied, copy


@contextmanager
def changing(connection: sqlite3.Connection, path: Path | str, backups: Path) -> Iterator[Callable[[str], Path]]:
    """Change the tables or the authoritative store within the block; ``back_up(why)`` copies the database before.

    If the block fails and the database is as it was, the copy is removed: the next attempt takes its own.

    :param connection: the one that the change is made on; the copy does not hold the changes of its open transaction
    """
    before = read_state(connection, path)
    made: list[Path] = []

    def back_up(why: str) -> Path:
        with opened(path, read_only=True) as reader:
            copy, is_new = back_up_by(partial(copy_database, reader, Path(path)), Path(path), backups, why)
        if is_new:
            made.append(copy)
        return copy

    try:
        yield back_up
    except BaseException:
        with suppress(MigratorError):  # the first error is the one to report
            if made and not connection.in_transaction and read_state(connection, path) == before:
                for copy in made:
                    durable.remove_folder(copy.parent)
        raise


def back_up_database(connection: sqlite3.Connection, path: Path, backups: Path, why: str) -> Path:
    """Copy a whole database as this connection sees it, with SQLite's backup interface.

    :param why: a word for the folder's name, e.g. ``before-revert``
    :returns: the copy, or an earlier one with the same contents
    """
    return back_up_by(lambda copy: copy_database(connection, path, copy), path, backups, why)[0]


def back_up_by(make_copy: Callable[[Path], object], path: Path, backups: Path, why: str) -> tuple[Path, bool]:
    """Make a backup of a database.

    :param make_copy: writes the copy to the path that it is given
    :returns: the copy, or an earlier one with the same contents; and whether it is new
    """
    with working_folder(backups) as working:
        copy = working / path.name
        make_copy(copy)
        digest = copying.sha256_of(copy)
        for folder in sorted(backups.glob("[0-9]*-database-*")):  # an earlier, undamaged copy of the same
            with suppress(MigratorError):
                listed = {file.sha256 for file in read_manifest(folder).files}
                if digest in listed and copying.sha256_of(folder / path.name) == digest:
                    return folder / path.name, False
        durable.sync_file(copy)
        now = stamp()
        manifest: dict[str, object] = {
            "sequence": next_sequence(backups),
            "format": 1,
            "created_at": now,
            "database": place_in(backups.parent, path),
            "why": why,
            "sha256": digest,
        }
        write_listing(working, manifest, [{"file": copy.name, "sha256": digest}])
        return give_name(working, backups, f"{now}-database-{why}") / copy.name, True
