"""Find the session in SQLite that a quarantined version conflicts with."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from migrator.data_dir import DataDir
from migrator.database import quarantine_queries
from migrator.database.documents import StoredDocument, find_workspace, keys_of, read_document
from migrator.database.quarantine import QuarantinedItem
from migrator.documents.document import WorktreeSession, canonical_bytes, digest
from migrator.documents.exact_json import Unreadable
from migrator.documents.parsing import parse_element, parse_file
from migrator.errors import MigratorError, QuarantineError
from migrator.migration.merging.matching import Identity, Positioned, Version, match_sessions, number_sessions


@dataclass
class _Sessions:
    """The sessions of one id: those in the backup of a file, and those in SQLite.

    :ivar created: the key of the first one that was created in SQLite
    :ivar stored: those that SQLite has of the file, by their keys
    :ivar matched: which of them is which one of the file
    """

    in_file: dict[Identity, Version]
    created: str | None
    stored: dict[str, Positioned]
    matched: dict[Identity, Version]

    def __post_init__(self) -> None:
        self.by_digest = {version.digest: identity for identity, version in reversed(self.in_file.items())}


class ConflictFinder:
    """Finds the sessions of many conflicts; each file is read once, and so are the sessions of each id."""

    def __init__(self, connection: sqlite3.Connection, data_dir: DataDir) -> None:
        self._connection = connection
        self._data_dir = data_dir
        self._files: dict[int, dict[str, list[Positioned]]] = {}
        self._known: dict[str, dict[tuple[int | None, str | None], _Sessions]] = defaultdict(dict)

    def find(self, item: QuarantinedItem, raw: bytes) -> StoredDocument | None:
        """The session in SQLite that an item conflicts with; None if it was deleted there.

        If the file holds the id several times, the sessions are matched as the merge does it.

        :raises QuarantineError: several sessions have the id, and it is unclear which one is meant
        """
        theirs = read_conflict(item, raw)
        known = self._sessions(item, theirs["id"])
        key = _key(item, theirs["id"], known, digest(canonical_bytes(theirs)))
        return None if key is None else read_document(self._connection, key)

    def replaced(self, item: QuarantinedItem, theirs: WorktreeSession, old: str, new: str) -> None:
        """Note that a session in SQLite was replaced by the version of an item."""
        known, version = self._sessions(item, theirs["id"]), Version(digest(canonical_bytes(theirs)), new)
        identity = known.by_digest.get(version.digest)
        if identity is None or old not in known.stored:
            self.forget(theirs["id"])
        else:
            known.stored[new] = known.stored.pop(old)._replace(version=version)
            known.matched[identity] = version

    def forget(self, session_id: str) -> None:
        """Read the sessions of this id again: SQLite has others now."""
        self._known.pop(session_id, None)

    def _sessions(self, item: QuarantinedItem, session_id: str) -> _Sessions:
        place = item.source_id, item.workspace_hash
        if place not in self._known[session_id]:
            in_file = {} if item.source_id is None else self._in_file(item.source_id, session_id)
            workspace = find_workspace(self._connection, item.workspace_hash or "")
            keys = [] if workspace is None else keys_of(self._connection, workspace[0], session_id)
            read = [read_document(self._connection, key) for key in keys]
            found = [stored for stored in read if stored is not None]
            created = None
            if item.source_id is not None:
                created = next((one.key for one in found if one.source_id is None), None)
            stored = {
                one.key: Positioned(one.position, session_id, Version(one.digest(), one.key))
                for one in found
                if item.source_id is None or one.source_id == item.source_id
            }
            matched = match_sessions(in_file, [*stored.values()])
            self._known[session_id][place] = _Sessions(in_file, created, stored, matched)
        return self._known[session_id][place]

    def _in_file(self, source_id: int, session_id: str) -> dict[Identity, Version]:
        """The sessions of that id in the backup of a source file; none if there is no readable backup."""
        if source_id not in self._files:
            self._files[source_id] = self._read_file(source_id)
        return number_sessions(self._files[source_id].get(session_id, ()))

    def _read_file(self, source_id: int) -> dict[str, list[Positioned]]:
        row = self._connection.execute(quarantine_queries.BACKUP_OF_SOURCE, (source_id,)).fetchone()
        found: defaultdict[str, list[Positioned]] = defaultdict(list)
        if row is not None and row[0] is not None:
            try:
                for element, session in parse_file(self._data_dir.recorded(row[0])):
                    if session:
                        name = session.value["id"]
                        found[name].append(Positioned(element.position, name, Version(session.digest())))
            except MigratorError:
                return {}  # the copy is gone
        return found


def _key(item: QuarantinedItem, session_id: str, known: _Sessions, wanted: bytes) -> str | None:
    """The key of the session that an item conflicts with."""
    identity = known.by_digest.get(wanted)
    if identity is None:
        return _only_one(item, session_id, [*known.stored]) or known.created
    if len(known.stored) <= len(known.in_file):
        ours = known.matched.get(identity)
        if ours is None:
            return known.created if identity[1] == 0 else None
        return ours.key
    # Not with a session that equals one in the file.
    candidates = [key for key, placed in known.stored.items() if placed.version.digest not in known.by_digest]
    return _only_one(item, session_id, candidates) or known.created


def _only_one(item: QuarantinedItem, session_id: str, candidates: Sequence[str]) -> str | None:
    if len(candidates) > 1:
        raise QuarantineError(
            f"Item {item.id} conflicts with session {session_id!r}, which SQLite holds {len(candidates)} times; it is "
            "unclear with which one.",
            code="quarantine.ambiguous",
            hint="'--take both' adds it as another session.",
        )
    return candidates[0] if candidates else None


def read_conflict(item: QuarantinedItem, raw: bytes) -> WorktreeSession:
    """The document of a conflict, which was valid when it was quarantined.

    :raises QuarantineError: it was changed in the database since
    """
    try:
        value = parse_element(raw).value
    except Unreadable as error:
        raise _changed(item, error.reason) from None
    if not isinstance(value, dict) or not isinstance(value.get("id"), str):
        raise _changed(item, "it is no longer a session")
    return cast(WorktreeSession, value)


def _changed(item: QuarantinedItem, reason: str) -> QuarantineError:
    return QuarantineError(
        f"Quarantined item {item.id} was changed in the database: {reason}.",
        code="quarantine.changed",
        hint=f"Pass a corrected version: 'migrator quarantine retry {item.id} --edited FILE'.",
    )
