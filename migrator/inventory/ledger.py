"""The ledger: what was done for each source file, from which follows what is left to do."""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Literal, NamedTuple

from migrator.data_dir import DataDir
from migrator.database import queries
from migrator.database.connection import opened
from migrator.database.errors import sqlite_errors
from migrator.errors import Message, SourceFileError, StorageIOError
from migrator.files import copying
from migrator.inventory.source_files import Source

Todo = Literal["pending", "known", "moved"]


class LedgerEntry(NamedTuple):
    """One row of ``migration_ledger``; the fields are its columns, in their order. There may be tens of thousands.

    :ivar error: why the file failed, and on a second line what to do about it
    """

    id: int
    source: str
    workspace_hash: str | None
    status: str
    size: int
    mtime_ns: int
    inode: int
    sha256: str | None
    session_count: int
    instances: int
    messages: int
    quarantined: int
    digest: str | None
    backup: str | None
    error: str | None
    created_at: str
    updated_at: str
    error_code: str | None = None
    bases: str | None = None
    dismissed: int | None = None

    @property
    def base_copies(self) -> list[str]:
        """The backup copies that hold the base of the next merge, newest first; see ``bases`` in the schema."""
        if self.bases is None:
            return [self.backup] if self.backup else []
        return [str(name) for name in json.loads(self.bases)]

    @property
    def failure(self) -> Message | None:
        """Why the file failed; a row without a code, from an older version, gets the general one."""
        if not self.error:
            return None
        message, _, hint = self.error.rpartition("\n")
        if not message:
            message, hint = hint, ""
        return Message(message, code=self.error_code or SourceFileError.code, hint=hint or None)

    def looks_like(self, source: Source) -> bool:
        """Whether the file has the recorded size, time of change and inode."""
        return (self.size, self.mtime_ns, self.inode) == (source.size, source.mtime_ns, source.inode)


def read_ledger(connection: sqlite3.Connection) -> dict[str, LedgerEntry]:
    """Every row, by the source's name."""
    return {entry.source: entry for entry in (LedgerEntry(*row) for row in connection.execute(queries.LEDGER))}


def read_adopted(connection: sqlite3.Connection) -> dict[str, LedgerEntry]:
    """The rows of the adopted files, by their names."""
    return {entry.source: entry for entry in (LedgerEntry(*row) for row in connection.execute(queries.ADOPTED))}


class Work(NamedTuple):
    """What there is to do.

    :ivar pending: the sources that are new or differ from what the ledger has
    :ivar known: the unchanged ones
    :ivar moved: those of the unchanged ones that have another time of change or inode
    """

    pending: list[Source]
    known: list[Source]
    moved: list[Source]


def classify(source: Source, entry: LedgerEntry | None, *, salvage: bool = False) -> Todo:
    """What there is to do for a file; its contents are hashed only if size, mtime and inode leave a doubt.

    ================================================= =======
    the ledger has no row for it                      pending
    it failed, and this run salvages                  pending
    it cannot be examined, for the recorded reason    known
    it cannot be examined, for another reason         pending
    it has never been read                            pending
    it has the recorded size, mtime and inode         known
    it failed after it had been migrated              pending
    it has the recorded contents                      moved
    it has other contents                             pending
    ================================================= =======

    :param entry: the file's row in the ledger
    :param salvage: process files that failed again
    """
    if entry is None or (salvage and entry.error):
        return "pending"
    if source.error is not None:
        return "known" if entry.error_code == source.error.code else "pending"
    if entry.sha256 is None:
        return "pending"
    if entry.looks_like(source):
        return "known"
    failed_later = entry.error is not None and entry.status != "failed"
    if not failed_later and source.size == entry.size:
        with suppress(StorageIOError):  # loading it reports why it cannot be read
            if copying.sha256_of(source.path) == entry.sha256:
                return "moved"
    return "pending"


def find_work(sources: Iterable[Source], ledger: dict[str, LedgerEntry], *, salvage: bool = False) -> Work:
    """Compare the files with the ledger, as :func:`classify` does."""
    work = Work([], [], [])
    for source in sources:
        found = classify(source, ledger.get(source.name), salvage=salvage)
        (work.pending if found == "pending" else work.known).append(source)
        if found == "moved":
            work.moved.append(source)
    return work


def record(connection: sqlite3.Connection, entry: LedgerEntry) -> int:
    """Insert the source's row, or update the one that it has, and return the row's number."""
    connection.execute(queries.RECORD_SOURCE, entry[1:])
    return int(connection.execute(queries.LEDGER_ID, (entry.source,)).fetchone()[0])


def record_failure(connection: sqlite3.Connection, entry: LedgerEntry) -> None:
    """Record why a file that was migrated before fails now; everything else in its row stays.

    A file that could not be read at all is examined again in the next run, even if it looks the same then.
    """
    seen = (entry.mtime_ns, entry.inode) if entry.sha256 else (-1, -1)
    connection.execute(
        queries.FAIL_KNOWN_SOURCE, (entry.error, entry.error_code, *seen, entry.size, entry.updated_at, entry.source)
    )


def remember_times(data_dir: DataDir, sources: Sequence[Source]) -> None:
    """Record the present time of change and inode of files whose contents are unchanged."""
    with opened(data_dir.database) as connection, sqlite_errors("write the ledger", data_dir.database):
        connection.executemany(queries.TOUCH_SOURCE, [(s.size, s.mtime_ns, s.inode, s.name) for s in sources])
