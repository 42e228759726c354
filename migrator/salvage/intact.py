"""Checks the tables of sessions: their pages, and that no row is missing in an index, where statements look for it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from migrator.database import queries
from migrator.database.errors import DAMAGED, sqlite_errors
from migrator.database.schema import has_table
from migrator.errors import ConnectionFailed
from migrator.salvage.queries import INDEXES_OF_TABLE
from migrator.text import counted

# The tables that sessions are read from.
_TABLES = (
    "workspaces", "sessions", "session_runtime_mix", "instances", "chat_messages", "migration_ledger", "quarantine",
)  # fmt: skip
_SALVAGE = "Otherwise, 'migrator rollback --salvage' goes back to JSON files with what can be read."


def require_workspaces(connection: sqlite3.Connection, path: Path) -> None:
    """Check that each session has its workspace, without which no list of a workspace has it.

    :raises ConnectionFailed: some have none
    """
    with sqlite_errors("check", path):
        lost = connection.execute(queries.UNREACHABLE_SESSIONS).fetchall()
    if lost:
        message = f"{path} holds {counted(len(lost), 'session')} without a workspace."
        raise ConnectionFailed(message, code="session.without_workspace", hint="'migrator verify' names each.")


def require_intact(connection: sqlite3.Connection, path: Path, *, everything: bool = False) -> None:
    """Check the pages, and that every index has as many entries as its table has rows.

    :param everything: check the pages of all tables, not only of those that sessions are read from
    :raises ConnectionFailed: a page is damaged, or rows and entries differ
    """
    with sqlite_errors("check", path):
        tables = [table for table in _TABLES if has_table(connection, table)]
        for pragma in ["quick_check"] if everything else [f"quick_check({table})" for table in tables]:
            for (text,) in connection.execute(f"PRAGMA {pragma}"):
                if text != "ok":
                    message = f"The database {path} is damaged: {' '.join(text.split())}."
                    raise ConnectionFailed(message, code="database.damaged", hint=DAMAGED)
        for table in tables:
            for index, sql in connection.execute(INDEXES_OF_TABLE, (table,)).fetchall():
                condition = (sql or "").partition(" WHERE ")[2] or "TRUE"
                counts = (
                    f"(SELECT count(*) FROM {table} {how} WHERE {condition})"
                    for how in ("NOT INDEXED", f'INDEXED BY "{index}"')
                )
                # One statement sees one state, also while others write.
                rows, entries = connection.execute(f"SELECT {', '.join(counts)}").fetchone()
                if rows != entries:
                    raise ConnectionFailed(
                        f"The table {table} of {path} has {counted(rows, 'row')}, but its index {index} has {entries}: "
                        "another program changed only one of them.",
                        code="database.index_wrong",
                        hint=f"'migrator verify --repair' rebuilds the index if nothing else is damaged. {_SALVAGE}",
                    )
