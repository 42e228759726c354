"""Find the sessions that a backup holds and nothing else does.

A session is held elsewhere if the database, its quarantine, the app's files or a backup that stays has one of its id in
the same workspace. Older versions of it do not count: they were replaced.
"""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from functools import cached_property
from pathlib import Path
from typing import Any

from migrator.authority import read_state
from migrator.backups import queries
from migrator.backups.manifest import ListedFile, read_manifest
from migrator.data_dir import DataDir
from migrator.database.connection import connect_read_only, opened
from migrator.database.errors import sqlite_errors
from migrator.database.rows import document_id
from migrator.documents.parsing import parse_file
from migrator.errors import MigratorError, SourceFileError
from migrator.files import copying
from migrator.inventory.source_files import own_files
from migrator.text import counted
from migrator.workspace import HASH_PATTERN

_NAMED = 5  # sessions in a reason
_Session = tuple[str | None, str]
"""A session's workspace, None if it is unknown, and its id; an element without an id has its SHA-256 instead."""

# The app writes the id first.
_BEGINNING = re.compile(rb'\s*\{\s*"id"\s*:\s*"([^"\\]+)"')


class LastCopies:
    """Knows what the database and the app's files hold, and what the backups that stay hold."""

    def __init__(self, data_dir: DataDir) -> None:
        self._data_dir = data_dir
        self._kept: list[Path] = []
        self._of_kept: dict[Path, set[_Session]] = {}

    def keep(self, folder: Path) -> None:
        """Note that a backup stays."""
        self._kept.append(folder)

    def reason_to_keep(self, folder: Path) -> str | None:
        """Why a backup may not be removed; None if everything in it is held elsewhere."""
        try:
            found = self._only_in(folder)
        except MigratorError as error:
            return f"it could not be determined what only this backup holds: {error.message}"
        if not found:
            return None
        names = ", ".join(map(repr, found[:_NAMED])) + (", …" if len(found) > _NAMED else "")
        only = f"{counted(len(found), 'session')} that {'is' if len(found) == 1 else 'are'} nowhere else"
        return f"it holds {only}: {names}. --discard-last-copies removes it, too"

    def _only_in(self, folder: Path) -> list[str]:
        """The ids of the sessions that only this backup holds.

        :raises MigratorError: that cannot be determined
        """
        left = _without(self._sessions_of(folder), self._in_database)
        for kept in self._kept if left else ():
            if kept not in self._of_kept:
                self._of_kept[kept] = self._sessions_of(kept)
            left = _without(left, self._of_kept[kept])
        if left:
            left = _without(left, self._in_files)
        return sorted(session_id for _, session_id in left)

    @cached_property
    def _in_database(self) -> set[_Session]:
        path = self._data_dir.database
        if not path.exists() or not path.stat().st_size:
            return set()
        with opened(path, read_only=True) as connection:
            return _of_database(connection, path)

    @cached_property
    def _in_files(self) -> set[_Session]:
        found = set[_Session]()
        for source in own_files(self._data_dir):
            if source.error is None:
                found |= _of_file(source.path, source.workspace_hash)
        return found

    @cached_property
    def _workspaces(self) -> Mapping[str, str | None]:
        path = self._data_dir.database
        if not path.exists() or not path.stat().st_size:
            return {}
        with opened(path, read_only=True) as connection, sqlite_errors("read the ledger", path):
            if not read_state(connection, path).has_ledger:
                return {}
            return dict(connection.execute(queries.WORKSPACES_OF_SOURCES).fetchall())

    def _sessions_of(self, folder: Path) -> set[_Session]:
        manifest = read_manifest(folder)
        found = set[_Session]()
        for listed in manifest.files:
            copy = folder / listed.file
            if not copy.is_file():
                continue
            if manifest.kind == "database":
                with closing(connect_read_only(copy, immutable=True)) as connection:
                    found |= _of_database(connection, copy)
            elif manifest.kind == "files":
                found |= _of_file(copy, self._workspace_of(listed))
        return found

    def _workspace_of(self, listed: ListedFile) -> str | None:
        name = Path(listed.source or "")
        if name.parent.name == "sessions" and HASH_PATTERN.fullmatch(name.stem):
            return name.stem
        return self._workspaces.get(listed.source or "")


def _without(sessions: Iterable[_Session], held: set[_Session]) -> set[_Session]:
    """The sessions that are not held; one whose workspace is unknown may be in any."""
    ids = {session_id for _, session_id in held}
    unknown = {session_id for workspace, session_id in held if workspace is None}
    return {
        (workspace, session_id)
        for workspace, session_id in sessions
        if session_id not in (ids if workspace is None else unknown) and (workspace, session_id) not in held
    }


def _of_file(path: Path, workspace: str | None) -> set[_Session]:
    try:
        return {
            (workspace, session.value["id"] if session else _name_of(element.raw))
            for element, session in parse_file(path)
            if session or element.raw.strip()
        }
    except SourceFileError:  # not an array: it is held where the same bytes are
        return {(workspace, copying.sha256_of(path))}


def _of_database(connection: sqlite3.Connection, path: Path) -> set[_Session]:
    with sqlite_errors("read the sessions", path):
        state = read_state(connection, path)
        if state.schema_version == 0:
            return set()
        found = set(_stored(connection, has_rescued=state.has_ledger))
        if state.has_ledger:
            for workspace, raw in connection.execute(queries.QUARANTINED_BY_WORKSPACE):
                text = raw if isinstance(raw, bytes) else str(raw).encode()
                found |= {(workspace, _name_of(text)), (workspace, _digest(text))}
        return found


def _stored(connection: sqlite3.Connection, *, has_rescued: bool) -> Iterator[_Session]:
    statement = queries.SESSIONS_OF_WORKSPACES if has_rescued else queries.SESSIONS_OF_STEP_1
    for workspace, key, rescued in connection.execute(statement):
        try:
            yield workspace, document_id(key, None if rescued is None else rescued.decode())
        except (ValueError, KeyError, TypeError, AttributeError):
            yield workspace, key


def _name_of(raw: bytes) -> str:
    """The id of an element that is not a session, also of a truncated one, or its SHA-256 if it has none."""
    try:
        value: Any = json.loads(raw.decode("utf-8", "surrogateescape"))
    except (ValueError, RecursionError):
        begun = _BEGINNING.match(raw)
        value = {"id": begun[1].decode("utf-8", "replace")} if begun else None
    found = value.get("id") if isinstance(value, dict) else None
    return found if isinstance(found, str) else _digest(raw)


def _digest(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()
