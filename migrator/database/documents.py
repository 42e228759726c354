"""Reads, inserts, replaces and deletes session documents and workspaces in a database."""

from __future__ import annotations

import sqlite3
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, groupby
from operator import itemgetter
from typing import Any, NamedTuple

from migrator.database import queries
from migrator.database.columns import SESSION_COLUMNS, MessageRow, SessionRow
from migrator.database.connection import AnyConnection
from migrator.database.rows import (
    FIRST_INSTANCE_SUBSTITUTE,
    DocumentRows,
    Row,
    derived_key,
    derived_keys,
    document_id,
    free_key,
    from_rows,
    key_of_id,
    message_rows,
    rekey,
    to_rows,
)
from migrator.documents.document import ChatMessage, SequenceDigest, WorktreeSession, canonical_bytes, digest
from migrator.errors import TransactionError, UnreadableSession
from migrator.workspace import is_placeholder, placeholder


class StoredDocument(NamedTuple):
    """A document and its place in the database.

    :ivar key: the primary key of its session row; not always the document's own id
    :ivar position: its place in the workspace, or None if the desktop app inserted it
    :ivar source_id: the ledger's number of the file that it came from, or None
    :ivar plain: nothing had to be rescued, so the document is in normal form and has no unknown members
    """

    document: WorktreeSession
    key: str
    position: int | None
    source_id: int | None
    workspace_id: int
    plain: bool

    def canonical_bytes(self) -> bytes:
        """Return the canonical form of the document."""
        return canonical_bytes(self.document, plain=self.plain)

    def digest(self) -> bytes:
        """Return the digest of the document."""
        return digest(self.canonical_bytes())


def read_document(connection: AnyConnection, key: str) -> StoredDocument | None:
    """Read the document whose session row has this primary key; None if there is none."""
    row = connection.execute(queries.SESSION_BY_KEY, (key,)).fetchone()
    if row is None:
        return None
    runtimes = [name for (name,) in connection.execute(queries.RUNTIMES_OF_SESSION, (key,))]
    instances = connection.execute(queries.INSTANCES_OF_SESSION, (key,)).fetchall()
    messages = connection.execute(queries.MESSAGES_OF_SESSION, (key,)).fetchall()
    return _stored(row, runtimes, instances, messages)


def read_workspace(connection: AnyConnection, workspace_id: int) -> Iterator[StoredDocument]:
    """Read all documents of a workspace in file order, with four statements, one document at a time in memory.

    Use it within a transaction if others may write: the four statements must see the same state.
    """
    return read_documents(connection, queries.DOCUMENTS_OF_WORKSPACE, workspace_id)


def read_source(connection: AnyConnection, source_id: int) -> Iterator[StoredDocument]:
    """Read all documents of one source file in its order, as :func:`read_workspace` does."""
    return read_documents(connection, queries.DOCUMENTS_OF_SOURCE, source_id)


def read_documents(
    connection: AnyConnection, statements: queries.DocumentStatements, *values: Any
) -> Iterator[StoredDocument]:
    """Read the documents that the statements find."""
    return merged(*(connection.execute(statement, values) for statement in statements))


def merged(
    sessions: Iterable[Row], runtimes: Iterable[Row], instances: Iterable[Row], messages: Iterable[Row]
) -> Iterator[StoredDocument]:
    """Merge four sorted streams of rows to documents: each session with its children."""
    runtimes_of, instances_of, messages_of = _Groups(runtimes, 0), _Groups(instances, 0), _Groups(messages, 1)
    width = len(SESSION_COLUMNS)
    for row in sessions:
        row_id = row[width]
        names = [name for _, name in runtimes_of.take(row_id)]
        yield _stored(row[:width], names, instances_of.take(row_id), messages_of.take(row_id))


class _Groups:
    """Rows in the order of their sessions, taken session by session."""

    def __init__(self, rows: Iterable[Row], column: int) -> None:
        self._groups: Iterator[tuple[Any, Iterator[Row]]] = groupby(rows, itemgetter(column))
        self._next = next(self._groups, None)

    def take(self, row_id: int) -> list[Row]:
        if self._next is None or self._next[0] != row_id:
            return []
        rows = list(self._next[1])
        self._next = next(self._groups, None)
        return rows


def _stored(row: Row, runtimes: Iterable[str], instances: list[Row], messages: list[Row]) -> StoredDocument:
    session = SessionRow._make(row)
    try:
        document, plain = from_rows(session, runtimes, instances, messages)
    except (ValueError, KeyError, TypeError, AttributeError) as error:  # another program wrote the rescued data
        raise UnreadableSession(session.id, error) from error
    return StoredDocument(document, session.id, session.position, session.source_id, session.workspace_id, plain)


def keys_of(connection: sqlite3.Connection, workspace_id: int, session_id: str) -> list[str]:
    """Return the primary keys of the sessions with this id in their documents, in file order."""
    rows = []
    found = chain.from_iterable(
        connection.execute(queries.KEYS_BY_DOCUMENT_ID, (workspace_id, wanted, *derived_keys(wanted)))
        for wanted in {session_id, key_of_id(session_id)}  # databases of earlier versions have long ids as keys
    )
    for key, position, row_id, rescued_data in found:
        try:
            own_id = document_id(key, None if rescued_data is None else rescued_data.decode())
        except (ValueError, KeyError, TypeError, AttributeError):  # invalid: reading the session reports it
            own_id = key
        if own_id == session_id:
            rows.append((position is None, position, row_id, key))
    return [key for *_, key in sorted(rows)]


def find_workspace(connection: AnyConnection, workspace_hash: str) -> tuple[int, str] | None:
    """Return the row id and the path of a workspace; None if it is unknown."""
    row = connection.execute(queries.WORKSPACE_BY_HASH, (workspace_hash,)).fetchone()
    return (row[0], row[1]) if row else None


def ensure_workspace(connection: AnyConnection, workspace_hash: str, path: str | None) -> int:
    """Return the row id of a workspace; insert it if it is new, and fill in its path if that was unknown.

    Two hashes may belong to one path (a link and its target); the second keeps a placeholder.
    """
    found = find_workspace(connection, workspace_hash)
    if found is None:
        for candidate in (path, placeholder(workspace_hash)):
            made = candidate and connection.execute(queries.INSERT_WORKSPACE, (candidate, workspace_hash)).fetchall()
            if made:
                return int(made[0][0])
        raise AssertionError("the placeholder of a new hash is already taken")
    if path and is_placeholder(found[1]):
        connection.execute(queries.SET_WORKSPACE_PATH, (path, found[0]))
    return found[0]


def next_position(connection: sqlite3.Connection, workspace_id: int, workspace_hash: str) -> int:
    """Return the position after everything in the workspace."""
    return int(connection.execute(queries.NEXT_POSITION, (workspace_id, workspace_hash)).fetchone()[0])


def insert_document(
    connection: sqlite3.Connection,
    document: WorktreeSession,
    *,
    workspace_id: int,
    workspace_hash: str,
    position: int | None,
    source_id: int | None = None,
    key: str | None = None,
) -> str:
    """Insert a valid document, with derived keys where its own are taken; return the session's key.

    :param key: a primary key that is known to be free; None finds one
    """
    if key is None:
        wanted = key_of_id(document["id"])
        spare = derived_key(wanted, workspace_hash, position or 0)
        key = free_key(wanted, spare, _is_taken(connection, queries.SESSION_KEY_TAKEN))
    rows = to_rows(document, key=key, workspace_id=workspace_id, position=position, source_id=source_id)
    connection.execute(queries.INSERT_SESSION, rows.session)
    _insert_children(connection, rows)
    return key


def require_stored(connection: sqlite3.Connection, key: str, document: WorktreeSession) -> None:
    """Check, before a transaction commits, that a document reads back as it was written.

    :param key: the primary key of its session row
    :raises TransactionError: it does not
    """
    stored = read_document(connection, key)
    if stored is None or stored.canonical_bytes() != canonical_bytes(document):
        raise TransactionError(
            f"The session {document['id']!r} does not read back from SQLite as it was written.",
            code="session.readback_failed",
            hint="Nothing was changed. Please report this as a bug, with the output of 'migrator doctor'.",
        )


def append_document(
    connection: sqlite3.Connection, document: WorktreeSession, *, workspace_id: int, workspace_hash: str
) -> str:
    """Insert a valid document after all others of the workspace; return the session's key."""
    unplaced = connection.execute(queries.WORKSPACE_HAS_UNPLACED, (workspace_id,)).fetchone()
    position = None if unplaced else next_position(connection, workspace_id, workspace_hash)
    return insert_document(
        connection, document, workspace_id=workspace_id, workspace_hash=workspace_hash, position=position
    )


def _is_taken(connection: AnyConnection, statement: str) -> Callable[[str], bool]:
    return lambda key: connection.execute(statement, (key,)).fetchone() is not None


def replace_document(connection: sqlite3.Connection, key: str, document: WorktreeSession) -> None:
    """Replace the document whose session row has this primary key with a valid one."""
    rows = to_rows(document, key=key)
    values = [getattr(rows.session, name) for name in queries.REPLACED_COLUMNS]
    connection.execute(queries.UPDATE_SESSION, (*values, key))
    for statement in queries.DELETE_CHILDREN:
        connection.execute(statement, (key,))
    _insert_children(connection, rows)


def _insert_children(connection: sqlite3.Connection, rows: DocumentRows) -> None:
    """Insert all rows of a document except the session's; messages get derived keys where theirs are taken."""
    connection.executemany(queries.INSERT_RUNTIME, rows.runtimes)
    connection.executemany(queries.INSERT_INSTANCE, rows.instances)
    statement = queries.insert_messages_or_ignore(1)
    if connection.executemany(statement, rows.messages).rowcount < len(rows.messages):
        connection.execute(queries.DELETE_MESSAGES, (rows.session.id,))  # some keys are taken: insert them one by one
        for row in rows.messages:
            insert_message(connection, row)


def append_message(connection: sqlite3.Connection, key: str, message: ChatMessage) -> None:
    """Insert a message after the others of the session with this primary key."""
    position, number = connection.execute(queries.NEXT_MESSAGE_POSITION, (key,)).fetchone()
    [row] = message_rows(key, [message], number if position is None else position)
    connection.execute(queries.INSERT_MESSAGE, _with_free_key(connection, row)._replace(position=position))


def find_instance(connection: sqlite3.Connection, key: str, number: int) -> int | None:
    """Return the row id of a session's first instance with this number; None if there is none."""
    if not 0 <= number < FIRST_INSTANCE_SUBSTITUTE:
        return None
    row = connection.execute(queries.INSTANCE_BY_NUMBER, (key, number)).fetchone()
    return int(row[0]) if row else None


def insert_message(connection: AnyConnection, row: MessageRow) -> None:
    """Insert a message, with a derived key if its own is taken."""
    connection.execute(queries.INSERT_MESSAGE, _with_free_key(connection, row))


def _with_free_key(connection: AnyConnection, row: MessageRow) -> MessageRow:
    """Return the row itself if its key is free, otherwise with a key derived from its place."""
    spare = derived_key(row.id, row.session_id, row.position or 0)
    key = free_key(row.id, spare, _is_taken(connection, queries.MESSAGE_KEY_TAKEN))
    return row if key == row.id else rekey(row, key)


def delete_document(connection: sqlite3.Connection, key: str) -> None:
    """Delete a session row and everything that belongs to it (foreign keys must be on)."""
    connection.execute(queries.DELETE_SESSION, (key,))


def replace_all(
    connection: sqlite3.Connection, documents: Sequence[WorktreeSession], *, workspace_id: int, workspace_hash: str
) -> None:
    """Make the workspace contain exactly these documents, in this order.

    Only documents that differ are written; the others keep their keys and their source file. Documents with the same id
    are matched in order: the first with the first, the second with the second, and so on.
    """
    present: defaultdict[str, deque[tuple[str, bytes]]] = defaultdict(deque)
    for stored in read_workspace(connection, workspace_id):
        present[stored.document["id"]].append((stored.key, stored.digest()))
    kept = [present[document["id"]].popleft() if present[document["id"]] else None for document in documents]
    for key, _ in chain.from_iterable(present.values()):
        delete_document(connection, key)
    wanted = []
    for document, found in zip(documents, kept, strict=True):
        if found is None:
            key = append_document(connection, document, workspace_id=workspace_id, workspace_hash=workspace_hash)
        else:
            key, known = found
            if digest(canonical_bytes(document)) != known:
                replace_document(connection, key, document)
        wanted.append(key)
    if wanted != [key for (key,) in connection.execute(queries.KEYS_OF_WORKSPACE, (workspace_id,))]:
        for position, key in enumerate(wanted):
            connection.execute(queries.MOVE_SESSION, (position, key))


def source_digest(connection: sqlite3.Connection, source_id: int) -> str:
    """Return the digest of a source file's documents as they are in the database now."""
    digest = SequenceDigest()
    for stored in read_source(connection, source_id):
        digest.add(stored.canonical_bytes())
    return digest.hexdigest()
