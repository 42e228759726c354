"""Every exception of migrator, each with the exit code that the command line ends with.

::

    MigratorError                    1
    ├── ConnectionFailed             1  the database cannot be opened, or stays locked
    ├── TransactionError             1  a statement or a commit failed; nothing of it was kept
    ├── UnreadableSession            1  a session's rows in the database make no document
    ├── SchemaError                  1  the tables are not the ones this version knows
    ├── StorageIOError               1  the operating system refused a file operation
    ├── MigrationFailed              1  a run ended early; nothing was published
    │   └── MigrationLocked          4  another migrator holds the lock
    ├── RollbackFailed               1  going back ended early; the authority is unchanged
    ├── BackupError                  1  a backup is missing, damaged, or not to be restored over newer work
    ├── QuarantineError              1  there is no such item in quarantine, or it can't be taken out like that
    ├── SourceFileError              3  one workspace file is no array of sessions; the others are unaffected
    │   └── TornFileError            3  … because it ends, or breaks, in the middle
    ├── StaleStoreError              1  the store asked for is not the authoritative one
    ├── ValidationError              1  a document that is no session, with every reason
    ├── WorkspaceNotFound            1
    ├── SessionNotFound              1
    ├── SessionAlreadyExists         1
    ├── InstanceNotFound             1
    ├── NotInstalled                 1  an optional part of the program is not there
    └── UsageError                   2  an option or a setting that makes no sense

A message says what happened, where and why; ``hint`` says what to do about it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple


class MigratorError(Exception):
    """What every error of this package is: one message for people, and an exit code."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}" if self.hint else self.message


class ConnectionFailed(MigratorError):
    """The database can't be opened, is no database, or stays locked."""


class TransactionError(MigratorError):
    """A statement or a commit failed; the transaction was rolled back."""


class UnreadableSession(MigratorError):
    """The rows of a session make no document: somebody's SQL has changed what only migrator writes."""

    def __init__(self, key: str, error: Exception) -> None:
        super().__init__(
            f"The session {key!r} in the database can't be read: {error}.",
            hint="'migrator verify' names every such session; 'migrator rollback' puts them beside their files.",
        )
        self.key = key
        self.reason = str(error)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.key, ValueError(self.reason))


class SchemaError(MigratorError):
    """The tables in the database are not the ones that this version works with."""


class StorageIOError(MigratorError):
    """The operating system refused to read or write a file."""


class MigrationFailed(MigratorError):
    """A migration ended early. The store that was the authority still is, unchanged."""


class MigrationLocked(MigrationFailed):
    """Another migrator is at work in the same data directory."""

    exit_code = 4


class RollbackFailed(MigratorError):
    """A rollback ended early. SQLite still is the authority."""


class BackupError(MigratorError):
    """A backup is missing, damaged, or may not take the place of what is there."""


class QuarantineError(MigratorError):
    """There is no such item in quarantine, or it can't be taken out in the way asked for."""


class SourceFileError(MigratorError):
    """A workspace file can't be read as an array of sessions. Its neighbours are unaffected."""

    exit_code = 3


class TornFileError(SourceFileError):
    """A workspace file breaks off, or stops being JSON, after some whole sessions.

    :ivar whole: how many whole elements precede the tear
    :ivar offset: the first byte, counted from 0, that belongs to no whole element
    :ivar found: what stands there, as a part of a sentence
    """

    def __init__(
        self, message: str, *, whole: int, offset: int, found: str = "a tear", hint: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.whole = whole
        self.offset = offset
        self.found = found

    def as_problem(self) -> Problem:
        """The tear as what is wrong with what begins there."""
        before = "1 whole session" if self.whole == 1 else f"{self.whole} whole sessions"
        return Problem("", f"{self.found}, at byte {self.offset}, behind {before}", "the rest of the array")


class StaleStoreError(MigratorError):
    """The store that was asked for is not the authoritative one; writing to it would fork history."""


class Problem(NamedTuple):
    """One reason why a document is not a session.

    :ivar pointer: a JSON Pointer (RFC 6901) into the document; "" is the document itself
    :ivar found: what stands there, shortened and with control characters escaped
    :ivar expected: what should
    """

    pointer: str
    found: str
    expected: str

    def __str__(self) -> str:
        return f"{self.pointer or '(the session itself)'}: found {self.found}, expected {self.expected}"


class ValidationError(MigratorError):
    """A document is not a valid session.

    :ivar problems: every reason, in document order
    """

    def __init__(self, message: str, problems: Sequence[Problem] = (), *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.problems = tuple(problems)


class WorkspaceNotFound(MigratorError):
    """No workspace of that path is known."""


class SessionNotFound(MigratorError):
    """The workspace has no session of that id."""


class SessionAlreadyExists(MigratorError):
    """The workspace has a session of that id already."""


class InstanceNotFound(MigratorError):
    """The session has no instance of that number."""


class NotInstalled(MigratorError):
    """A part of the program that is installed only when somebody asks for it is not there."""


class UsageError(MigratorError):
    """An option, argument or setting that makes no sense."""

    exit_code = 2


# The two are classes because a generator for each of tens of thousands of files, several times, would be felt.
