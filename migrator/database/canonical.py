"""Reads documents in their canonical form: the text that the app would write for them.

SQLite builds the text of the messages, so that most of the data need not become Python values before it is compared
with a file.
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

_NO_MESSAGES = b'"chatHistory": []'  # cannot occur in a user's text: its quotation marks would be escaped


class CanonicalDocument(NamedTuple):
    """A document as text.

    :ivar stored: the document, without its messages if not ``whole``
    :ivar text: its canonical form; undefined if the document is not whole and something in it had to be rescued
    :ivar whole: ``stored`` has its messages, and ``text`` is reliable
    """

    stored: StoredDocument
    text: bytes
    whole: bool


def canonical_range(connection: AnyConnection, source_id: int, begin: int, end: int) -> Iterator[CanonicalDocument]:
    """Read the documents of a source file from position ``begin`` up to, not including, ``end``."""
    return _read(connection, _statement(connection, _RANGE), queries.DOCUMENTS_OF_RANGE, (source_id, begin, end))


def canonical_files(connection: AnyConnection, first: int, last: int) -> Iterator[CanonicalDocument]:
    """Read the documents of several source files with consecutive numbers."""
    return _read(connection, _statement(connection, _FILES), queries.DOCUMENTS_OF_FILES, (first, last))


def whole(stored: StoredDocument) -> CanonicalDocument:
    """Return the text of a document that was read with its messages."""
    return CanonicalDocument(stored, stored.canonical_bytes(), whole=True)


def read_whole(connection: AnyConnection, found: CanonicalDocument) -> CanonicalDocument:
    """Read a document that is not whole again, with its messages."""
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
            before, _, after = text.partition(_NO_MESSAGES)
            text = b"".join((before, b'"chatHistory": [\n', chat, b"\n    ]", after))
            yield CanonicalDocument(stored, text, whole=False)


def _original(column: str) -> str:
    """Return SQL for the original of a rescued id, role or content, if the column still holds the substitute value."""
    return f"""CASE
        WHEN m.rescued_data IS NOT NULL AND m.{column} = json_extract(m.rescued_data, '$.columns.{column}[0]')
        THEN json_extract(m.rescued_data, '$.columns.{column}[1]') ELSE m.{column} END"""


# A message as it is written in a workspace file.
_PARTS = (
    """'      {
        "id": '""",
    f"json_quote({_original('id')})",
    """',
        "role": '""",
    f"json_quote({_original('role')})",
    """',
        "content": '""",
    f"json_quote({_original('content')})",
    """',
        "timestamp": '""",
    "json_quote(m.timestamp)",
    """',
        "instanceId": '""",
    "coalesce(m.instance_id, 'null')",
    """'
      }'""",
)


def _sessions(message: str) -> str:
    """Return SQL for sessions with all of their messages as one value: NULL if there are none.

    A message with unknown members becomes an empty text.
    """
    return f"""
    SELECT {queries.aliased("s", SESSION_COLUMNS)}, s.rowid, CAST((
        SELECT group_concat(
            CASE WHEN m.rescued_data IS NOT NULL AND json_type(m.rescued_data, '$.members') IS NOT NULL THEN ''
            ELSE {message} END, ',
') FROM (SELECT * FROM chat_messages c WHERE c.session_id = s.id ORDER BY c.position NULLS LAST, c.rowid) m
    ) AS BLOB)
    FROM sessions s
"""


# With SQLite's function, the text is put together once, in a fifth less time.
_CONCAT_SINCE = (3, 44)
_BY_CONCAT, _BY_OPERATOR = _sessions(f"concat({', '.join(_PARTS)})"), _sessions(" || ".join(_PARTS))


def _statement(connection: AnyConnection, which: str) -> str:
    [(version,)] = connection.execute("SELECT sqlite_version()").fetchall()
    found = tuple(map(int, version.split(".")[:2]))
    return (_BY_CONCAT if found >= _CONCAT_SINCE else _BY_OPERATOR) + which


_RANGE = f"WHERE {queries.IN_RANGE} ORDER BY {queries.ORDER}"
_FILES = f"WHERE {queries.IN_FILES} ORDER BY {queries.FILES_IN_ORDER}"
# For the check of all SQL: the form that any SQLite can prepare.
SESSIONS_OF_RANGE = _BY_OPERATOR + _RANGE
SESSIONS_OF_FILES = _BY_OPERATOR + _FILES
