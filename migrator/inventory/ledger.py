"""The ledger: what was done for each source file, and so what is left to do."""

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
    """One row of ``migration_ledger``; the fields are its columns, in their order. There may be tens of thousands."""

    id: int
    source: str
    workspace_hash: str | None
    status: str
    size: int
    mtime_ns: int
    inode: int
    sha256: str | None
    sessions: int
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

    @property
    def failure(self) -> Message | None:
        """Why the file failed, as a text with its code; an entry of before there were codes has a general one."""
        return Message(self.error, code=self.error_code or SourceFileError.code) if self.error else None

    def looks_like(self, source: Source) -> bool:
        """Whether the file is, at a glance, the one that was recorded: same size, time of change and inode."""
        return (self.size, self.mtime_ns, self.inode) == (source.size, source.mtime_ns, source.inode)


def read_ledger(connection: sqlite3.Connection) -> dict[str, LedgerEntry]:
    """Every row, by the source's name."""
    return {entry.source: entry for entry in (LedgerEntry(*row) for row in connection.execute(queries.LEDGER))}


class Work(NamedTuple):
    """What there is to do.

    :ivar pending: sources that are new, or not what the ledger knows
    :ivar known: the ones that it knows, unchanged
    :ivar moved: of the known ones, those with the recorded contents and another time of change or inode
    """

    pending: list[Source]
    known: list[Source]
    moved: list[Source]


def classify(source: Source, entry: LedgerEntry | None, *, salvage: bool = False) -> Todo:
    """What there is to do for a file; it is hashed only where its size, mtime and inode leave a doubt.

    ================================================= =======
    the ledger has no row of it                       pending
    it failed, and shall be salvaged now              pending
    its place can't be examined, for the known reason known
    its place can't be examined, for another reason   pending
    it was never read                                 pending
    it has the size, mtime and inode of the row       known
    it failed after it had been migrated              pending
    it has the contents of the row                    moved
    it has other contents                             pending
    ================================================= =======

    :param entry: the row that the ledger has of it
    :param salvage: process files that failed once again
    """
    if entry is None or (salvage and entry.error):
        return "pending"
    if source.error is not None:
        return "known" if entry.error == source.error else "pending"
    if entry.sha256 is None:
        return "pending"
    if entry.looks_like(source):
        return "known"
    failed_later = entry.error is not None and entry.status != "failed"
    if not failed_later and source.size == entry.size:
        with suppress(StorageIOError):  # loading it says why it can't be read
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
    """Write a row, whatever its own number, over the one that the source has, if any; returns the number there."""
    connection.execute(queries.RECORD_SOURCE, entry[1:])
    return int(connection.execute(queries.LEDGER_ID, (entry.source,)).fetchone()[0])


def record_failure(connection: sqlite3.Connection, entry: LedgerEntry) -> None:
    """Note why a file that was migrated before can't be taken up now; all else that is known of it stays.

    One that could not be read at all is looked at again the next time, whatever its size and time of change are then.
    """
    seen = (entry.mtime_ns, entry.inode) if entry.sha256 else (-1, -1)
    connection.execute(
        queries.FAIL_KNOWN_SOURCE, (entry.error, entry.error_code, *seen, entry.size, entry.updated_at, entry.source)
    )


def remember_times(data_dir: DataDir, sources: Sequence[Source]) -> None:
    """Record the time of change and the inode that files have now which hold what they held."""
    with opened(data_dir.database) as connection, sqlite_errors("write the ledger", data_dir.database):
        connection.executemany(queries.TOUCH_SOURCE, [(s.size, s.mtime_ns, s.inode, s.name) for s in sources])
