"""Documents out of a database in their canonical form: the text that the app would write for them.

SQLite makes the text of the messages: most of what there is to read need not become Python's values to be compared with
a file.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from migrator.database import queries
from migrator.database.columns import SESSION_COLUMNS
from migrator.database.connection import AnyConnection
from migrator.database.documents import StoredDocument, merged, read_document, read_source
from migrator.database.rows import Row
from migrator.documents.document import SequenceDigest

_NO_MESSAGES = b'"chatHistory": []'  # no text of a user's can hold it: there the quotation marks would be escaped


class CanonicalDocument(NamedTuple):
    """A document as text.

    :ivar stored: without its messages if not ``whole``
    :ivar text: its canonical form; of one that is not whole and of which something had to be rescued, anything
    """

    stored: StoredDocument
    text: bytes
    whole: bool


def canonical_range(connection: AnyConnection, source_id: int, begin: int, end: int) -> Iterator[CanonicalDocument]:
    """What ``documents.read_range`` reads, as text."""
    return _read(connection, SESSIONS_OF_RANGE, queries.DOCUMENTS_OF_RANGE, (source_id, begin, end))


def canonical_files(connection: AnyConnection, first: int, last: int) -> Iterator[CanonicalDocument]:
    """The documents of several source files, of consecutive numbers, as text."""
    return _read(connection, SESSIONS_OF_FILES, queries.DOCUMENTS_OF_FILES, (first, last))


def read_whole(connection: AnyConnection, found: CanonicalDocument) -> CanonicalDocument:
    """One that is not whole, with its messages."""
    stored = read_document(connection, found.stored.key) or found.stored
    return CanonicalDocument(stored, stored.canonical_bytes(), whole=True)


def _read(
    connection: AnyConnection, sessions: str, others: queries.DocumentStatements, values: Sequence[Any]
) -> Iterator[CanonicalDocument]:
    chats: deque[bytes | None] = deque()

    def without_chats() -> Iterator[Row]:
        for row in connection.execute(sessions, values):
            chats.append(row[-1])
            yield row

    runtimes, instances = connection.execute(others.runtimes, values), connection.execute(others.instances, values)
    for stored in merged(without_chats(), runtimes, instances, ()):
        text, chat = stored.canonical_bytes(), chats.popleft()
        if chat is None:
            yield CanonicalDocument(stored, text, whole=True)
        else:
            before, _, behind = text.partition(_NO_MESSAGES)
            text = b"".join((before, b'"chatHistory": [\n', chat, b"\n    ]", behind))
            yield CanonicalDocument(stored, text, whole=False)


def _original(column: str) -> str:
    """What a rescued id or content was, as long as its column holds the stand-in."""
    return f"""CASE
        WHEN m.rescued_data IS NOT NULL AND m.{column} = json_extract(m.rescued_data, '$.columns.{column}[0]')
        THEN json_extract(m.rescued_data, '$.columns.{column}[1]') ELSE m.{column} END"""


# Within a workspace file. A message that has other members besides leaves a gap.
_MESSAGE = f"""CASE WHEN m.rescued_data IS NOT NULL AND json_type(m.rescued_data, '$.members') IS NOT NULL THEN ''
    ELSE '      {{
        "id": ' || json_quote({_original("id")}) || ',
        "role": ' || json_quote(m.role) || ',
        "content": ' || json_quote({_original("content")}) || ',
        "timestamp": ' || json_quote(m.timestamp) || ',
        "instanceId": ' || coalesce(m.instance_id, 'null') || '
      }}' END"""
# Sessions with all of their messages as one value: NULL where there are none.
_SESSIONS = f"""
    SELECT {queries.columns("s", SESSION_COLUMNS)}, s.rowid, CAST((
        SELECT group_concat({_MESSAGE}, ',
') FROM (SELECT * FROM chat_messages c WHERE c.session_id = s.id ORDER BY c.position NULLS LAST, c.rowid) m
    ) AS BLOB)
    FROM sessions s
"""
SESSIONS_OF_RANGE = f"{_SESSIONS} WHERE {queries.IN_RANGE} ORDER BY {queries.ORDER}"
SESSIONS_OF_FILES = f"{_SESSIONS} WHERE {queries.IN_FILES} ORDER BY {queries.FILES_IN_ORDER}"


def source_digest(connection: sqlite3.Connection, source_id: int, seen: Callable[[int], None] | None = None) -> str:
    """The digest of a source's documents as the database holds them now.

    :param seen: called with the size of each document's canonical form, in bytes
    """
    digest = SequenceDigest()
    for stored in read_source(connection, source_id):
        text = stored.canonical_bytes()
        digest.add(text)
        if seen:
            seen(len(text))
    return digest.hexdigest()
