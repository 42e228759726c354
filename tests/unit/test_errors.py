"""Every error has its exit code and is in the tree of the docstring; foreign exceptions are translated."""

import errno
import inspect
import os
import pickle
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from migrator import errors
from migrator.database.errors import sqlite_errors
from migrator.errors import (
    ConnectionFailed,
    MigrationFailed,
    MigrationLocked,
    MigratorError,
    SourceFileError,
    StorageIOError,
    TornFileError,
    TransactionError,
    UsageError,
)
from migrator.files.os_errors import os_errors
from tests.support.errors import raises

CLASSES: dict[str, type[MigratorError]] = {
    name: value
    for name, value in vars(errors).items()
    if inspect.isclass(value) and issubclass(value, MigratorError) and value.__module__ == errors.__name__
}


def drawn() -> dict[str, tuple[str | None, int]]:
    """Parse the tree in the docstring: the parent and the exit code of each class."""
    tree: dict[str, tuple[str | None, int]] = {}
    branch: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r" {4}([│├└─ ]*)(\w+) +(\d)", line)
        if found:
            depth = len(found[1]) // 4
            branch[depth:] = [found[2]]
            tree[found[2]] = (branch[depth - 1] if depth else None, int(found[3]))
    return tree


def test_the_tree_in_the_docstring_names_every_class():
    assert drawn().keys() == CLASSES.keys()


@pytest.mark.parametrize("name", CLASSES)
def test_every_class_has_the_parent_and_the_exit_code_in_the_tree(name):
    parent = CLASSES[name].__base__
    assert parent is not None
    assert drawn()[name] == (None if name == "MigratorError" else parent.__name__, CLASSES[name].exit_code)


def test_only_these_errors_have_another_exit_code_than_1():
    others = {name: value.exit_code for name, value in CLASSES.items() if value.exit_code != 1}
    assert others == {"MigrationLocked": 4, "SourceFileError": 3, "TornFileError": 3, "UsageError": 2}


def test_callers_can_distinguish_errors_by_their_class():
    assert issubclass(MigrationLocked, MigrationFailed)
    assert issubclass(TornFileError, SourceFileError)
    assert not issubclass(UsageError, MigrationFailed)
    assert not any(issubclass(value, OSError | sqlite3.Error) for value in CLASSES.values())


def test_a_message_says_what_happened_and_then_what_to_do():
    assert str(MigratorError("It broke.")) == "It broke."
    assert str(MigratorError("It broke.", hint="Fix it.")) == "It broke. Fix it."
    error = MigratorError("It broke.", hint="Fix it.")
    assert (error.message, error.hint) == ("It broke.", "Fix it.")


# The operating system.


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOSPC, "disk.full"),
        (errno.EDQUOT, "disk.quota_exceeded"),
        (errno.EACCES, "file.permission_denied"),
        (errno.EPERM, "file.permission_denied"),
        (errno.EROFS, "disk.read_only"),
        (errno.ENOTDIR, "file.not_a_directory"),
        (errno.EISDIR, "file.is_a_directory"),
        (errno.EEXIST, "file.exists"),
        (errno.EIO, "disk.io_error"),
        (errno.EFBIG, "file.too_large"),
    ],
)
def test_an_error_of_the_system_has_a_code_and_says_what_to_do(number, code):
    original = OSError(number, os.strerror(number))
    with pytest.raises(StorageIOError) as caught, os_errors("write", Path("/some/file")):
        raise original
    assert caught.value.message == f"Cannot write /some/file: {os.strerror(number)}."
    assert caught.value.code == code
    assert caught.value.hint
    assert caught.value.__cause__ is original


def test_an_error_without_a_hint_or_a_number_has_a_message():
    with pytest.raises(StorageIOError) as caught, os_errors("read", "x"):
        raise OSError("strange")
    assert (str(caught.value), caught.value.hint) == ("Cannot read x: strange.", None)
    with pytest.raises(StorageIOError, match="Cannot read x: Is a directory"), os_errors("read", "x"):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))


@pytest.mark.parametrize("translator", [os_errors, sqlite_errors])
@pytest.mark.parametrize("other", [ValueError("x"), KeyboardInterrupt(), MigratorError("x")])
def test_other_exceptions_are_not_translated(translator, other):
    with pytest.raises(type(other)) as caught, translator("do", "x"):
        raise other
    assert caught.value is other


# SQLite.


def sqlite_error(code: int | None) -> sqlite3.Error:
    error = sqlite3.OperationalError("it said so")
    if code is not None:
        error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (sqlite3.SQLITE_BUSY, "database.locked"),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, "database.locked"),
        (sqlite3.SQLITE_LOCKED, "database.locked"),
        (sqlite3.SQLITE_CANTOPEN_ISDIR, "database.cannot_open"),
        (sqlite3.SQLITE_NOTADB, "database.not_a_database"),
        (sqlite3.SQLITE_CORRUPT_INDEX, "database.damaged"),
        (sqlite3.SQLITE_READONLY_DIRECTORY, "database.read_only"),
        (sqlite3.SQLITE_PERM, "database.permission_denied"),
        (sqlite3.SQLITE_FULL, "disk.full"),
        (sqlite3.SQLITE_IOERR_FSYNC, "disk.io_error"),
    ],
)
def test_an_unusable_database_is_a_failed_connection_for_every_extended_code(number, code):
    with raises(ConnectionFailed, code) as caught, sqlite_errors("read", "/some.db"):
        raise sqlite_error(number)
    assert caught.value.hint


@pytest.mark.parametrize("number", [sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM])
def test_the_hint_names_the_command_that_finds_the_file_that_cannot_be_written(number):
    with pytest.raises(ConnectionFailed) as caught, sqlite_errors("write", "/some.db"):
        raise sqlite_error(number)
    assert "'migrator doctor'" in str(caught.value.hint)  # it may be the -shm file alone


@pytest.mark.parametrize(
    ("action", "phrase"), [("open", "open the database"), ("read the ledger", "read the ledger in the database")]
)
def test_an_action_of_one_word_is_done_to_the_database_any_other_in_it(action, phrase):
    with pytest.raises(TransactionError) as caught, sqlite_errors(action, "/some.db"):
        raise sqlite_error(None)
    assert caught.value.message == f"Cannot {phrase} /some.db: it said so."


@pytest.mark.parametrize("code", [sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_TOOBIG, None])
def test_a_statement_that_fails_is_a_failed_transaction(code):
    with raises(TransactionError, "transaction.failed") as caught, sqlite_errors("write", "/some.db"):
        raise sqlite_error(code)
    assert isinstance(caught.value.__cause__, sqlite3.Error)


def test_real_exceptions_of_sqlite_are_translated():
    with closing(sqlite3.connect(":memory:")) as connection:
        with raises(TransactionError, "transaction.failed"), sqlite_errors("run", "x"):
            connection.execute("SELEKT 1")
        with raises(TransactionError, "transaction.failed"), sqlite_errors("run", "x"):
            connection.execute("SELECT ?")


def test_a_truncated_file_says_how_many_elements_are_complete():
    error = TornFileError("It is truncated.", whole=3, offset=77, hint="Salvage it.")
    assert (error.whole, error.offset, str(error)) == (3, 77, "It is truncated. Salvage it.")


def test_an_error_can_be_pickled():
    error = pickle.loads(pickle.dumps(MigrationFailed("It broke.")))
    assert (type(error), str(error)) == (MigrationFailed, "It broke.")
