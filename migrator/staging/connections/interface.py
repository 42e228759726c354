"""What loading and reading back need of a connection to a staging database."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, Protocol

from migrator.database.columns import MessageRow
from migrator.database.connection import AnyConnection
from migrator.database.documents import insert_message
from migrator.database.rows import Row
from migrator.staging import queries
from migrator.staging.plain_messages import PlainMessages

LoaderName = Literal["apsw", "sqlite-utils"]


# A session's key and its messages in order.
SessionMessages = tuple[str, PlainMessages | Sequence[MessageRow]]


class StagedConnection(AnyConnection, Protocol):
    """A connection to a staging database, as both loaders offer it; its errors are translated by ``staged_errors``."""

    def insert(self, table: str, columns: tuple[str, ...], rows: Sequence[Row]) -> None:
        """Insert rows, whose values are in the order of the columns."""

    def insert_messages(self, sessions: Iterable[SessionMessages]) -> None:
        """Insert the messages of sessions in order, under new keys if theirs are taken."""

    def changes(self) -> int:
        """Return the number of rows that the last statement changed."""


def insert_again(connection: StagedConnection, rows: Iterable[MessageRow], last: int) -> None:
    """Insert messages one by one, because some were skipped: their keys are taken.

    :param last: the last row id before them; what follows is deleted first, so that all rows are in document order
    """
    connection.execute(queries.DELETE_MESSAGES_AFTER, (last,))
    for row in rows:
        insert_message(connection, row)
