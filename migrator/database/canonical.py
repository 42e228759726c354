"""Documents out of a database as the text that the app would write for them.

SQLite spells the messages: most of what there is to read need not become Python's values to be compared with a file.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from migrator.database import queries
from migrator.database.connection import AnyConnection
from migrator.database.documents import StoredDocument, merged, read_source
from migrator.database.queries import _FILES_IN_ORDER, _IN_FILES, _IN_STRETCH, _ORDER, _SESSION
from migrator.database.rows import Row
from migrator.documents.document import SequenceDigest, canonical, canonical_of_plain

_NO_MESSAGES = b'"chatHistory": []'  # no text of a user's can hold it: there the quotation marks would be escaped


class SpelledDocument(NamedTuple):
    """A document as text.

    :ivar stored: without its messages if not ``whole``
    :ivar text: its canonical form; of one that is not whole and of which something had to be rescued, anything
    """

    stored: StoredDocument
    text: bytes
    whole: bool


def spelled(stored: StoredDocument) -> bytes:
    """The canonical form of a document that was read."""
    return canonical_of_plain(stored.document) if stored.plain else canonical(stored.document)


def spelled_stretch(connection: AnyConnection, source_id: int, begin: int, end: int) -> Iterator[SpelledDocument]:
    """What ``documents.read_stretch`` reads, as text."""
    bound = (source_id, begin, end)
    return _spelled(
        connection.execute(SESSIONS_OF_STRETCH, bound),
        connection.execute(queries.RUNTIMES_OF_STRETCH, bound),
        connection.execute(queries.INSTANCES_OF_STRETCH, bound),
    )


def spelled_files(connection: AnyConnection, first: int, last: int) -> Iterator[SpelledDocument]:
    """What ``documents.read_files`` reads, as text."""
    bound = (first, last)
    return _spelled(
        connection.execute(SESSIONS_OF_FILES, bound),
        connection.execute(queries.RUNTIMES_OF_FILES, bound),
        connection.execute(queries.INSTANCES_OF_FILES, bound),
    )


def _spelled(sessions: Iterable[Row], runtimes: Iterable[Row], instances: Iterable[Row]) -> Iterator[SpelledDocument]:
    chats: deque[bytes | None] = deque()

    def without_chats() -> Iterator[Row]:
        for row in sessions:
            chats.append(row[-1])
            yield row

    for stored in merged(without_chats(), runtimes, instances, ()):
        text, chat = spelled(stored), chats.popleft()
        if chat is None:
            yield SpelledDocument(stored, text, whole=True)
        else:
            before, _, behind = text.partition(_NO_MESSAGES)
            text = b"".join((before, b'"chatHistory": [\n', chat, b"\n    ]", behind))
            yield SpelledDocument(stored, text, whole=False)


# What a rescued id or content was, as long as its column holds the stand-in.
_ORIGINAL = """CASE WHEN m.rescued_data IS NOT NULL AND m.{0} = json_extract(m.rescued_data, '$.columns.{0}[0]')
        THEN json_extract(m.rescued_data, '$.columns.{0}[1]') ELSE m.{0} END"""


# Within a workspace file. A message that has other members besides leaves a gap.
_MESSAGE = f"""CASE WHEN m.rescued_data IS NOT NULL AND json_type(m.rescued_data, '$.members') IS NOT NULL THEN ''
    ELSE '      {{
        "id": ' || json_quote({_ORIGINAL.format("id")}) || ',
        "role": ' || json_quote(m.role) || ',
        "content": ' || json_quote({_ORIGINAL.format("content")}) || ',
        "timestamp": ' || json_quote(m.timestamp) || ',
        "instanceId": ' || coalesce(m.instance_id, 'null') || '
      }}' END"""


# Sessions with all of their messages as one value: NULL where there are none.
_SESSIONS = f"""
    SELECT {_SESSION}, s.rowid, CAST((
        SELECT group_concat({_MESSAGE}, ',
') FROM (SELECT * FROM chat_messages c WHERE c.session_id = s.id ORDER BY c.position NULLS LAST, c.rowid) m
    ) AS BLOB)
    FROM sessions s
"""


SESSIONS_OF_STRETCH = f"{_SESSIONS} WHERE {_IN_STRETCH} ORDER BY {_ORDER}"


SESSIONS_OF_FILES = f"{_SESSIONS} WHERE {_IN_FILES} ORDER BY {_FILES_IN_ORDER}"


def source_digest(connection: sqlite3.Connection, source_id: int, seen: Callable[[int], None] | None = None) -> str:
    """The digest of a source's documents as the database holds them now.

    :param seen: called with the size of each document's canonical form, in bytes
    """
    digest = SequenceDigest()
    for stored in read_source(connection, source_id):
        text = spelled(stored)
        digest.add(text)
        if seen:
            seen(len(text))
    return digest.hexdigest()
