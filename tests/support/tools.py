"""The migrated fixture for other people's tools, and how their rows are compared with SQLite's own."""

import shutil
import sqlite3
import sys
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

NEEDED = "needs the extra 'tools': make tools"
TABLES = ("workspaces", "sessions", "session_runtime_mix", "instances", "chat_messages", "migration_ledger")
VIEWS = ("session_values", "instance_values", "message_values")
# Where `make tools` puts packages of npm.
NODE_MODULES = Path(sys.prefix) / "tools" / "node_modules"

Rows = list[tuple[Any, ...]]


def rows_of(database: Path, statement: str) -> Rows:
    """What SQLite itself answers, through Python."""
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute(statement).fetchall()


def in_order(rows: Iterable[Sequence[Any]]) -> Rows:
    """Rows of a tool that need not keep their order."""
    return sorted((tuple(row) for row in rows), key=lambda row: [repr(value) for value in row])


def equal(database: Path, name: str, found: Iterable[Sequence[Any]]) -> bool:
    """Whether a tool read a whole table or view as it is."""
    return in_order(found) == in_order(rows_of(database, f"SELECT * FROM {name}"))


def differing(database: Path, name: str, found: Iterable[Sequence[Any]]) -> list[tuple[Any, Any]]:
    """The values that a tool read otherwise, each with SQLite's own; for tools that keep the order of rows."""
    own = rows_of(database, f"SELECT * FROM {name}")
    pairs = zip(found, own, strict=True)
    return [(theirs, ours) for row, mine in pairs for theirs, ours in zip(row, mine, strict=True) if theirs != ours]


def hits(database: Path, word: str) -> int:
    """How many texts the search index has with a word."""
    statement = f"SELECT count(*) FROM search_words WHERE search_words MATCH '{word}'"
    return int(rows_of(database, statement)[0][0])


def kinds(database: Path) -> dict[str, int]:
    """How many objects of each kind the schema has."""
    return dict(rows_of(database, "SELECT type, count(*) FROM sqlite_schema WHERE sql IS NOT NULL GROUP BY 1"))


def put(copy: Path, place: Path) -> Path:
    """Put a database in the place of another one, of which nothing stays."""
    for left in place.parent.glob(f"{place.name}*"):
        left.unlink()
    shutil.copy(copy, place)
    return place
