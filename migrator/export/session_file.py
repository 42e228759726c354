"""One JSON file of a rollback: sessions from SQLite in the app's format, read back before it takes its place."""

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
"""A prepared file that goes next to a session file, and the mark in its name. It holds what no app could read there."""


class Choice(NamedTuple):
    """Which sessions go into one file: a source's, or those of a workspace that came from no other file.

    :ivar source_id: None if there was no such file yet
    :ivar workspace_id: None if the file gets the source's sessions only
    :ivar others: also the workspace's sessions that came from other files
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
        """The sessions in order, valid or not."""
        if self.workspace_id is None:
            return read_each_carefully(connection, queries.KEYS_OF_SOURCE, self.source_id or 0)
        everything = read_each_carefully(connection, queries.KEYS_OF_WORKSPACE, self.workspace_id)
        return (found for found in everything if self._has(found.source_id))

    def _has(self, source_id: int | None) -> bool:
        return self.others or source_id in (None, self.source_id)


class SessionFile(NamedTuple):
    """A file that was written.

    :ivar sessions: key and digest of each session in it
    :ivar invalid: the sessions that are no longer valid and so not in it: with them, the app could not read it
    """

    path: Path
    sessions: list[tuple[str, bytes]]
    invalid: list[InvalidStoredSession]


@dataclass(frozen=True)
class RestoredFile:
    """One JSON file as the rollback leaves it.

    :ivar hash: the workspace's hash; for the shared file, that of its placeholder
    :ivar restored: ``bytes``: the file as it was migrated; ``export``: written from SQLite
    :ivar quarantined: how many of its elements are not sessions, or went into a file next to it
    :ivar kept_beside: the new name of the file that this one replaced, if SQLite did not have all of that
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

    :ivar written: the prepared file; None if the one in its place is right already
    :ivar report: None if there is no session file, only files to go next to it
    :ivar replaceable: the SHA-256 of each file that may be replaced, because SQLite has all of it
    """

    target: Path
    written: Path | None
    report: RestoredFile | None
    replaceable: frozenset[str | None] = frozenset()
    side_files: tuple[SideFile, ...] = ()


def require_free(target: Path, replaceable: Container[str | None]) -> None:
    """Check that a file may be written in this place.

    :param replaceable: the SHA-256 of each file that SQLite has all of
    :raises RollbackFailed: a directory, a device, or a link to a file that was never migrated is there
    """
    if os.path.lexists(target) and not target.is_file():
        raise RollbackFailed(
            f"{target} is in the way: it is not a file.",
            code="file.in_the_way",
            hint="Move it away and run the command again.",
        )
    if os.path.islink(target) and copying.sha256_of(target) not in replaceable:
        raise RollbackFailed(
            f"{target} is in the way: it is a link to {os.readlink(target)}, which was never migrated.",
            code="file.in_the_way",
            hint="Move the link away and run the command again.",
        )


def write_sessions(
    connection: sqlite3.Connection, choice: Choice, broken: list[tuple[int, bytes]], next_path: Callable[[], Path]
) -> SessionFile:
    """Write the sessions, with the quarantined items at their old places among them.

    :param broken: position and text of each quarantined item
    :param next_path: returns a path that is free
    :raises RollbackFailed: the file does not read back as what was written
    """
    try:
        written = _write(choice.read(connection), broken, next_path())
        if written is not None:
            return written
    except UNREADABLE as error:
        reraise_unless_data_error(error)
    invalid: list[InvalidStoredSession] = []

    def valid_sessions() -> Iterator[StoredDocument]:
        for session in choice.read_carefully(connection):
            if isinstance(session, InvalidStoredSession):
                invalid.append(session)
            else:
                yield session

    path = next_path()
    written = _write(valid_sessions(), broken, path)
    if written is None:
        raise RollbackFailed(
            f"{path} was written, but reading it back gave other sessions than SQLite holds.",
            code="file.readback_failed",
            hint="The disk may be failing. If it is not, please report this as a bug.",
        )
    return written._replace(invalid=invalid)


def _write(sessions: Iterable[StoredDocument], broken: list[tuple[int, bytes]], path: Path) -> SessionFile | None:
    """Write a file and read it back; None if it is not what was written."""
    expected, found = SequenceDigest(), SequenceDigest()
    written: list[tuple[str, bytes]] = []

    def recorded() -> Iterator[StoredDocument]:
        for stored in sessions:
            written.append((stored.key, expected.add(stored.canonical_bytes())))
            yield stored

    durable.write_new(path, array_of(_in_order(recorded(), broken)))
    for _, session in parse_file(path):
        if session:
            found.add(session.canonical_bytes())
    return SessionFile(path, written, []) if found.hexdigest() == expected.hexdigest() else None


def _in_order(sessions: Iterable[StoredDocument], broken: list[tuple[int, bytes]]) -> Iterator[bytes]:
    """The elements of a file: sessions in order, with the quarantined items where they stood among them.

    Sessions without a position were created in SQLite; they follow everything that was in the file.
    """
    waiting = sorted(broken, key=lambda item: item[0])
    for stored in sessions:
        while waiting and (stored.position is None or waiting[0][0] <= stored.position):
            yield waiting.pop(0)[1]
        yield app_bytes(stored.document)
    for _, raw in waiting:
        yield raw
