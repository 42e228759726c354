"""The rows of the quarantine."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from migrator.database import queries
from migrator.database.columns import QuarantineRow
from migrator.documents.exact_json import to_json
from migrator.documents.parsing import Rejected, text_or_bytes
from migrator.errors import Problem, QuarantineError
from migrator.report import Report


@dataclass(frozen=True)
class QuarantinedItem(Report):
    """One row of the quarantine, without its text.

    :ivar source: the file that it came from, as the ledger calls it; None where a rollback has forgotten that
    :ivar workspace_path: None where the database does not know the workspace
    :ivar position: its place among the sessions of its workspace
    :ivar reason: ``invalid``, ``unreadable``, ``torn`` or ``conflict``
    :ivar size: of its text, in bytes
    """

    id: int
    source_id: int | None
    source: str | None
    workspace_hash: str | None
    workspace_path: str | None
    position: int
    reason: str
    problems: tuple[Problem, ...]
    created_at: str
    size: int

    def to_json(self) -> dict[str, Any]:
        """What ``list`` tells: the first problem, and how many there are."""
        first = self.problems[0]._asdict() if self.problems else None
        told = super().to_json() | {"problem": first, "problem_count": len(self.problems)}
        del told["problems"], told["source_id"]
        return told


def items_of(connection: sqlite3.Connection) -> list[QuarantinedItem]:
    """Every item, oldest first."""
    return [_item(row) for row in connection.execute(queries.QUARANTINED_ITEMS)]


def item_of(connection: sqlite3.Connection, number: int) -> QuarantinedItem:
    """The item of a number.

    :raises QuarantineError: there is none
    """
    row = connection.execute(queries.QUARANTINED_ITEM, (number,)).fetchone() if number < 1 << 63 else None
    if row is None:
        raise unknown_item(number)
    return _item(row)


def unknown_item(number: int) -> QuarantineError:
    """The error where an item is asked for that is not there."""
    return QuarantineError(
        f"There is nothing in quarantine with the number {number}.", hint="'migrator quarantine list' shows what is."
    )


def _item(row: Sequence[Any]) -> QuarantinedItem:
    members = dict(zip(QuarantinedItem.__annotations__, row, strict=True))
    text = members["problems"]
    try:
        problems = tuple(Problem(str(p["pointer"]), str(p["found"]), str(p["expected"])) for p in orjson.loads(text))
    except (ValueError, TypeError, KeyError):
        problems = (Problem("", text, "a list of problems"),)  # an invalid record is shown as it is
    return QuarantinedItem(**members | {"problems": problems})


def texts_of(connection: sqlite3.Connection, number: int) -> tuple[bytes, bytes | None]:
    """The bytes of an item, and those of the version that both sides of a conflict started from."""
    raw, base = connection.execute(queries.QUARANTINED_TEXTS, (number,)).fetchone()
    return _bytes(raw), None if base is None else _bytes(base)


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def quarantine_row(
    source_id: int | None, workspace_hash: str | None, position: int, rejected: Rejected, base: bytes | None = None
) -> QuarantineRow:
    """The row for what is no valid session, or the losing version of a conflict."""
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
