"""Schema steps on a database that may hold data: never without a copy of it as it was."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from migrator import durable
from migrator.backup_folder import give_name, stamp, working_folder, write_listing
from migrator.database import queries, schema
from migrator.database.connection import copy_database
from migrator.errors import sqlite_errors


def upgrade(connection: sqlite3.Connection, path: Path | str, backups: Path) -> tuple[list[str], Path | None]:
    """Apply the steps that a database lacks; one that holds sessions is copied first.

    :param backups: the folder of the backups
    :returns: the names of the steps applied, and the copy, or None where none was needed
    :raises SchemaError: the database has other tables than the steps make, or newer ones
    """
    copy = back_up_before_steps(connection, path, backups)
    return schema.apply(connection, path), copy


def back_up_before_steps(connection: sqlite3.Connection, path: Path | str, backups: Path) -> Path | None:
    """Copy a database that holds sessions and lacks steps; None where there is nothing to copy.

    Not within a transaction: SQLite would wait for its end before it copies.
    """
    if not 0 < schema.require_known(connection, path) < schema.latest_version():
        return None
    with sqlite_errors("look for sessions", path):
        holds = connection.execute(queries.HAS_SESSIONS).fetchone()[0]
    return back_up_database(connection, Path(path), backups, "before-apply") if holds else None


def back_up_database(connection: sqlite3.Connection, path: Path, backups: Path, why: str) -> Path:
    """Copy a whole database, as it stands on this connection, through SQLite's own backup interface.

    :param why: a word for the folder's name, e.g. ``before-revert``
    :returns: the copy
    """
    with working_folder(backups) as working:
        copy = working / path.name
        copy_database(connection, path, copy)
        durable.sync_file(copy)
        digest, now = durable.sha256_of(copy), stamp()
        manifest: dict[str, object] = {
            "format": 1,
            "created_at": now,
            "database": os.fspath(path),
            "why": why,
            "sha256": digest,
        }
        write_listing(working, manifest, [{"file": copy.name, "sha256": digest}])
        return give_name(working, backups, f"{now}-database-{why}") / copy.name
