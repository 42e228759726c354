"""A copy of the database back into its place, whoever has the one that is there open."""

from __future__ import annotations

import glob
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
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
from migrator.backups.database_copy import back_up_database
from migrator.backups.manifest import ListedFile
from migrator.data_dir import DataDir
from migrator.database.connection import BUSY_TIMEOUT, connect_read_only, opened, remove_database
from migrator.database.errors import sqlite_errors
from migrator.errors import BackupError, ConnectionFailed
from migrator.files import copying, durable

_ASIDE = "before-restore"  # what the name of a file that is kept beside says of it
FLAG_HINT = "--overwrite-newer-work puts the backup in its place all the same, and keeps what is there beside."


@dataclass(frozen=True)
class RestoredCopy:
    """One file as the restore leaves it.

    :ivar status: ``restored``, or ``unchanged`` where it was the same already
    :ivar kept_beside: where the file went that it took the place of
    """

    file: str
    status: str
    kept_beside: str | None = None


def keep_aside(path: Path) -> Path:
    """Keep a file beside its place; returns its name there, which may be that which a restore that was killed gave."""
    for kept in sorted(path.parent.glob(f"{glob.escape(path.name)}.{_ASIDE}-*")):
        if kept.is_file() and copying.sha256_of(kept) == copying.sha256_of(path):
            return kept
    return copying.keep_copy(path, path, f"{_ASIDE}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}")


class DatabaseRestore:
    """Puts a copy of the database in its place."""

    def __init__(self, data_dir: DataDir, folder: Path, listed: ListedFile, *, overwrite: bool) -> None:
        self.data_dir = data_dir
        self.copy = folder / listed.file
        self.listed = listed
        self.overwrite = overwrite

    def restore(self) -> RestoredCopy:
        """Put the copy in its place, and keep what it takes the place of.

        :raises BackupError: it is not of this database, or would take the place of newer work
        :raises StaleStoreError: another database is the authoritative store
        :raises SchemaError: the copy, or what it would take the place of, is newer than this program
        """
        path = self.data_dir.database
        require_same_database(self.data_dir)
        self.require_its_own()
        if os.path.lexists(path) and (path.is_symlink() or not path.is_file()):
            raise BackupError(
                f"{path} is in the way: it is a link or a folder.", hint="Move it away. Nothing was changed."
            )
        becomes = self.state()
        with suppress(ConnectionFailed):  # a restore is what a destroyed one waits for
            state_of(path)  # one that is newer than this program may hold newer work that nobody here could tell
        status, kept = "unchanged", None
        if not self.is_same():
            self.require_consent(becomes)
            status = "restored"
            if path.exists():
                kept = self.take_place()
            else:
                self.put_new()
        # Also where the database is in place already: a restore may have been killed between the two.
        write_flag(self.data_dir, effective_backend(self.data_dir, becomes.authority))
        return RestoredCopy(os.fspath(path), status, None if kept is None else os.fspath(kept))

    def require_its_own(self) -> None:
        """Raise BackupError where the copy is of another database."""
        place, path = self.data_dir.recorded(self.listed.source or ""), self.data_dir.database
        if os.path.realpath(place) == os.path.realpath(path):
            return
        if place.exists():
            raise BackupError(
                f"The backup is of {place}, not of {path}.", hint="Name that one with --database. Nothing was changed."
            )
        if place.name != path.name:  # else the database has moved, with or without the backups
            raise BackupError(
                f"The backup is of {place}, which is not there any more, and not of {path}.",
                hint=f"The copy is whole: {self.copy}. Nothing was changed.",
            )

    def state(self) -> State:
        """What the copy says of itself, which is opened without a trace; SchemaError where it is newer than we are."""
        with sqlite_errors("read the copy", self.copy), closing(connect_read_only(self.copy, immutable=True)) as copy:
            return read_state(copy, self.copy)

    def is_same(self) -> bool:
        path = self.data_dir.database
        log = path.with_name(path.name + "-wal")
        if not path.exists() or (log.exists() and log.stat().st_size):
            return False
        return copying.sha256_of(path) == self.listed.sha256

    def require_consent(self, becomes: State) -> None:
        path = self.data_dir.database
        if self.overwrite:
            return
        if path.exists():
            raise BackupError(f"{path} differs from the backup: it holds newer work.", hint=FLAG_HINT)
        if becomes.authority == "sqlite" and missing_database(self.data_dir, NO_DATABASE) is None:
            raise BackupError(
                "Without a database the JSON files hold the truth; restoring this one would make it SQLite again.",
                hint="--overwrite-newer-work does it; 'migrator migrate' then takes up what the files hold beyond it.",
            )

    def take_place(self) -> Path:
        """Give the database that is there the contents of the copy; returns where its own went."""
        path = self.data_dir.database
        try:
            with opened(path) as connection:
                kept = back_up_database(connection, path, self.data_dir.backups, _ASIDE)
                self.overwrite_through(connection)
                return kept
        except ConnectionFailed as error:
            if _is_damage(error.__cause__):
                return self.put_instead()
            raise

    def overwrite_through(self, connection: sqlite3.Connection) -> None:
        """Through SQLite itself: others may have the file open; ConnectionFailed where one keeps it locked."""
        path, started = self.data_dir.database, time.monotonic()

        def give_up(status: int, *_: int) -> None:
            if status in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED) and time.monotonic() - started > BUSY_TIMEOUT:
                raise ConnectionFailed(
                    f"Another program keeps {path} locked.", hint="Close it and restore again. Nothing was changed."
                )

        with sqlite_errors("restore what is", path):
            connection.execute("PRAGMA synchronous = FULL")
            with closing(connect_read_only(self.copy, immutable=True)) as source:
                its, ours = (database.execute("PRAGMA page_size").fetchone() for database in (source, connection))
                if its != ours:
                    connection.execute("PRAGMA journal_mode = DELETE")  # with a log, a database keeps its page size
                source.backup(connection, progress=give_up)

    def put_instead(self) -> Path:
        """Where what is there is no database any more, it moves aside with all that belongs to it."""
        path = self.data_dir.database
        with self.staged():
            kept = keep_aside(path)
            for suffix in ("-wal", "-journal"):
                beside = path.with_name(path.name + suffix)
                if beside.exists():
                    copying.keep_copy(beside, kept.with_name(kept.name + suffix), "kept")
            self.publish()
        return kept

    def put_new(self) -> None:
        """Where there is no database at all."""
        path = self.data_dir.database
        durable.make_private_folder(path.parent)
        with self.staged():
            log = path.with_name(path.name + "-wal")
            if log.exists():  # SQLite would replay the log of a database that is gone into this one
                keep_aside(log)
            self.publish()

    @contextmanager
    def staged(self) -> Iterator[None]:
        """A second copy, beside the place that it is to take, as it was checked; it does not outlast the block."""
        remove_database(self.data_dir.staging)
        try:
            if copying.copy_new(self.copy, self.data_dir.staging)[1] != self.listed.sha256:
                raise BackupError(f"{self.copy} changed while it was read.", hint="The disk may be failing.")
            yield
        finally:
            remove_database(self.data_dir.staging)

    def publish(self) -> None:
        """Give it the place of what is left of the old one; BackupError where a program made a database meanwhile."""
        remove_database(self.data_dir.database)
        if not durable.publish_new(self.data_dir.staging, self.data_dir.database):
            raise BackupError(f"{self.data_dir.database} was made by another program meanwhile.", hint="Restore again.")


def _is_damage(cause: BaseException | None) -> bool:
    """Whether SQLite failed at the file itself: that is what a restore is for."""
    code = getattr(cause, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT) or isinstance(cause, UnicodeDecodeError)
