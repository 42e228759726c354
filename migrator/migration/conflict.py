"""Which of SQLite's sessions a version in quarantine is in conflict with."""

from __future__ import annotations

import sqlite3
from typing import NamedTuple, cast

from migrator.data_dir import DataDir
from migrator.database import queries
from migrator.database.documents import StoredDocument, find_workspace, keys_of, read_document
from migrator.document import WorktreeSession, canonical, read_element
from migrator.errors import MigratorError, QuarantineError
from migrator.exact_json import Unreadable
from migrator.migration.reading import valid_documents


class ConflictPlace(NamedTuple):
    """Where a conflict came from: its number in quarantine, its file's in the ledger, and its workspace."""

    number: int
    source_id: int | None
    workspace_hash: str | None


def version_in_sqlite(
    connection: sqlite3.Connection, data_dir: DataDir, item: ConflictPlace, raw: bytes
) -> StoredDocument | None:
    """The session in SQLite that a conflict is with; None where SQLite has deleted it.

    Where a file holds an id several times, the merge had matched them by their order, and so does this.

    :raises QuarantineError: several have the id, and which of them it is can't be told any more
    """
    theirs = read_conflict(item, raw)
    workspace = find_workspace(connection, item.workspace_hash or "")
    if workspace is None:
        return None
    stored = [read_document(connection, key) for key in keys_of(connection, workspace[0], theirs["id"])]
    candidates = [found for found in stored if found is not None]
    if item.source_id is not None:
        born = [found for found in candidates if found.source_id is None]
        candidates = [found for found in candidates if found.source_id == item.source_id]
        number = _number_in_file(connection, data_dir, item.source_id, theirs)
        if number is not None:
            if number < len(candidates):
                return candidates[number]
            return born[0] if born and number == 0 else None
        candidates = candidates or born[:1]
    if len(candidates) > 1:
        raise QuarantineError(
            f"Number {item.number} is a version of the session {theirs['id']!r}, which SQLite has {len(candidates)} "
            "times; which of them it belongs to can't be told any more.",
            hint="'--take both' adds it as a further one.",
        )
    return candidates[0] if candidates else None


def read_conflict(item: ConflictPlace, raw: bytes) -> WorktreeSession:
    """The document of a conflict: only valid ones come into conflict.

    :raises QuarantineError: somebody has changed it in the database
    """
    try:
        value = read_element(raw, None).value
    except Unreadable as error:
        raise QuarantineError(f"Number {item.number} in quarantine was changed: {error.reason}.") from None
    if not isinstance(value, dict) or not isinstance(value.get("id"), str):
        raise QuarantineError(f"Number {item.number} in quarantine was changed: it is no session any more.")
    return cast(WorktreeSession, value)


def _number_in_file(
    connection: sqlite3.Connection, data_dir: DataDir, source_id: int, theirs: WorktreeSession
) -> int | None:
    """Which of the sessions of its id it was in the file that brought it; None where that can't be told."""
    row = connection.execute(queries.BACKUP_OF_SOURCE, (source_id,)).fetchone()
    if row is None or row[0] is None:
        return None
    number, wanted = 0, canonical(theirs)
    try:
        for _, document, spelled in valid_documents(data_dir.root / row[0]):
            if document["id"] == theirs["id"]:
                if spelled == wanted:
                    return number
                number += 1
    except MigratorError:
        return None  # the copy is gone, or torn
    return None
