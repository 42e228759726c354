"""What SQLite itself finds wrong with a database, as far as it can be read."""

from __future__ import annotations

import sqlite3

from migrator.errors import MigratorError

# For whoever verifies already: the message for anybody else is to do that.
WAY_OUT_OF_DAMAGE = "Keep a copy of the database; 'migrator backups list' tells what there is to restore."


def integrity_problems(connection: sqlite3.Connection) -> list[str]:
    """Broken pages and indexes, and children without parents."""
    found, ended = _checked(connection, "integrity_check")
    if ended and not found:
        found, _ = _checked(connection, "quick_check")  # it does not compare indexes, and gets further
    return [text for text in found if text != "ok"] + ended + _orphans(connection)


def is_damage(error: MigratorError) -> bool:
    """Whether an error is that pages of the database are damaged."""
    cause = error.__cause__
    if isinstance(cause, UnicodeDecodeError):
        return True
    return getattr(cause, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_CORRUPT


def _checked(connection: sqlite3.Connection, pragma: str) -> tuple[list[str], list[str]]:
    """What a check has found, and why it ended early, if it did."""
    found: list[str] = []
    try:
        for (text,) in connection.execute(f"PRAGMA {pragma}"):
            found.append(text)
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        return found, [f"SQLite's own check of the pages ended early: {error}. {WAY_OUT_OF_DAMAGE}"]
    return found, []


def _orphans(connection: sqlite3.Connection) -> list[str]:
    try:
        rows = connection.execute("PRAGMA foreign_key_check").fetchall()
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        return [f"what belongs to what can't be checked: {error}"]
    return [f"{table} row {rowid} refers to a missing row of {parent}" for table, rowid, parent, _ in rows]
