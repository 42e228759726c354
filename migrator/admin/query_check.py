"""Prepare every named SQL statement against a fresh schema, in memory.

This way a misspelled column fails in CI and not on a user's machine, like SQLx's compile-time checked queries.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

from migrator.backups import queries as backup_queries
from migrator.browse import queries as browse_queries
from migrator.data_dir import DataDir
from migrator.database import canonical, quarantine_queries, queries, schema
from migrator.database.columns import INSTANCE_COLUMNS
from migrator.database.connection import opened
from migrator.errors import Message
from migrator.files.resources import schemas
from migrator.migration.adoption import queries as adoption_queries
from migrator.migration.merging import queries as merging_queries
from migrator.migration.rolled_back import queries as rolled_back_queries
from migrator.reconciliation import queries as reconciliation_queries
from migrator.report import Report
from migrator.salvage import queries as salvage_queries
from migrator.search import queries as search_queries
from migrator.search.building import queries as building_queries
from migrator.search.index import create_tables, start_log, table_definitions
from migrator.staging import queries as staging_queries
from migrator.storage.hybrid import queries as journal_queries
from migrator.storage.lists import queries as list_queries

FRAGMENTS = (  # of statements
    "ORDER", "IN_RANGE", "IN_FILES", "FILES_IN_ORDER", "OWN_NUMBER", "OWN_ROLE", "IN_NO_FILE", "IS_ADOPTED",
)  # fmt: skip
MODULES = (
    queries, quarantine_queries, canonical, staging_queries, journal_queries, list_queries, search_queries,
    reconciliation_queries, browse_queries, rolled_back_queries, adoption_queries, merging_queries,
    backup_queries, building_queries, salvage_queries,
)  # fmt: skip
ATTACHED = ("staging", "shard")
# What the app runs while a user waits: none of these may read a whole table.
HOT_PATHS = {
    "WORKSPACE_BY_HASH", "KEYS_BY_DOCUMENT_ID", "SESSION_BY_KEY", "RUNTIMES_OF_SESSION", "INSTANCES_OF_SESSION",
    "MESSAGES_OF_SESSION", "DOCUMENTS_OF_WORKSPACE", "SESSION_KEY_TAKEN", "MESSAGE_KEY_TAKEN", "DELETE_SESSION",
    "TOUCH_WORKSPACE", "WORKSPACE_HAS_UNPLACED", "NEXT_POSITION", "NEXT_MESSAGE_POSITION", "INSTANCE_BY_NUMBER",
    "UPDATE_SESSION", "DELETE_CHILDREN", "SET_UPDATED_AT", "SET_INSTANCE_STATUS", "ALL_SUMMARIES", "SUMMARIES",
    "PAGE_OF_SUMMARIES", "PLACES", "CHOSEN_DOCUMENTS", "JOURNAL_FORGET", "JOURNAL_NEWEST",
}  # fmt: skip
# A scan of a table, not of a constant row or of the JSON in a parameter.
_SCAN = re.compile(r"SCAN (?!CONSTANT|json_each)")
_MOST_PARAMETERS = 64
_NAMED = re.compile(r"(?<![\w':]):([a-z]+)\b")


def named_statements() -> Iterator[tuple[str, str]]:
    """Every statement of :mod:`~migrator.database.queries` and of the other modules of queries, with its name."""
    for name, value in chain.from_iterable(vars(module).items() for module in MODULES):
        if not name.isupper() or name.startswith(("_", "CREATE_")) or name.endswith(("_COLUMNS", "_TABLES")):
            continue  # fresh_with_staging executes what creates tables
        if name in FRAGMENTS:
            continue
        statements = value.values() if isinstance(value, dict) else [value] if isinstance(value, str) else value
        for number, statement in enumerate(statements):
            yield (name if isinstance(value, str) else f"{name}[{number}]"), statement
    yield "insert", queries.insert("instances", INSTANCE_COLUMNS, 2)
    yield "insert_messages_or_ignore", queries.insert_messages_or_ignore(2)
    yield "insert_plain_messages", staging_queries.insert_plain_messages(2)
    for name in ATTACHED:
        yield f"key_taken[{name}]", staging_queries.key_taken(name, "sessions")
        yield f"rekey_message[{name}]", staging_queries.rekey_message(name)
        for statement in staging_queries.rekey_session(name):
            yield f"rekey_session[{name}]", statement


def fresh_with_staging() -> sqlite3.Connection:
    """A database in memory with the whole schema, and two more attached as ``staging`` and ``shard``.

    It also has the record of the schema steps and the tables of hybrid mode's journal.
    """
    connection = schema.fresh()
    for statement in schema.split_statements((schemas() / "sql" / "hybrid_journal.sql").read_text(encoding="utf-8")):
        connection.execute(statement)
    connection.execute(queries.CREATE_STEP_RECORD)
    tables = connection.execute("SELECT sql FROM main.sqlite_master WHERE type = 'table'").fetchall()
    for name in ATTACHED:
        connection.execute(f"ATTACH DATABASE ':memory:' AS {name}")
        for (statement,) in tables:
            if not statement.startswith("CREATE TABLE sqlite_"):
                connection.execute(statement.replace("CREATE TABLE ", f"CREATE TABLE {name}.", 1))
    create_tables(connection)
    start_log(connection)
    connection.execute("ATTACH DATABASE ':memory:' AS piece")
    for statement in table_definitions():
        connection.execute(statement.replace("VIRTUAL TABLE ", "VIRTUAL TABLE piece.", 1))
    for statement in (
        search_queries.CREATE_EXCERPTS,
        *search_queries.CREATE_INDEX_COPY,
        *search_queries.CREATE_TERMS.values(),
        merging_queries.CREATE_KEPT,
        *merging_queries.CREATE_SEEN,
    ):
        connection.execute(statement)
    return connection


@dataclass(frozen=True)
class QueryCheck(Report):
    """How many statements were prepared, and what is wrong with them or with the database's tables."""

    statements: int
    errors: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        return 1 if self.errors else 0


def check_queries(data_dir: DataDir) -> QueryCheck:
    """Prepare every statement, and compare the tables of the database, if there is one, with a fresh schema."""
    found, path = [Message(text, code="schema.bad_statement") for text in problems()], data_dir.database
    if path.exists():
        with opened(path, read_only=True) as connection:
            version = schema.require_known(connection, path)
            different = sorted(schema.differences(connection, version))
        found += [Message(f"{path}: {name} differs", code="schema.differs") for name in different]
    return QueryCheck(sum(1 for _ in named_statements()), tuple(found))


def problems(
    statements: Iterable[tuple[str, str]] | None = None, connection: sqlite3.Connection | None = None
) -> list[str]:
    """Every statement that cannot be prepared, and every one in a hot path that scans a whole table.

    :param statements: None for all of migrator's
    :param connection: has the tables that the statements use; it is closed afterwards. None for a fresh schema
    """
    connection = connection or fresh_with_staging()
    found = []
    try:
        for name, statement in statements or named_statements():
            try:
                plan = _explain(connection, statement)
            except sqlite3.Error as error:
                found.append(f"{name}: {error}")
                continue
            if name == "CREATE_EXCERPTS":
                connection.execute(statement)  # the next ones work on it
            if name.partition("[")[0] in HOT_PATHS:
                found += [f"{name}: {step}" for step in plan if _SCAN.match(step)]
    finally:
        connection.close()
    return found


def _explain(connection: sqlite3.Connection, statement: str) -> list[str]:
    """The query plan of a statement with any parameters."""
    named = dict.fromkeys(_NAMED.findall(statement))
    if named:
        return [str(row[3]) for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", named)]
    for count in range(_MOST_PARAMETERS):
        try:
            rows = connection.execute(f"EXPLAIN QUERY PLAN {statement}", (None,) * count).fetchall()
        except sqlite3.ProgrammingError:
            continue
        return [str(row[3]) for row in rows]
    raise sqlite3.ProgrammingError(f"more than {_MOST_PARAMETERS} parameters")
