"""Checks the tables of sessions: their pages, and that no row is missing in an index, where statements look for it."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

from migrator.database import queries
from migrator.database.connection import opened
from migrator.database.errors import DAMAGED, sqlite_errors
from migrator.database.schema import has_table
from migrator.errors import ConnectionFailed, MigratorError
from migrator.text import counted

# The tables that sessions are read from.
_TABLES = (
    "workspaces", "sessions", "session_runtime_mix", "instances", "chat_messages", "migration_ledger", "quarantine",
)  # fmt: skip
# What SQLite's integrity_check says about an index that does not match its table. SQLite 3.42 compares the values, too.
INDEX_ONLY = re.compile(
    r"(?:row \d+ missing from|row \d+ values differ from|wrong # of entries in|non-unique entry in|"
    r"rowid not at end-of-record for row \d+ of) index (\S+)"
)
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
    """Check the pages, and that the indexes have what their tables have.

    :param everything: check the pages of all tables, not only of those that sessions are read from
    :raises ConnectionFailed: a page is damaged, or an index differs from its table
    """
    with sqlite_errors("check", path):
        checks = [f"integrity_check({table})" for table in _TABLES if has_table(connection, table)]
        for pragma in ["quick_check", *checks] if everything else checks:
            texts = [" ".join(text.split()) for (text,) in connection.execute(f"PRAGMA {pragma}")]
            # A damaged page comes first: its rows are missing in indexes as well.
            for text in sorted(texts, key=lambda text: bool(INDEX_ONLY.fullmatch(text))):
                if found := INDEX_ONLY.fullmatch(text):
                    raise ConnectionFailed(
                        f"The index {found[1]} of {path} differs from its table ({text}): another program changed only "
                        "one of them, or the file is damaged.",
                        code="database.index_wrong",
                        hint=f"'migrator verify --repair' rebuilds the index if nothing else is damaged. {_SALVAGE}",
                    )
                if text != "ok":
                    raise ConnectionFailed(
                        f"The database {path} is damaged: {text}.", code="database.damaged", hint=DAMAGED
                    )


def damage_behind(path: Path) -> ConnectionFailed | None:
    """Return the damage of a database on whose values an operation has failed; None if it is not damaged.

    The columns have types, on which everything relies: only a page in the place of another one has other values.
    """
    try:
        with opened(path, read_only=True) as connection:
            require_intact(connection, path, everything=True)
    except ConnectionFailed as error:
        return error if error.code in ("database.damaged", "database.index_wrong") else None
    except MigratorError:
        return None
    return None
