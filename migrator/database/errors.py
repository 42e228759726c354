"""Translates SQLite's errors to the errors of this package, and passes interrupts on through SQLite."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from os import PathLike
from typing import Any

from migrator.errors import ConnectionFailed, TransactionError
from migrator.files.owners import who_owns

_NOT_A_DATABASE = (
    "If it used to be a database, the JSON files may be out of date: 'migrator doctor' shows how to restore the newest "
    "backup. If it never was one, correct --database or the variable that names it; if it is in the place "
    "of the database, move it away and run 'migrator migrate' again."
)
DAMAGED = (
    "Keep a copy of it, then run 'migrator verify --repair'. If that does not help, 'migrator rollback --salvage' goes "
    "back to JSON files with what can be read; 'migrator backups list' shows what you can restore instead."
)
# A database that was read-only for a while leaves a -shm file that stays so.
_NOT_WRITABLE = (
    "Check its permissions and those of its folder; 'migrator doctor' names each file that cannot be written."
)
# The primary result codes (https://www.sqlite.org/rescode.html) that mean a problem with the file, not with the
# statement: the code of our error, and what to do.
_UNUSABLE = {
    sqlite3.SQLITE_BUSY: (
        "database.locked",
        "Try again in a moment, or close the program that keeps it locked ('migrator doctor' names it on Linux).",
    ),
    sqlite3.SQLITE_LOCKED: ("database.locked", "Another connection keeps it locked: try again in a moment."),
    sqlite3.SQLITE_CANTOPEN: (
        "database.cannot_open",
        "Check that its folder exists and that you have permission to write there.",
    ),
    sqlite3.SQLITE_NOTADB: ("database.not_a_database", _NOT_A_DATABASE),
    sqlite3.SQLITE_CORRUPT: ("database.damaged", DAMAGED),
    sqlite3.SQLITE_READONLY: ("database.read_only", _NOT_WRITABLE),
    sqlite3.SQLITE_PERM: ("database.permission_denied", _NOT_WRITABLE),
    sqlite3.SQLITE_FULL: ("disk.full", "Free some space and try again."),
    sqlite3.SQLITE_IOERR: (
        "disk.io_error",
        "The disk may be failing, or the file system does not support what SQLite needs.",
    ),
}
_INDEX_DAMAGED = (
    "Nothing from this transaction was kept. 'migrator search-index drop' removes the damaged search index; after the "
    "next run, 'migrator search-index build' builds it again."
)
_REFUSED = frozenset({sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM})


def without_values(table: str, path: str | PathLike[str]) -> ConnectionFailed:
    """Return the error for rows that have lost their values: a page that is zeroed in part reads so."""
    message = f"The database {path} is damaged: rows of the table {table} have no values."
    return ConnectionFailed(message, code="database.damaged", hint=DAMAGED)


@contextmanager
def missing_values(table: str, path: str | PathLike[str]) -> Iterator[None]:
    """Translate the errors within the block that a NULL in a table without NULLs causes."""
    try:
        yield
    except (TypeError, ValueError, AttributeError) as error:
        raise without_values(table, path) from error


def sqlite_errors(action: str, path: str | PathLike[str]) -> AbstractContextManager[None]:
    """Translate sqlite3's exceptions within the block to ConnectionFailed or TransactionError."""
    return database_errors((sqlite3.Error,), action, path)


# The interrupt that came while SQLite was calling a function of ours, until it is raised again.
_interrupts: list[BaseException] = []


def add_function(connection: sqlite3.Connection, name: str, function: Callable[[Any], Any]) -> None:
    """Let SQL statements call a function of one parameter, whose result depends on nothing else.

    SQLite turns every exception within it into an error of the statement. So an interrupt (Ctrl-C, or SIGTERM), which
    may come at any moment, is kept, and raised again at the end of the block of :func:`sqlite_errors` around it.
    """

    def call(value: Any) -> Any:
        try:
            return function(value)
        except Exception:
            raise
        except BaseException as interrupt:
            _interrupts.append(interrupt)
            raise

    connection.create_function(name, 1, call, deterministic=True)


def _raise_interrupt() -> None:
    if _interrupts and threading.current_thread() is threading.main_thread():
        interrupt = _interrupts[-1]
        _interrupts.clear()
        raise interrupt


@contextmanager
def database_errors(kinds: tuple[type[Exception], ...], action: str, path: str | PathLike[str]) -> Iterator[None]:
    """Translate the exceptions of SQLite's bindings within the block.

    :param kinds: the base classes of their exceptions; SQLite's result code is in ``sqlite_errorcode`` (sqlite3) or
        ``result`` (APSW)
    :param action: what is being done, for the message: ``Cannot <action> in the database …``, or, if it is one word,
        ``Cannot <action> the database …``
    """
    phrase = f"{action} in" if " " in action else action
    try:
        yield
        _raise_interrupt()
    except UnicodeDecodeError as error:  # the binding cannot decode even SQLite's own message
        message = f"Cannot {phrase} the database {path}: it contains text that is not UTF-8."
        raise ConnectionFailed(message, code="database.damaged", hint=DAMAGED) from error
    except kinds as error:
        _raise_interrupt()
        extended = getattr(error, "sqlite_errorcode", 0) or getattr(error, "result", 0)
        primary = extended & 0xFF
        if extended == sqlite3.SQLITE_IOERR_SHMSIZE:  # what SQLite calls a "disk I/O error" then
            message = f"Cannot {phrase} the database {path}: there is no space for its shared-memory file {path}-shm."
            raise ConnectionFailed(message, code="disk.full", hint=_UNUSABLE[sqlite3.SQLITE_FULL][1]) from error
        if os.path.isdir(path):  # SQLite before 3.41 calls it a "disk I/O error"
            message = f"Cannot {phrase} the database {path}: it is a directory."
            raise ConnectionFailed(message, code="database.not_a_database", hint=_NOT_A_DATABASE) from error
        message = f"Cannot {phrase} the database {path}: {error}."
        if primary in _REFUSED:
            message += who_owns(path)
        if "Could not decode to UTF-8" in str(error):  # SQLite has no code for that
            raise ConnectionFailed(message, code="database.damaged", hint=DAMAGED) from error
        if primary in _UNUSABLE:
            cause, hint = _UNUSABLE[primary]
            raise ConnectionFailed(message, code=cause, hint=hint) from error
        if "vtable constructor failed: search_" in str(error):  # a schema step opens all that views and triggers name
            raise TransactionError(message, code="search_index.damaged", hint=_INDEX_DAMAGED) from error
        raise TransactionError(message, hint="Nothing from this transaction was kept.") from error
