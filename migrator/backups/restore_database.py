"""Restore the database from a backup, even while other programs have it open."""

from __future__ import annotations

import glob
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from migrator.authority import (
    NO_DATABASE,
    State,
    effective_backend,
    missing_database,
    read_state,
    require_same_database,
    state_of,
    write_flag,
)
from migrator.backups.database_copy import back_up_by
from migrator.backups.manifest import ListedFile
from migrator.data_dir import DataDir
from migrator.database import registry
from migrator.database.connection import BUSY_TIMEOUT, connect_read_only, copy_database, opened, remove_database
from migrator.database.errors import sqlite_errors
from migrator.errors import BackupError, ConnectionFailed
from migrator.files import copying, durable
from migrator.files.reading import CHUNK

_ASIDE = "before-restore"  # in the name of a file that was replaced
_PAGES = 16  # of the database that are written at once: the lock is held until the last one
_POLL = 0.01  # seconds between two attempts to lock the database
FLAG_HINT = "--overwrite-newer-work restores the backup all the same, and keeps what is there under another name."


@dataclass(frozen=True)
class RestoredCopy:
    """One file as the restore leaves it.

    :ivar status: ``restored``, or ``unchanged`` if it was the same already
    :ivar kept_beside: the new name of the file that it replaced
    """

    file: str
    status: str
    kept_beside: str | None = None


def keep_aside(found: Path, path: Path) -> Path:
    """Keep a file under another name, and return that; an interrupted restore may have given it already.

    :param found: where the file is now
    :param path: its own path
    """
    for kept in sorted(path.parent.glob(f"{glob.escape(path.name)}.{_ASIDE}-*")):
        if kept.is_file() and copying.sha256_of(kept) == copying.sha256_of(found):
            return kept
    return copying.keep_copy(found, path, f"{_ASIDE}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}")


class WriteGuard:
    """Keeps other programs from writing to a database until it is replaced.

    :param connection: to that database; None if it is too damaged to be locked
    """

    def __init__(self, path: Path, connection: sqlite3.Connection | None) -> None:
        self._path = path
        self._connection = connection
        self._version = self._read_version()

    def _read_version(self) -> int:
        """Return a number that differs once another connection has changed the database."""
        row = self._connection and self._connection.execute("PRAGMA data_version").fetchone()
        return int(row[0]) if row else 0

    def release(self) -> None:
        """Let the connection that replaces the database lock it instead."""
        if self._connection is not None and self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def require_unchanged(self) -> None:
        """Check that no other program wrote between the two locks.

        :raises ConnectionFailed: one did
        """
        with suppress(sqlite3.OperationalError):  # without a log SQLite lets no other connection read now
            if self._read_version() != self._version:
                raise ConnectionFailed(
                    f"Another program wrote to {self._path} while it was copied.",
                    code="database.changed_meanwhile",
                    hint="Close it and run the command again.",
                )


@contextmanager
def guarded(path: Path) -> Iterator[WriteGuard]:
    """Keep other programs from writing to a damaged database within the block, until the guard is released.

    :raises ConnectionFailed: another program keeps it locked
    """
    with ExitStack() as stack:
        try:
            connection = stack.enter_context(opened(path))
            with sqlite_errors("lock", path):
                connection.execute("BEGIN IMMEDIATE")
        except ConnectionFailed as error:
            if not _is_damage(error.__cause__):
                raise
            yield WriteGuard(path, None)
        else:
            yield WriteGuard(path, connection)


class DatabaseRestore:
    """Restores one copy of the database.

    :param guard: if others are kept from writing to the database that is replaced
    """

    def __init__(
        self, data_dir: DataDir, folder: Path, listed: ListedFile, *, overwrite: bool, guard: WriteGuard | None = None
    ) -> None:
        self.guard = guard
        self.data_dir = data_dir
        self.copy = folder / listed.file
        self.listed = listed
        self.overwrite = overwrite

    def restore(self) -> RestoredCopy:
        """Put the copy in its place and keep the database that it replaces.

        :raises BackupError: it is a copy of another database, or would replace newer work
        :raises StaleStoreError: another database is authoritative
        :raises SchemaError: the copy, or the database that it would replace, is newer than this program
        """
        path = self.data_dir.database
        require_same_database(self.data_dir)
        self.require_its_own()
        if os.path.lexists(path) and (path.is_symlink() or not path.is_file()):
            raise BackupError(
                f"{path} is in the way: it is not a regular file.",
                code="file.in_the_way",
                hint="Move it away and restore again. Nothing was changed.",
            )
        becomes = self.state()
        with suppress(ConnectionFailed):  # a damaged database may be replaced
            state_of(path)  # raises SchemaError for one that is newer than this program, which cannot read its work
        status, kept = "unchanged", None
        if not self.is_same():
            self.require_consent(becomes)
            status = "restored"
            if path.exists():
                kept = self.take_place()
            else:
                self.put_new()
        # Also if the database was in place already: an interrupted restore may not have written the flag.
        write_flag(self.data_dir, effective_backend(self.data_dir, becomes.authority))
        return RestoredCopy(os.fspath(path), status, None if kept is None else os.fspath(kept))

    def require_its_own(self) -> None:
        """Check that the copy is of this database.

        :raises BackupError: it is not
        """
        place, path = self.data_dir.recorded(self.listed.source or ""), self.data_dir.database
        if os.path.realpath(place) == os.path.realpath(path):
            return
        if place.exists():
            raise BackupError(
                f"The backup is of {place}, not of {path}.",
                code="backup.other_database",
                hint=f"To restore it there, pass '--database {place}'. Nothing was changed.",
            )
        if place.name != path.name:  # else the database has moved, with or without the backups
            raise BackupError(
                f"The backup is of {place}, which no longer exists, and not of {path}.",
                code="backup.other_database",
                hint=f"The copy is undamaged: {self.copy}. Nothing was changed.",
            )

    def state(self) -> State:
        """The state that the copy records; reading it leaves no trace.

        :raises SchemaError: the copy is newer than this program
        """
        with sqlite_errors("read the state", self.copy), closing(connect_read_only(self.copy, immutable=True)) as copy:
            return read_state(copy, self.copy)

    def is_same(self) -> bool:
        """Whether the database in place equals the copy."""
        path = self.data_dir.database
        log = path.with_name(path.name + "-wal")
        if not path.exists() or not registry.release(path) or (log.exists() and log.stat().st_size):
            return False
        return copying.sha256_of(path) == self.listed.sha256

    def require_consent(self, becomes: State) -> None:
        """Check that the user has agreed to what the restore would replace or switch.

        :raises BackupError: they have not
        """
        path = self.data_dir.database
        if self.overwrite:
            return
        if path.exists():
            raise BackupError(
                f"The backup differs from {path}, which may hold newer work.", code="backup.newer_work", hint=FLAG_HINT
            )
        if becomes.authority == "sqlite" and missing_database(self.data_dir, NO_DATABASE) is None:
            raise BackupError(
                "There is no database, so the JSON files are authoritative; restoring this one would switch to SQLite.",
                code="backup.would_switch_store",
                hint="To do it, pass --overwrite-newer-work, then run 'migrator migrate' to merge the files' changes.",
            )

    def take_place(self) -> Path:
        """Replace the database in place; returns the copy that was kept of it."""
        try:
            with opened(self.data_dir.database) as connection:
                return self.overwrite_through(connection)
        except ConnectionFailed as error:
            if _is_damage(error.__cause__):
                return self.put_instead()
            raise

    def overwrite_through(self, connection: sqlite3.Connection) -> Path:
        """Copy through SQLite's backup interface, because other programs may have the file open.

        That interface locks the database with the first pages that it writes. What is there is copied then: no program
        can write to it any more, and each still sees it as it was.

        :returns: the copy of what was there
        :raises ConnectionFailed: another program keeps it locked
        """
        path, started, kept = self.data_dir.database, time.monotonic(), list[Path]()

        def keep_first(status: int, *_: int) -> None:
            if status not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                if not kept:
                    if self.guard is not None:
                        self.guard.require_unchanged()
                    kept.append(back_up_by(copy_locked, path, self.data_dir.backups, _ASIDE)[0])
            elif time.monotonic() - started > BUSY_TIMEOUT:
                raise ConnectionFailed(
                    f"Another program keeps {path} locked.",
                    code="database.locked",
                    hint="Close it and restore again. Nothing was changed.",
                )

        with (
            sqlite_errors("write the restored pages", path),
            closing(connect_read_only(self.copy, immutable=True)) as source,
            ExitStack() as after,
        ):
            connection.execute("PRAGMA synchronous = FULL")
            its, ours = (database.execute("PRAGMA page_size").fetchone() for database in (source, connection))
            if its != ours:
                connection.execute("PRAGMA journal_mode = DELETE")  # in WAL mode, the page size cannot change
            copy_locked = self.copier(connection, after)
            pages = source.execute("PRAGMA page_count").fetchone()[0]
            if self.guard is not None:
                self.guard.require_unchanged()
                self.guard.release()
            # Fewer than there are, so that the first step is not the last one.
            source.backup(connection, pages=max(1, min(_PAGES, pages - 1)), progress=keep_first, sleep=_POLL)
        return kept[0]

    def copier(self, connection: sqlite3.Connection, after: ExitStack) -> Callable[[Path], object]:
        """What copies the database while this connection is writing to it, as it was before.

        Without WAL, SQLite lets no program read it then; but the file itself has not been changed yet.

        :param after: closed when the connection has no lock any more: closing the file releases the process's locks
        """
        path = self.data_dir.database
        if connection.execute("PRAGMA journal_mode").fetchone() == ("wal",):
            return partial(copy_database, after.enter_context(opened(path, read_only=True)), path)
        file = after.enter_context(open(path, "rb", buffering=0))  # noqa: SIM115 - the caller closes it
        return lambda copy: durable.write_new(copy, iter(lambda: file.read(CHUNK), b""))

    def put_instead(self) -> Path:
        """Replace a file that is no longer a database; it is kept with its -wal and -journal."""
        path = self.data_dir.database
        with self.staged():
            kept = keep_aside(path, path)
            for suffix in ("-wal", "-journal"):
                companion = path.with_name(path.name + suffix)
                if companion.exists():
                    copying.keep_copy(companion, kept.with_name(kept.name + suffix), "kept")
            self.publish()
        return kept

    def put_new(self) -> None:
        """Put the copy in a place where there is no database."""
        path = self.data_dir.database
        durable.make_private_folder(path.parent)
        with self.staged():
            log = path.with_name(path.name + "-wal")
            if log.exists():  # SQLite would apply this log of a lost database to the new one
                keep_aside(log, log)
            self.publish()

    @contextmanager
    def staged(self) -> Iterator[None]:
        """Copy the verified backup next to its place; the copy is removed after the block."""
        remove_database(self.data_dir.staging)
        try:
            if copying.copy_new(self.copy, self.data_dir.staging)[1] != self.listed.sha256:
                raise BackupError(
                    f"{self.copy} changed while it was read.",
                    code="file.changed_meanwhile",
                    hint="The disk may be failing. Restore again.",
                )
            yield
        finally:
            remove_database(self.data_dir.staging)

    def publish(self) -> None:
        """Remove what is left of the old database and put the new one in its place.

        :raises BackupError: another program created a database meanwhile
        """
        remove_database(self.data_dir.database)
        if not durable.publish_new(self.data_dir.staging, self.data_dir.database):
            raise BackupError(
                f"Another program created {self.data_dir.database} during the restore.",
                code="file.changed_meanwhile",
                hint="Close it and restore again.",
            )


def put_in_place(data_dir: DataDir, copy: Path, guard: WriteGuard | None) -> Path:
    """Put a new database, which is closed, in the place of a damaged one; return the copy that is kept of that.

    :raises ConnectionFailed: another program wrote to the damaged one, or keeps it locked
    """
    listed = ListedFile(copy.name, None, None, copying.sha256_of(copy))
    return DatabaseRestore(data_dir, copy.parent, listed, overwrite=True, guard=guard).take_place()


def _is_damage(cause: BaseException | None) -> bool:
    """Whether SQLite failed because the file is damaged or not a database."""
    code = getattr(cause, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT) or isinstance(cause, UnicodeDecodeError)
