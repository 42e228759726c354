"""List, show and export what is in quarantine, and find the items that a command names.

Nothing here changes the quarantine; :mod:`migrator.quarantine.retry` does.
"""

from __future__ import annotations

import base64
import difflib
import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from migrator.authority import read_state, require_history
from migrator.data_dir import DataDir
from migrator.database.connection import opened
from migrator.database.errors import sqlite_errors
from migrator.database.quarantine import QuarantinedItem, item_of, items_of, texts_of, unknown_item
from migrator.documents.app_format import app_bytes
from migrator.documents.exact_json import Unreadable, parse_exactly
from migrator.documents.parsing import parse_element
from migrator.errors import QuarantineError, UsageError
from migrator.files import durable
from migrator.files.output import NewFiles, new_files
from migrator.quarantine.conflict import ConflictFinder
from migrator.report import Report

_LONGEST = 160  # characters of a line of a diff


@dataclass(frozen=True)
class QuarantineList(Report):
    """Everything in quarantine, oldest first."""

    items: tuple[QuarantinedItem, ...]


@dataclass(frozen=True)
class ShownItem(Report):
    """One item with everything that is known about it.

    :ivar raw: its bytes as they were in the file; of a conflict, the file's version
    :ivar base: of a conflict: the version that both sides started from
    :ivar stored: of a conflict: SQLite's version; None if SQLite has none, or it is unclear which one it is
    """

    item: QuarantinedItem
    raw: bytes
    base: bytes | None
    stored: bytes | None

    @property
    def is_text(self) -> bool:
        """Whether the bytes are UTF-8; if not, ``text`` shows replacement characters for the others."""
        return self.text.encode() == self.raw

    @property
    def text(self) -> str:
        """The bytes as text."""
        return self.raw.decode("utf-8", "replace")

    @property
    def file_name(self) -> str:
        """The name of its file in an export."""
        return f"{self.item.id}.{suffix_of(self.raw)}"

    def difference(self) -> Iterator[str]:
        """The lines of a unified diff from SQLite's version of a conflict to the file's, both as the app writes them.

        Long lines are in pieces.
        """
        if self.item.reason == "conflict":
            ours = _lines(self.stored) if self.stored else []
            yield from difflib.unified_diff(ours, _lines(self.raw), "in SQLite", "in the file", lineterm="")

    def to_json(self) -> dict[str, Any]:
        members = self.item.to_json()
        members["problems"] = [problem._asdict() for problem in self.item.problems]
        members |= {"raw": self.text, "raw_is_utf8": self.is_text}
        if not self.is_text:
            members["raw_base64"] = base64.b64encode(self.raw).decode("ascii")
        if self.item.reason == "conflict":
            members["base"] = None if self.base is None else self.base.decode("utf-8", "replace")
            members["in_sqlite"] = None if self.stored is None else self.stored.decode("utf-8", "replace")
            members["diff"] = "\n".join(self.difference())
        return members


def _lines(raw: bytes) -> list[str]:
    """The lines of a document: within a string, too, one for each line of the text."""
    with suppress(Unreadable):  # it was changed in the database: as it is
        raw = app_bytes(parse_element(raw).value)
    lines = raw.decode("utf-8", "replace").replace("\\n", "\\n\n").split("\n")
    return [line[at : at + _LONGEST] for line in lines for at in range(0, max(1, len(line)), _LONGEST)]


@dataclass(frozen=True)
class ExportedItem:
    """The files that an export wrote for one item."""

    id: int
    file: str
    base: str | None = None
    in_sqlite: str | None = None


@dataclass(frozen=True)
class ExportedItems(Report):
    """What an export wrote, and where."""

    directory: str
    items: tuple[ExportedItem, ...]


def list_quarantine(data_dir: DataDir) -> QuarantineList:
    """Everything in quarantine, oldest first.

    :raises ConnectionFailed: there is no database
    """
    with _reading(data_dir) as connection:
        return QuarantineList(() if connection is None else tuple(items_of(connection)))


def show_quarantined(data_dir: DataDir, number: int) -> ShownItem:
    """One item in full.

    :raises QuarantineError: there is no item of that number
    """
    with _reading(data_dir) as connection:
        if connection is None:
            raise unknown_item(number)
        return _shown(connection, ConflictFinder(connection, data_dir), item_of(connection, number))


def export_quarantine(data_dir: DataDir, target: Path) -> ExportedItems:
    """Write the bytes of every item into a folder: ``<id>.json``, or ``<id>.txt`` if it is not JSON.

    A conflict also gets ``<id>.base.json``, the version that both sides started from, and ``<id>.sqlite.json``,
    SQLite's version, if they are known. Nothing is overwritten.

    :raises StorageIOError: a file of that name exists, or cannot be written
    """
    written = []
    with _reading(data_dir) as connection:
        durable.make_private_folder(target)
        with new_files(target, "quarantine") as files:
            if connection is not None:
                conflicts = ConflictFinder(connection, data_dir)
                written = [_write(_shown(connection, conflicts, item), files) for item in items_of(connection)]
    return ExportedItems(os.fspath(target), tuple(written))


def require_choice(numbers: Sequence[int], *, every: bool, reason: str | None) -> None:
    """Check that a command names either items, or all of them.

    :raises UsageError: it names neither or both, or a reason without all
    """
    if every and numbers:
        raise UsageError("Item numbers and --all cannot be combined.", code="option.conflict", hint="Give only one.")
    if not every and not numbers:
        raise UsageError("No item was given.", code="option.missing", hint="Give item numbers, or --all.")
    if reason is not None and not every:
        raise UsageError("--reason needs --all.", code="option.conflict")


def chosen_items(
    connection: sqlite3.Connection, numbers: Sequence[int] | None, reason: str | None
) -> list[QuarantinedItem]:
    """The items of these numbers; None means all with this reason, or all but the deleted sessions.

    :raises QuarantineError: there is no item of a number
    """
    if numbers is not None:
        return [item_of(connection, number) for number in dict.fromkeys(numbers)]
    return [item for item in items_of(connection) if (item.reason == reason if reason else item.reason != "deleted")]


def _write(shown: ShownItem, files: NewFiles) -> ExportedItem:
    number = shown.item.id

    def add(name: str, content: bytes | None) -> str | None:
        if content is None:
            return None
        files.require_free(name)
        files.add(name, [content])
        return os.fspath(files.folder / name)

    add(shown.file_name, shown.raw)
    return ExportedItem(
        number,
        os.fspath(files.folder / shown.file_name),
        add(f"{number}.base.json", shown.base),
        add(f"{number}.sqlite.json", shown.stored),
    )


@contextmanager
def _reading(data_dir: DataDir) -> Iterator[sqlite3.Connection | None]:
    """A read transaction on the database; None if its tables are older than the quarantine."""
    path = data_dir.database
    require_history(data_dir)
    with opened(path, read_only=True) as connection, sqlite_errors("read the quarantine", path):
        connection.execute("BEGIN")
        known = read_state(connection, path).has_ledger
        yield connection if known else None


def _shown(connection: sqlite3.Connection, conflicts: ConflictFinder, item: QuarantinedItem) -> ShownItem:
    raw, base = texts_of(connection, item.id)
    stored = None
    if item.reason == "conflict":
        try:
            found = conflicts.find(item, raw)
        except QuarantineError:
            found = None
        stored = None if found is None else app_bytes(found.document)
    return ShownItem(item, raw, base, stored)


def suffix_of(raw: bytes) -> str:
    """``json``, or ``txt`` for what is not JSON."""
    try:
        parse_exactly(raw)
    except Unreadable:
        try:
            json.loads(raw, parse_constant=_refuse)
        except (ValueError, RecursionError):
            return "txt"
    return "json"


def _refuse(name: str) -> None:
    raise ValueError(name)
