"""A session's instances and messages as plain values: no member needs rescuing, so that no row is made one by one."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any, NamedTuple

from migrator.database.columns import MessageRow
from migrator.database.rows import ROLES, SURELY_SHORT, Row, key_of_id, message_rows
from migrator.documents.document import MESSAGE_MEMBERS

_WIDTH = len(MESSAGE_MEMBERS)
_ROLE, _CONTENT = MESSAGE_MEMBERS.index("role"), MESSAGE_MEMBERS.index("content")


def plain_instance_rows(key: str, instances: Sequence[tuple[Any, ...]]) -> list[Row] | None:
    """Make the rows of instances whose values are in the order of the app's struct; None if an instanceId repeats."""
    if len({instance[0] for instance in instances}) < len(instances):
        return None
    return [(key, *instance, position, None) for position, instance in enumerate(instances)]


class PlainMessages(NamedTuple):
    """A session's messages as plain values, from which rows are inserted directly.

    :ivar values: the values of all messages, concatenated, in the order of PLAIN_MESSAGE_COLUMNS
    :ivar empty: the positions of messages without content, which need a substitute value in the database
    """

    values: list[Any]
    empty: list[int]

    def __len__(self) -> int:
        return len(self.values) // _WIDTH

    def between(self, first: int, end: int) -> list[Any]:
        """Return the values of the messages from position ``first`` up to, but not including, ``end``."""
        return self.values[first * _WIDTH : end * _WIDTH]

    def columns(self, first: int, end: int) -> list[list[Any]]:
        """Return these messages' values by column."""
        values = self.between(first, end)
        return [values[number::_WIDTH] for number in range(_WIDTH)]


def plain_messages(messages: Sequence[Any]) -> PlainMessages | None:
    """Return a session's messages as plain values, or None if one has an id or members that need rescuing.

    There are a hundred times more messages than sessions, so all messages of a session are checked at once.
    """
    if messages and set(map(tuple, messages)) != {MESSAGE_MEMBERS}:
        return None
    return plain_of_values(list(chain.from_iterable(map(dict.values, messages))))


def plain_of_values(values: list[Any]) -> PlainMessages | None:
    """Make plain messages from their concatenated values, or return None if an id needs rescuing."""
    names, roles, contents = values[::_WIDTH], values[_ROLE::_WIDTH], values[_CONTENT::_WIDTH]
    distinct = set(names)
    if len(distinct) < len(names) or "" in distinct or not ROLES.issuperset(roles):
        return None
    if max(map(len, names), default=0) > SURELY_SHORT and any(key_of_id(name) != name for name in names):
        return None
    return PlainMessages(values, [] if all(contents) else [n for n, content in enumerate(contents) if not content])


def plain_message_rows(key: str, messages: PlainMessages, first: int, end: int) -> list[MessageRow]:
    """Make rows of the plain messages from position ``first`` up to ``end``; ``key`` is the session's key."""
    columns = messages.columns(first, end)
    each = (dict(zip(MESSAGE_MEMBERS, message, strict=True)) for message in zip(*columns, strict=True))
    return message_rows(key, each, first)
