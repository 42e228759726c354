"""Find the session in SQLite that a quarantined version conflicts with."""

from __future__ import annotations

import sqlite3
from typing import cast

from migrator.data_dir import DataDir
from migrator.database import quarantine_queries
from migrator.database.documents import StoredDocument, find_workspace, keys_of, read_document
from migrator.database.quarantine import QuarantinedItem
from migrator.documents.document import WorktreeSession, canonical_bytes, digest
from migrator.documents.exact_json import Unreadable
from migrator.documents.parsing import parse_element, parse_file
from migrator.errors import MigratorError, QuarantineError
from migrator.migration.matching import Identity, Positioned, Version, match_sessions, number_sessions


def find_conflicting_session(
    connection: sqlite3.Connection, data_dir: DataDir, item: QuarantinedItem, raw: bytes
) -> StoredDocument | None:
    """The session in SQLite that an item conflicts with; None if it was deleted there.

    If the file holds the id several times, the sessions are matched as the merge does it.

    :raises QuarantineError: several sessions have the id, and it is unclear which one is meant
    """
    theirs = read_conflict(item, raw)
    session_id = theirs["id"]
    workspace = find_workspace(connection, item.workspace_hash or "")
    if workspace is None:
        return None
    stored = [read_document(connection, key) for key in keys_of(connection, workspace[0], session_id)]
    candidates = [found for found in stored if found is not None]
    if item.source_id is None:
        return _only_one(item, session_id, candidates)
    created = next((found for found in candidates if found.source_id is None), None)  # in SQLite
    candidates = [found for found in candidates if found.source_id == item.source_id]
    in_file = _versions_in_file(connection, data_dir, item.source_id, session_id)
    wanted = digest(canonical_bytes(theirs))
    identity = next((identity for identity, version in in_file.items() if version.digest == wanted), None)
    if identity is None:
        return _only_one(item, session_id, candidates) or created
    placed = {
        found.key: Positioned(found.position, session_id, Version(found.digest(), found.key)) for found in candidates
    }
    if len(candidates) <= len(in_file):
        ours = match_sessions(in_file, [*placed.values()]).get(identity)
        if ours is None:
            return created if identity[1] == 0 else None
        return next(found for found in candidates if found.key == ours.key)
    # Not with a session that equals one in the file.
    as_in_file = {version.digest for version in in_file.values()}
    candidates = [found for found in candidates if placed[found.key].version.digest not in as_in_file]
    return _only_one(item, session_id, candidates) or created


def _only_one(item: QuarantinedItem, session_id: str, candidates: list[StoredDocument]) -> StoredDocument | None:
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


def _versions_in_file(
    connection: sqlite3.Connection, data_dir: DataDir, source_id: int, session_id: str
) -> dict[Identity, Version]:
    """The sessions of that id in the backup of a source file; none if there is no readable backup."""
    row = connection.execute(quarantine_queries.BACKUP_OF_SOURCE, (source_id,)).fetchone()
    if row is None or row[0] is None:
        return {}
    try:
        return number_sessions(
            Positioned(element.position, session_id, Version(session.digest()))
            for element, session in parse_file(data_dir.recorded(row[0]))
            if session and session.value["id"] == session_id
        )
    except MigratorError:
        return {}  # the copy is gone
