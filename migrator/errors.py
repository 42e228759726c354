"""All exceptions of migrator, each with the exit code of the command line.

::

    MigratorError                    1
    ├── ConnectionFailed             1  the database cannot be opened, or stays locked
    ├── TransactionError             1  a statement or a commit failed and was rolled back
    ├── UnreadableSession            1  a session's rows in the database are not a valid document
    ├── SchemaError                  1  the tables are not those of this version
    ├── StorageIOError               1  the operating system refused a file operation
    ├── MigrationFailed              1  a run ended early; nothing was published
    │   └── MigrationLocked          4  another migrator is running
    ├── RollbackFailed               1  a rollback ended early; SQLite is still authoritative
    ├── BackupError                  1  a backup is missing or damaged, or would replace newer work
    ├── QuarantineError              1  there is no such item in quarantine, or the action is not possible
    ├── SourceFileError              3  one workspace file is not an array of sessions; the others are unaffected
    │   └── TornFileError            3  … because it is truncated or malformed
    ├── StaleStoreError              1  the requested store is not the authoritative one
    ├── ValidationError              1  a document is not a valid session
    ├── WorkspaceNotFound            1
    ├── SessionNotFound              1
    ├── SessionAlreadyExists         1
    ├── SessionChanged               1  the session is not as it was read
    ├── InstanceNotFound             1
    ├── NotInstalled                 1  an optional part of the program is not installed
    └── UsageError                   2  an option or a setting is invalid

A message says what happened, where and why; ``hint`` says what to do. ``code`` identifies the cause for programs, as
``noun.state``, and stays the same when the words change.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple, Self


class MigratorError(Exception):
    """The base of all exceptions of this package, with a message, a code, a hint and an exit code."""

    exit_code: int = 1
    code: str = "program.failed"

    def __init__(self, message: str, *, code: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code: str = code or type(self).code
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}" if self.hint else self.message

    def as_message(self) -> Message:
        """Return the error as a text for a report."""
        return Message(self.message, code=self.code, hint=self.hint)


class Message(str):  # noqa: SLOT000 - slots would keep it from being pickled
    """A text about a problem in a report: message and hint together, with the code of the cause.

    :ivar message: what happened, where and why
    :ivar code: identifies the cause, as in :class:`MigratorError`
    :ivar hint: what to do
    """

    message: str
    code: str
    hint: str | None

    def __new__(cls, message: str, *, code: str, hint: str | None = None) -> Self:
        self = super().__new__(cls, f"{message} {hint}" if hint else message)
        self.message, self.code, self.hint = message, code, hint
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(Message, self.message, code=self.code, hint=self.hint), ()

    def to_json(self) -> dict[str, str | None]:
        """Return the object for ``problems`` in ``--json``."""
        return {"code": self.code, "message": self.message, "hint": self.hint}


class ConnectionFailed(MigratorError):
    """The database cannot be opened, is not an SQLite database, or stays locked."""

    code = "database.unavailable"


class TransactionError(MigratorError):
    """A statement or a commit failed; the transaction was rolled back."""

    code = "transaction.failed"


class UnreadableSession(MigratorError):
    """A session's rows in the database are not a valid document, because other SQL changed them."""

    code = "session.unreadable"

    def __init__(self, key: str, error: Exception) -> None:
        super().__init__(
            f"Cannot read the session {key!r} in the database: {error}.",
            hint="'migrator verify' lists all such sessions; 'migrator rollback' writes them next to their files.",
        )
        self.key = key
        self.reason: str = str(error)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.key, ValueError(self.reason))


class SchemaError(MigratorError):
    """The tables in the database are not those of this version."""

    code = "schema.unknown"


class StorageIOError(MigratorError):
    """The operating system refused to read or write a file."""

    code = "file.refused"


class MigrationFailed(MigratorError):
    """A migration ended early; the authoritative store is unchanged."""

    code = "migration.failed"


class MigrationLocked(MigrationFailed):
    """Another migrator is running in the same data directory."""

    exit_code = 4
    code = "migration.locked"


class RollbackFailed(MigratorError):
    """A rollback ended early; SQLite is still authoritative."""

    code = "rollback.failed"


class BackupError(MigratorError):
    """A backup is missing or damaged, or would replace newer work."""

    code = "backup.unusable"


class QuarantineError(MigratorError):
    """There is no such item in quarantine, or the action is not possible for it."""

    code = "quarantine.refused"


class SourceFileError(MigratorError):
    """A workspace file cannot be read as an array of sessions; other files are unaffected."""

    exit_code = 3
    code = "source.invalid"


class TornFileError(SourceFileError):
    """A workspace file is truncated, or stops being JSON, after some complete sessions.

    :cvar codes: every code of such an error
    :ivar whole: the number of complete elements
    :ivar offset: the offset of the first byte after them that is part of the damage
    """

    code = "source.truncated"
    codes = ("source.truncated", "source.malformed")

    def __init__(
        self, message: str, *, whole: int, offset: int, code: str | None = None, hint: str | None = None
    ) -> None:
        super().__init__(message, code=code, hint=hint)
        self.whole = whole
        self.offset = offset

    def as_problem(self) -> Problem:
        """Return the damage as a problem of the rest of the file."""
        return Problem("", self.message.removesuffix("."), "", self.code)


class StaleStoreError(MigratorError):
    """The requested store is not the authoritative one; writing to it would create two diverging histories."""

    code = "store.stale"


class Problem(NamedTuple):
    """One reason why a document is not a session.

    :ivar pointer: a JSON Pointer (RFC 6901) into the document; "" is the document itself
    :ivar found: the value there, shortened and with control characters escaped; or the whole problem as a text
    :ivar expected: what should be there instead; "" if ``found`` says it all
    :ivar code: the kind of problem, as of :class:`MigratorError`
    """

    pointer: str
    found: str
    expected: str
    code: str = "document.invalid"

    def __str__(self) -> str:
        what = f"expected {self.expected}, found {self.found}" if self.expected else self.found
        return f"{self.pointer}: {what}" if self.pointer else what


class ValidationError(MigratorError):
    """A document is not a valid session.

    :ivar problems: every problem, in document order
    """

    code = "document.invalid"

    def __init__(
        self, message: str, problems: Sequence[Problem] = (), *, code: str | None = None, hint: str | None = None
    ) -> None:
        super().__init__(message, code=code, hint=hint)
        self.problems: tuple[Problem, ...] = tuple(problems)


class WorkspaceNotFound(MigratorError):
    """There is no workspace with that path."""

    code = "workspace.not_found"


class SessionNotFound(MigratorError):
    """The workspace has no session with that id."""

    code = "session.not_found"


class SessionAlreadyExists(MigratorError):
    """The workspace already has a session with that id."""

    code = "session.exists"


class SessionChanged(MigratorError):
    """The session in the store is not the one that the caller had read.

    :ivar expected: the document that the caller had read
    :ivar found: the document that the store has
    """

    code = "session.changed"

    def __init__(self, message: str, *, expected: Any, found: Any, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.expected = expected
        self.found = found

    def __reduce__(self) -> tuple[Any, ...]:
        made = partial(type(self), self.message, expected=self.expected, found=self.found, hint=self.hint)
        return made, ()


class InstanceNotFound(MigratorError):
    """The session has no instance with that number."""

    code = "instance.not_found"


class NotInstalled(MigratorError):
    """An optional part of the program is not installed."""

    code = "program.part_missing"


class UsageError(MigratorError):
    """An option, an argument or a setting is invalid."""

    exit_code = 2
    code = "option.invalid"
