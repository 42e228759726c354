"""Copies all rows of a damaged database that can be read to a new one, around the pages that cannot be read."""

from __future__ import annotations

import heapq
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from migrator.database import schema
from migrator.database.connection import opened
from migrator.database.errors import sqlite_errors
from migrator.salvage import queries

_FIRST, _LAST = -(1 << 63), (1 << 63) - 1
_MOST_FAILURES = 20_000  # of statements on one table: enough for a hundred damaged pages
_LEFT_OUT = ("search_index", "_sqlite_migrations")  # the copy has its own


class Databases(NamedTuple):
    """The damaged database, in a read transaction, and the copy, in a write transaction."""

    damaged: sqlite3.Connection
    copy: sqlite3.Connection


class _NotUtf8(bytes):
    """A text of the damaged database that is not UTF-8."""


def _text(raw: bytes) -> str | _NotUtf8:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return _NotUtf8(raw)


@contextmanager
def both_open(damaged: Path, copy: Path) -> Iterator[Databases]:
    """Make a new database, and open it together with the damaged one.

    :raises ConnectionFailed: not even the names of its tables can be read
    """
    with (
        opened(damaged, read_only=True) as source,
        opened(copy, create=True) as target,
        sqlite_errors("read what is left", damaged),
    ):
        source.text_factory = _text
        _use_pages_of(source, target)
        schema.create(target)
        target.execute("PRAGMA foreign_keys = OFF")
        source.execute("BEGIN")
        target.execute("BEGIN")
        yield Databases(source, target)
        target.execute("COMMIT")


def _use_pages_of(source: sqlite3.Connection, target: sqlite3.Connection) -> None:
    """Give an empty copy pages of the same size, so that it can be put in the place of a database that others use."""
    mode = target.execute("PRAGMA journal_mode").fetchone()[0]
    target.execute("PRAGMA journal_mode = DELETE")  # otherwise the size cannot change
    target.execute(f"PRAGMA page_size = {source.execute('PRAGMA page_size').fetchone()[0]}")
    target.execute("VACUUM")
    target.execute(f"PRAGMA journal_mode = {mode}")


def copy_tables(both: Databases) -> list[str]:
    """Copy every table that both databases have; return the names of those with rows that cannot be read."""
    both.copy.execute(queries.FORGET_METADATA)
    found = {name for name, _ in both.damaged.execute(queries.TABLES_BY_KIND)}
    tables = [
        row
        for row in both.copy.execute(queries.TABLES_BY_KIND).fetchall()
        if row[0] in found and row[0] not in _LEFT_OUT
    ]
    return [name for name, without_rowid in tables if not _Table(both, name, by_rowid=not without_rowid).copy()]


class _Table:
    """One table to copy."""

    def __init__(self, both: Databases, name: str, *, by_rowid: bool) -> None:
        self._both = both
        self._by_rowid = by_rowid
        theirs = {row[1] for row in both.damaged.execute(f"PRAGMA table_info({name})")}
        ours = both.copy.execute(f"PRAGMA table_info({name})").fetchall()
        names = [row[1] for row in ours if row[1] in theirs]
        has_number = any(row[5] == 1 and row[2] == "INTEGER" for row in ours)  # a name for the rowid
        self._written = names if has_number or not by_rowid else ["rowid", *names]
        self._select = f"SELECT {'rowid' if by_rowid else '0'}, {', '.join(self._written)} FROM {name} NOT INDEXED"
        self._insert = f"INSERT INTO {name} ({', '.join(self._written)}) VALUES "
        self._whole = True

    def copy(self) -> bool:
        """Copy the rows that can be read; return whether these are all."""
        if not self._by_rowid:
            return self._copy_rows(self._select) is None and self._whole
        # Halve what fails, the largest part first: what is left in the end are the rows on damaged pages.
        parts, failures = [(_FIRST - _LAST, _FIRST, _LAST)], 0
        while parts and failures < _MOST_FAILURES:
            _, first, last = heapq.heappop(parts)
            if first == last:  # not BETWEEN, which looks at the next row, too
                self._whole &= self._copy_rows(f"{self._select} WHERE rowid = ?", first) is None
                continue
            read_to = self._copy_rows(f"{self._select} WHERE rowid BETWEEN ? AND ? ORDER BY rowid", first, last)
            if read_to is not None:
                failures += 1
                first = max(first, read_to)
                middle = (first + last) // 2
                heapq.heappush(parts, (first - middle, first, middle))
                heapq.heappush(parts, (middle + 1 - last, middle + 1, last))
        return self._whole and not parts

    def _copy_rows(self, statement: str, *values: int) -> int | None:
        """Copy rows; return None if there was no error, otherwise the rowid after the last row before it."""
        read_to = _FIRST
        try:
            for row_id, *row in self._both.damaged.execute(statement, values):
                self._copy_row(row)
                read_to = min(row_id + 1, _LAST)
        except sqlite3.DatabaseError as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_CORRUPT:
                raise
            return read_to
        return None

    def _copy_row(self, row: list[Any]) -> None:
        places = ", ".join("CAST(? AS TEXT)" if isinstance(value, _NotUtf8) else "?" for value in row)
        try:
            self._both.copy.execute(f"{self._insert} ({places})", row)
        except sqlite3.IntegrityError:  # what is left of a page may be rows that break the rules of the table
            self._whole = False


def restore_metadata(both: Databases, *, completed: bool) -> None:
    """Make the row with the state right for the copy's tables.

    :param completed: whether a migration was completed, if the row cannot be read
    """
    both.copy.execute(queries.REMOVE_INVALID_METADATA)
    both.copy.execute(queries.INSERT_METADATA, ("completed" if completed else "rolled_back",))
    both.copy.execute(queries.SET_SCHEMA_VERSION, (schema.latest_version(),))
