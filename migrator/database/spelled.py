"""Documents out of a database as the text that the app would write for them.

SQLite spells the messages: most of what there is to read need not become Python's values to be compared with a file.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from migrator.database import queries, spelled_queries
from migrator.database.connection import AnyConnection
from migrator.database.documents import StoredDocument, merged
from migrator.database.rows import Row
from migrator.documents.document import canonical, canonical_of_plain

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
        connection.execute(spelled_queries.SESSIONS_OF_STRETCH, bound),
        connection.execute(queries.RUNTIMES_OF_STRETCH, bound),
        connection.execute(queries.INSTANCES_OF_STRETCH, bound),
    )


def spelled_files(connection: AnyConnection, first: int, last: int) -> Iterator[SpelledDocument]:
    """What ``documents.read_files`` reads, as text."""
    bound = (first, last)
    return _spelled(
        connection.execute(spelled_queries.SESSIONS_OF_FILES, bound),
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
