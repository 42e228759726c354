"""Making one workspace of a database equal to documents from elsewhere."""

from __future__ import annotations

import sqlite3
from collections import defaultdict, deque
from collections.abc import Sequence

from migrator.database import queries
from migrator.database.documents import delete_document, insert_behind, read_workspace, replace_document
from migrator.documents.document import WorktreeSession, document_digest


def replace_all(
    connection: sqlite3.Connection, documents: Sequence[WorktreeSession], *, workspace_id: int, workspace_hash: str
) -> None:
    """Make the workspace hold exactly these documents, in this order.

    Only what differs is written, so that the rest keeps its keys and the file that it came from. Documents of one id
    are told apart by which of them they are, first, second and so on.
    """
    present: defaultdict[str, deque[tuple[str, str]]] = defaultdict(deque)
    for stored in read_workspace(connection, workspace_id):
        present[stored.document["id"]].append((stored.key, document_digest(stored.document)))
    kept = [present[document["id"]].popleft() if present[document["id"]] else None for document in documents]
    for leftovers in present.values():
        for key, _ in leftovers:
            delete_document(connection, key)
    wanted = []
    for document, found in zip(documents, kept, strict=True):
        if found is None:
            key = insert_behind(connection, document, workspace_id=workspace_id, workspace_hash=workspace_hash)
        else:
            key, digest = found
            if document_digest(document) != digest:
                replace_document(connection, key, document)
        wanted.append(key)
    if wanted != [key for (key,) in connection.execute(queries.KEYS_OF_WORKSPACE, (workspace_id,))]:
        for position, key in enumerate(wanted):
            connection.execute(queries.MOVE_SESSION, (position, key))
