"""Brings back the record of a rollback that reverting the schema removed.

Without it, each session of the database would count as changed after the rollback, and conflict with its file's. The
copy that was taken before the step was reverted has the record.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from pathlib import Path

from migrator.database import queries
from migrator.database.connection import connect_read_only
from migrator.database.invalid import read_carefully, text_of
from migrator.database.schema import has_table
from migrator.documents.document import digest

BEFORE_REVERT = "[0-9]*-database-before-revert*"


def restore_record(connection: sqlite3.Connection, backups: Path, *, lossless: bool) -> None:
    """Restore the record, within the caller's transaction.

    :param lossless: the columns of step 2 stayed. Otherwise a session whose rows are as they were is recorded as it is
        now, without what its columns cannot hold; one that an app has changed is not recorded, so that it cannot
        replace the one in the file
    """
    for folder in sorted(backups.glob(BEFORE_REVERT), reverse=True):
        for path in folder.glob("*.db"):
            with suppress(sqlite3.Error), closing(connect_read_only(path, immutable=True)) as copy:
                if has_table(copy, "rolled_back_sessions") and (known := copy.execute(queries.ROLLED_BACK).fetchall()):
                    record = known if lossless else _recorded_as_it_is(connection, copy, known)
                    connection.executemany(queries.RECORD_ROLLED_BACK, record)
                    return


def _recorded_as_it_is(
    connection: sqlite3.Connection, copy: sqlite3.Connection, known: Iterable[tuple[str, bytes]]
) -> Iterator[tuple[str, bytes]]:
    for key, _ in known:
        session = read_carefully(connection, key)
        if session is not None and _rows(connection, key) == _rows(copy, key):
            yield key, digest(text_of(session))


def _rows(connection: sqlite3.Connection, key: str) -> list[list[tuple[object, ...]]]:
    """The rows of a session, without what step 2 added."""
    return [sorted(connection.execute(statement, (key,)).fetchall(), key=repr) for statement in queries.APP_ROWS]
