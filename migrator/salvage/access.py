"""Reads from a database or, where that is damaged, from a readable copy of it; says what is missing there."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TypeVar

from migrator.authority import read_flag, write_flag
from migrator.data_dir import DEFAULT_DATABASE, FLAG, DataDir, ScratchDataDir
from migrator.database import queries
from migrator.database.documents import read_document
from migrator.database.invalid import UNREADABLE, reraise_unless_data_error
from migrator.errors import ConnectionFailed, Message, MigratorError
from migrator.files import durable
from migrator.files.os_errors import os_errors
from migrator.locking import DRY_RUN
from migrator.salvage import queries as salvage_queries
from migrator.salvage.completion import complete
from migrator.salvage.copy import both_open, copy_tables, restore_metadata
from migrator.salvage.losses import Lost, lost_sessions, restore_workspaces

_R = TypeVar("_R")
# The codes of errors that reading from a copy gets around.
DAMAGE = frozenset({"database.damaged", "database.index_wrong", "session.unreadable", "session.without_workspace"})
_HINT = "Keep a copy of the database. 'migrator rollback --salvage' goes back to JSON files with what can be read."
_WITHOUT_LEDGER = "A rollback may bring back sessions that were deleted in SQLite but are still in a JSON file."


class _CopyDir(DataDir):
    """A data directory with a readable copy as its database, to which storage.json does not point."""

    __slots__ = ()

    @property
    def flag(self) -> Path:
        """The copy's own storage.json."""
        return self.database.parent / FLAG


class Readable(NamedTuple):
    """A readable copy.

    :ivar places: the data directory, with the copy as its database; everything else is only read
    :ivar writable: the same, but what is written is written there
    :ivar messages: what cannot be read, or is from a backup
    """

    places: DataDir
    writable: DataDir
    messages: tuple[Message, ...]


def read_what_can_be_read(data_dir: DataDir, read: Callable[[DataDir], _R]) -> tuple[_R, tuple[Message, ...]]:
    """Read from the database; if it is damaged, from a readable copy.

    :returns: what was read, and what is missing there
    :raises MigratorError: nothing can be read
    """
    try:
        return read(data_dir), ()
    except MigratorError as error:
        if error.code not in DAMAGE:
            raise
        with readable_copy(data_dir, error, omit_unreadable=True) as found:
            return read(found.places), found.messages


@contextmanager
def readable_copy(
    data_dir: DataDir, error: MigratorError, *, parent: Path | None = None, omit_unreadable: bool = False
) -> Iterator[Readable]:
    """Copy what can be read to a database in a scratch folder, which is removed at the end of the block.

    :param error: the damage
    :param parent: where to make that folder; a command that does not hold the lock uses the system's folder for those
    :param omit_unreadable: leave out sessions whose rows are there but are not a session
    :raises ConnectionFailed: nothing can be read
    """
    with os_errors("create a scratch folder in", parent or tempfile.gettempdir()):
        folder = Path(tempfile.mkdtemp(prefix=DRY_RUN, dir=parent))
    try:
        durable.settle_folder(folder)
        places = ScratchDataDir(data_dir.root, folder / DEFAULT_DATABASE)
        try:
            found = _copy(data_dir, places.database, omit_unreadable=omit_unreadable)
        except ConnectionFailed as failed:
            raise error if failed.code in DAMAGE else failed from failed
        what = f"The database {data_dir.database} is damaged; only what can be read was used: {error.message}"
        flag = read_flag(data_dir)
        if flag is not None:
            write_flag(places, flag)
        yield Readable(places, _CopyDir(*places[:2]), (Message(what, code="database.damaged", hint=_HINT), *found))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _copy(data_dir: DataDir, copy: Path, *, omit_unreadable: bool) -> list[Message]:
    messages: list[Message] = []
    with both_open(data_dir.database, copy) as both:
        connection, damaged = both.copy, copy_tables(both)
        restore_metadata(both, completed=read_flag(data_dir) in ("sqlite", "hybrid"))
        restore_workspaces(both)
        for statement in queries.CLEAR_UNKNOWN_SOURCES:  # whose rows in the ledger cannot be read
            connection.execute(statement)
        lost = lost_sessions(both, damaged)
        if omit_unreadable:
            lost = _not_sessions(connection, lost)
        messages += complete(connection, data_dir, lost)
        named = {table for one in lost for table in one.tables}
        for table in sorted({*damaged} - named):
            message = f"Rows of the table {table} cannot be read."
            found = Message(message, code="database.rows_unreadable")
            if table == "migration_ledger":
                found = Message(message, code="database.rows_unreadable", hint=_WITHOUT_LEDGER)
            messages.append(found)
    return messages


def _not_sessions(connection: sqlite3.Connection, lost: list[Lost]) -> list[Lost]:
    """Take out the sessions whose rows do not make a session; return them with those that are lost already."""
    found = {one.key: one for one in lost}
    for (key,) in connection.execute(queries.SESSION_KEYS).fetchall():
        try:
            read_document(connection, key)
        except UNREADABLE as error:
            reraise_unless_data_error(error)
            place = connection.execute(salvage_queries.PLACE_OF_SESSION, (key,))
            one = found.setdefault(key, Lost(key))
            one.tables.add("sessions")
            one.workspace_id, one.position, one.source_id = place.fetchone()
            for statement in (*queries.DELETE_CHILDREN, queries.DELETE_SESSION):
                connection.execute(statement, (key,))
    return list(found.values())
