"""Reads and makes the rows of the quarantine."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Container, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import orjson

from migrator.database import quarantine_queries, queries
from migrator.database.columns import QuarantineRow
from migrator.documents.document import WorktreeSession
from migrator.documents.exact_json import to_json
from migrator.documents.parsing import Rejected, text_or_bytes
from migrator.errors import Problem, QuarantineError
from migrator.report import Report
from migrator.workspace import workspace_of_source, workspace_shown

Reason = Literal["invalid", "unreadable", "torn", "conflict", "deleted"]
_NAMES = ("id", "task")
_SHARED_FILE = "sessions.json"
_LONG = re.compile(rb'"(?:instances|chatHistory)"')
_BEGINNING = 1 << 16  # bytes of a text that is not JSON, in which the id and the task are looked for


@dataclass(frozen=True)
class QuarantinedItem(Report):
    """One row of the quarantine, without its text.

    :ivar source: the file that it came from, as in the ledger; None if a rollback has removed that link
    :ivar workspace_path: None if the database does not know the workspace
    :ivar position: its place among the sessions of its workspace
    :ivar reason: ``invalid``, ``unreadable``, ``torn`` (truncated), ``conflict`` or ``deleted``
    :ivar size: the size of its text in bytes
    :ivar session_id: the id of the session; None if its text has none that can be read
    :ivar task: its task, likewise
    """

    id: int
    source_id: int | None
    source: str | None
    workspace_hash: str | None
    workspace_path: str | None
    position: int
    reason: Reason
    problems: tuple[Problem, ...]
    created_at: str
    size: int
    session_id: str | None = None
    task: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return what ``quarantine list`` shows: only the first problem, and the number of problems."""
        first = self.problems[0]._asdict() if self.problems else None
        shown = super().to_json() | {"problem": first, "problem_count": len(self.problems)}
        del shown["problems"], shown["source_id"]
        return shown


def items_of(connection: sqlite3.Connection) -> list[QuarantinedItem]:
    """Return every item, oldest first."""
    return [_item(row) for row in connection.execute(quarantine_queries.QUARANTINED_ITEMS)]


def item_of(connection: sqlite3.Connection, number: int) -> QuarantinedItem:
    """Return the item with this number.

    :raises QuarantineError: there is none
    """
    row = connection.execute(quarantine_queries.QUARANTINED_ITEM, (number,)).fetchone() if number < 1 << 63 else None
    if row is None:
        raise unknown_item(number)
    return _item(row)


def unknown_item(number: int) -> QuarantineError:
    """Return the error for an item that does not exist."""
    return QuarantineError(
        f"There is no quarantined item {number}.",
        code="quarantine.not_found",
        hint="'migrator quarantine list' shows all items.",
    )


def _item(row: Sequence[Any]) -> QuarantinedItem:
    *columns, raw = row
    session_id, task = _named(_bytes(raw or b""))
    members = dict(zip(QuarantinedItem.__annotations__, (*columns, session_id, task), strict=True))
    text = members["problems"]
    try:
        problems = tuple(_problem(members) for members in orjson.loads(text))
    except (ValueError, TypeError, KeyError):
        # An invalid record is shown as it is; one on a damaged page may have lost its values.
        problems = (Problem("", text or "nothing", "a list of problems"),)
    members |= {"problems": problems, "reason": members["reason"] or "unreadable", "size": members["size"] or 0}
    return QuarantinedItem(**members)


def _named(raw: bytes) -> tuple[str | None, str | None]:
    """Return the id and the task of a session, as far as they can be read in its text."""
    try:
        document = orjson.loads(raw)
        found = [document.get(name) for name in _NAMES] if isinstance(document, dict) else []
    except ValueError:  # its beginning may be whole; these two come before everything long
        beginning = _LONG.split(raw[:_BEGINNING], maxsplit=1)[0].decode("utf-8", "replace")
        matches = (re.search(rf'"{name}"\s*:\s*("(?:[^"\\]|\\.)*")', beginning) for name in _NAMES)
        found = [match and _string(match[1]) for match in matches]
    session_id, task = ([value if isinstance(value, str) else None for value in found] + [None, None])[:2]
    return session_id, task


def _string(literal: str) -> str | None:
    try:
        return str(json.loads(literal, strict=False))
    except ValueError:
        return None


def _problem(members: dict[str, Any]) -> Problem:
    """Return a stored problem; earlier versions stored no codes."""
    pointer, found, expected = (str(members[name]) for name in ("pointer", "found", "expected"))
    return Problem(pointer, found, expected, str(members.get("code") or "document.invalid"))


def texts_of(connection: sqlite3.Connection, number: int) -> tuple[bytes, bytes | None]:
    """Return the bytes of an item, and for a conflict those of the version that both sides started from."""
    raw, base = connection.execute(queries.QUARANTINED_TEXTS, (number,)).fetchone()
    return _bytes(raw), None if base is None else _bytes(base)


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def workspace_of_item(
    item: QuarantinedItem, document: WorktreeSession, paths: Container[str]
) -> tuple[str, str | None]:
    """Return hash and path of the workspace that a session goes to when it leaves the quarantine.

    It is that of the item's file; for the shared file, what the session's worktrees show.

    :param paths: the hashes of the known workspaces
    """
    if item.reason not in ("conflict", "deleted") and item.source == _SHARED_FILE:
        return workspace_shown(document, _SHARED_FILE, paths)
    if item.workspace_hash is not None:
        return item.workspace_hash, item.workspace_path
    return workspace_of_source(item.source or "quarantine")


def quarantine_row(
    source_id: int | None, workspace_hash: str | None, position: int, rejected: Rejected, base: bytes | None = None
) -> QuarantineRow:
    """Make the row for an invalid session or for the losing version of a conflict."""
    return QuarantineRow(
        source_id,
        workspace_hash,
        position,
        rejected.reason,
        text_or_bytes(rejected.raw),
        None if base is None else text_or_bytes(base),
        to_json([problem._asdict() for problem in rejected.problems]),
        datetime.now(UTC).isoformat(timespec="seconds"),
    )
