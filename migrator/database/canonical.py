"""Documents out of a database in their canonical form: the text that the app would write for them.

SQLite makes the text of the messages: most of what there is to read need not become Python's values to be compared with
a file.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from migrator.database import queries
from migrator.database.columns import SESSION_COLUMNS
from migrator.database.connection import AnyConnection
from migrator.database.documents import StoredDocument, merged, read_document
from migrator.database.rows import Row

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
    """The documents of a source file from the position ``begin`` to before ``end``, as text."""
    return _read(connection, SESSIONS_OF_RANGE, queries.DOCUMENTS_OF_RANGE, (source_id, begin, end))


def canonical_files(connection: AnyConnection, first: int, last: int) -> Iterator[CanonicalDocument]:
    """The documents of several source files, of consecutive numbers, as text."""
    return _read(connection, SESSIONS_OF_FILES, queries.DOCUMENTS_OF_FILES, (first, last))


def whole(stored: StoredDocument) -> CanonicalDocument:
    """A document that was read with its messages, as text."""
    return CanonicalDocument(stored, stored.canonical_bytes(), whole=True)


def read_whole(connection: AnyConnection, found: CanonicalDocument) -> CanonicalDocument:
    """One that is not whole, with its messages."""
    return whole(read_document(connection, found.stored.key) or found.stored)


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
    SELECT {queries.aliased("s", SESSION_COLUMNS)}, s.rowid, CAST((
        SELECT group_concat({_MESSAGE}, ',
') FROM (SELECT * FROM chat_messages c WHERE c.session_id = s.id ORDER BY c.position NULLS LAST, c.rowid) m
    ) AS BLOB)
    FROM sessions s
"""
SESSIONS_OF_RANGE = f"{_SESSIONS} WHERE {queries.IN_RANGE} ORDER BY {queries.ORDER}"
SESSIONS_OF_FILES = f"{_SESSIONS} WHERE {queries.IN_FILES} ORDER BY {queries.FILES_IN_ORDER}"
