"""Which of SQLite's sessions a version in quarantine is in conflict with."""

from __future__ import annotations

import sqlite3
from typing import cast

from migrator.data_dir import DataDir
from migrator.database import queries
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
    """The session in SQLite that a conflict is with; None where SQLite has deleted it.

    Where a file holds an id several times, they are told apart as the merge does it.

    :raises QuarantineError: several have the id, and which of them it is can't be told any more
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
    # With none of those that are as the file has them.
    as_in_file = {version.digest for version in in_file.values()}
    candidates = [found for found in candidates if placed[found.key].version.digest not in as_in_file]
    return _only_one(item, session_id, candidates) or created


def _only_one(item: QuarantinedItem, session_id: str, candidates: list[StoredDocument]) -> StoredDocument | None:
    if len(candidates) > 1:
        raise QuarantineError(
            f"Number {item.id} is a version of the session {session_id!r}, which SQLite has {len(candidates)} "
            "times; which of them it belongs to can't be told any more.",
            hint="'--take both' adds it as a further one.",
        )
    return candidates[0] if candidates else None


def read_conflict(item: QuarantinedItem, raw: bytes) -> WorktreeSession:
    """The document of a conflict: only valid ones come into conflict.

    :raises QuarantineError: somebody has changed it in the database
    """
    try:
        value = parse_element(raw).value
    except Unreadable as error:
        raise QuarantineError(f"Number {item.id} in quarantine was changed: {error.reason}.") from None
    if not isinstance(value, dict) or not isinstance(value.get("id"), str):
        raise QuarantineError(f"Number {item.id} in quarantine was changed: it is no session any more.")
    return cast(WorktreeSession, value)


def _versions_in_file(
    connection: sqlite3.Connection, data_dir: DataDir, source_id: int, session_id: str
) -> dict[Identity, Version]:
    """The sessions of that id in the file that brought one; none where that can't be told."""
    row = connection.execute(queries.BACKUP_OF_SOURCE, (source_id,)).fetchone()
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
