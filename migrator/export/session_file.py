"""One JSON file that goes back: sessions of SQLite in the app's format, read back before it takes its place."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from migrator.database import queries
from migrator.database.documents import StoredDocument, read_source, read_workspace
from migrator.database.invalid import UNREADABLE, InvalidStoredSession, read_each_carefully, reraise_unless_data_error
from migrator.documents.app_format import app_bytes, array_of
from migrator.documents.document import SequenceDigest
from migrator.documents.parsing import parse_file
from migrator.errors import RollbackFailed
from migrator.files import copying, durable

SideFile = tuple[Path, str]
"""Where waits what goes next to a session file, since nobody could read that with it; and the mark in its name."""


class Choice(NamedTuple):
    """The sessions of one file: those of a source; or, of a workspace, those that came from no other file.

    :ivar source_id: None where there was no such file yet
    :ivar workspace_id: None where the source's sessions are all
    :ivar others: those of the workspace that came from other files as well
    """

    source_id: int | None
    workspace_id: int | None = None
    others: bool = False

    def read(self, connection: sqlite3.Connection) -> Iterator[StoredDocument]:
        """The sessions, in order."""
        if self.workspace_id is None:
            return read_source(connection, self.source_id or 0)
        everything = read_workspace(connection, self.workspace_id)
        return (stored for stored in everything if self._has(stored.source_id))

    def read_carefully(self, connection: sqlite3.Connection) -> Iterator[StoredDocument | InvalidStoredSession]:
        """Each of the sessions, valid or not, in order."""
        if self.workspace_id is None:
            return read_each_carefully(connection, queries.KEYS_OF_SOURCE, self.source_id or 0)
        everything = read_each_carefully(connection, queries.KEYS_OF_WORKSPACE, self.workspace_id)
        return (found for found in everything if self._has(found.source_id))

    def _has(self, source_id: int | None) -> bool:
        return self.others or source_id in (None, self.source_id)


class SessionFile(NamedTuple):
    """A file that was written.

    :ivar sessions: key and digest of each session in it
    :ivar spoilt: those that are no valid sessions any more, and so not in it: nobody could read it with them
    """

    path: Path
    sessions: list[tuple[str, bytes]]
    spoilt: list[InvalidStoredSession]


@dataclass(frozen=True)
class RestoredFile:
    """One JSON file as the rollback leaves it.

    :ivar hash: the workspace's; for the shared file, that of its placeholder
    :ivar restored: ``bytes``: the file as it was migrated; ``export``: written from SQLite
    :ivar quarantined: how many of its elements are no sessions, or went beside it
    :ivar kept_beside: where a file went that SQLite has not all of, and that this one replaced
    """

    hash: str
    path: str
    restored: str
    file: str
    sessions: int
    quarantined: int
    kept_beside: str | None = None


@dataclass(frozen=True)
class PreparedFile:
    """A file that is ready to take its place.

    :ivar written: where it waits; None where what is in its place is right as it is
    :ivar report: None where there is no such file, and only something to go next to it
    :ivar replaceable: the SHA-256 of each file that SQLite has all of, so that it may be replaced
    """

    target: Path
    written: Path | None
    report: RestoredFile | None
    replaceable: frozenset[str | None] = frozenset()
    side_files: tuple[SideFile, ...] = ()


def require_free(target: Path, replaceable: Container[str | None]) -> None:
    """Refuse to write where something is that no file may replace.

    :param replaceable: the SHA-256 of each file that SQLite has all of
    :raises RollbackFailed: it is a folder or a device, or a link to somebody else's file
    """
    if os.path.lexists(target) and not target.is_file():
        raise RollbackFailed(f"{target} is in the way: it is no file.", hint="Move it away and run the command again.")
    if os.path.islink(target) and copying.sha256_of(target) not in replaceable:
        raise RollbackFailed(
            f"{target} is a link to {os.readlink(target)}, which was never migrated: nothing is written there.",
            hint="Move the link away and run the command again.",
        )


def write_sessions(
    connection: sqlite3.Connection, choice: Choice, broken: list[tuple[int, bytes]], next_path: Callable[[], Path]
) -> SessionFile:
    """Write the sessions, and what is in quarantine at its old places among them.

    :param broken: position and text of each item of the quarantine
    :param next_path: gives the name of a file that is not there yet
    :raises RollbackFailed: it does not read back as what was written
    """
    try:
        written = _write(choice.read(connection), broken, next_path())
        if written is not None:
            return written
    except UNREADABLE as error:
        reraise_unless_data_error(error)
    spoilt: list[InvalidStoredSession] = []

    def valid_ones() -> Iterator[StoredDocument]:
        for session in choice.read_carefully(connection):
            if isinstance(session, InvalidStoredSession):
                spoilt.append(session)
            else:
                yield session

    path = next_path()
    written = _write(valid_ones(), broken, path)
    if written is None:
        raise RollbackFailed(
            f"What was written to {path} does not read back as what SQLite holds.", hint="Please report this as a bug."
        )
    return written._replace(spoilt=spoilt)


def _write(sessions: Iterable[StoredDocument], broken: list[tuple[int, bytes]], path: Path) -> SessionFile | None:
    """None where it does not read back as what was written."""
    expected, found = SequenceDigest(), SequenceDigest()
    written: list[tuple[str, bytes]] = []

    def noted() -> Iterator[StoredDocument]:
        for stored in sessions:
            written.append((stored.key, expected.add(stored.canonical_bytes())))
            yield stored

    durable.write_new(path, array_of(_woven(noted(), broken)))
    for _, session in parse_file(path):
        if session:
            found.add(session.canonical_bytes())
    return SessionFile(path, written, []) if found.hexdigest() == expected.hexdigest() else None


def _woven(sessions: Iterable[StoredDocument], broken: list[tuple[int, bytes]]) -> Iterator[bytes]:
    """The elements of a file: sessions in order, and what is in quarantine where it stood among them.

    Sessions without a position were born in SQLite, and stand behind everything that was in the file.
    """
    waiting = sorted(broken, key=lambda item: item[0])
    for stored in sessions:
        while waiting and (stored.position is None or waiting[0][0] <= stored.position):
            yield waiting.pop(0)[1]
        yield app_bytes(stored.document)
    for _, raw in waiting:
        yield raw
