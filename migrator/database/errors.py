"""SQLite's errors, as ours."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from os import PathLike

from migrator.errors import ConnectionFailed, TransactionError

# The primary result codes (https://www.sqlite.org/rescode.html) that say the file, not the statement, is at fault.
_UNUSABLE = {
    sqlite3.SQLITE_BUSY: "Another program keeps it locked: close the other program, or try again in a moment.",
    sqlite3.SQLITE_LOCKED: "Another connection keeps it locked: try again in a moment.",
    sqlite3.SQLITE_CANTOPEN: "Check that its folder exists and that you may write there.",
    sqlite3.SQLITE_NOTADB: "It is not an SQLite database. If it was one, the JSON files may be older: 'migrator "
    "doctor' tells which copies there are, and what to do. If it never was, move it away and run 'migrator migrate' "
    "again.",
    sqlite3.SQLITE_CORRUPT: "It is damaged: keep a copy of it. 'migrator verify' tells what is broken, 'migrator "
    "backups list' whether there are earlier copies; the JSON files are only as new as the last migration.",
    sqlite3.SQLITE_READONLY: "It cannot be written: check its permissions and those of its folder.",
    sqlite3.SQLITE_PERM: "Check its permissions and those of its folder.",
    sqlite3.SQLITE_FULL: "The disk is full: free some space and try again.",
    sqlite3.SQLITE_IOERR: "The disk reports a fault, or the file system does not support what SQLite needs.",
}


def sqlite_errors(action: str, path: str | PathLike[str]) -> AbstractContextManager[None]:
    """Translate sqlite3's exceptions within the block to ConnectionFailed or TransactionError."""
    return database_errors(sqlite3.Error, "sqlite_errorcode", action, path)


@contextmanager
def database_errors(kind: type[Exception], code: str, action: str, path: str | PathLike[str]) -> Iterator[None]:
    """Translate the exceptions of any binding of SQLite within the block.

    :param kind: the base of its exceptions
    :param code: their attribute that has SQLite's result code
    :param action: what is being done, for the message: ``Cannot <action> in the database …``
    """
    try:
        yield
    except UnicodeDecodeError as error:  # the binding can't even decode the message that SQLite has for it
        message = f"Cannot {action} in the database {path}: it holds text that is no UTF-8."
        raise ConnectionFailed(message, hint=_UNUSABLE[sqlite3.SQLITE_CORRUPT]) from error
    except kind as error:
        primary = getattr(error, code, 0) & 0xFF
        message = f"Cannot {action} in the database {path}: {error}."
        if primary in _UNUSABLE:
            raise ConnectionFailed(message, hint=_UNUSABLE[primary]) from error
        raise TransactionError(message, hint="Nothing of it was kept.") from error
