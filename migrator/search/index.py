"""The tables of the search index: kept up to date by triggers, checked, dropped on demand.

``schemas/sql/search_index.sql`` creates them. The table ``search_index`` says how far the index is built. The triggers
take care of rows up to there, the builder of rows after it. So the app may write during a build, and a build that was
killed can be continued.
"""

from __future__ import annotations

import sqlite3
from functools import cache, lru_cache
from pathlib import Path

from migrator.database import queries, schema
from migrator.database.errors import add_function, sqlite_errors
from migrator.errors import Message
from migrator.files.resources import schemas
from migrator.search import queries as search_queries
from migrator.search.building.segments import Structure, UnknownFormat
from migrator.search.query import indexed_parts

TASKS, MESSAGES, OUTPUTS = 0, 1 << 40, 1 << 41  # added to the rowids of sessions, chat_messages, instances
UNFINISHED = ("pending", "building")
_MOST_TAKEN_OUT = 2_000_000  # bytes
_REBUILD = "'migrator verify --repair' rebuilds it."
_TRIGGERS_DROPPED = (
    "Tools that rebuild a table drop its triggers: sqlite-utils transform, Alembic's batch mode, drizzle-kit."
)
_ROWS_CHANGED = "Loading an SQL dump numbers rows anew; engines that are not SQLite leave triggers out."


def index_state(connection: sqlite3.Connection) -> str | None:
    """Return ``pending``, ``building``, ``complete`` or ``left_out``; None if the schema has no index yet."""
    if not schema.has_table(connection, "search_index"):
        return None
    row = connection.execute(queries.INDEX_STATE).fetchone()
    return str(row[0]) if row else None


def index_differences(connection: sqlite3.Connection) -> list[str]:
    """Return the names of the index's tables, views and triggers that are missing or changed."""
    found = dict(connection.execute(search_queries.INDEX_OBJECTS).fetchall())
    changed = [name for name, sql in _expected().items() if found.get(name) != sql]
    return changed or [name for name in search_queries.INDEX_TABLES if not _is_readable(connection, name)]


def _is_readable(connection: sqlite3.Connection, table: str) -> bool:
    """Return whether the records in which FTS5 says of what a table consists are there, and are of a known form."""
    try:
        block, are_there = connection.execute(search_queries.OPEN_TABLE[table]).fetchone()
        return bool(are_there and block and Structure.read(block))
    except UnknownFormat:
        return False
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_ERROR:  # other than a missing table
            raise
        return False


def quick_problems(connection: sqlite3.Connection, state: str | None = None) -> list[Message]:
    """Return what is wrong with the index, as far as that shows without reading every text.

    :param state: of the index, if it has been read already
    """
    state = state or index_state(connection)
    if state not in ("building", "complete"):
        return []
    differing = index_differences(connection)
    if differing:
        message = f"Parts of the search index are missing or changed: {', '.join(sorted(differing))}."
        return [Message(message, code="search_index.damaged", hint=f"{_REBUILD} {_TRIGGERS_DROPPED}")]
    if state == "complete" and connection.execute(search_queries.IS_STALE).fetchone()[0]:
        message = "Rows were added, removed or numbered anew without the triggers of the search index."
        return [Message(message, code="search_index.stale", hint=f"{_REBUILD} {_ROWS_CHANGED}")]
    return []


@cache
def _expected() -> dict[str, str]:
    """Return the statement of each table, view and trigger of the index, by name, in the form that SQLite stores."""
    statements = {}
    for statement in _script("search_index.sql"):
        begin = statement.index("CREATE ")
        words = statement[begin:].split()
        name = words[3] if words[1] == "VIRTUAL" else words[2]
        statements[name] = statement[begin:].rstrip(";").rstrip()
    return statements


def _script(name: str) -> list[str]:
    return schema.split_statements((schemas() / "sql" / name).read_text(encoding="utf-8"))


def table_definitions() -> list[str]:
    """Return the statements that create the two tables of the index, without their triggers."""
    return [_expected()[name] for name in search_queries.INDEX_TABLES]


def create_tables(connection: sqlite3.Connection) -> None:
    """Create the empty index, with the triggers that keep it up to date."""
    for statement in _script("search_index.sql"):
        connection.execute(statement)


def begin(connection: sqlite3.Connection) -> None:
    """Create the tables, in a transaction, if there are none yet, or none that can be completed."""
    state = index_state(connection)
    if state not in ("building", "complete") or index_differences(connection):
        _drop(connection)
        create_tables(connection)
        connection.execute(search_queries.SET_INDEX_STATE, ("building",))


def start_log(connection: sqlite3.Connection) -> None:
    """Begin to log what the app changes in rows that are not indexed yet."""
    for statement in _script("search_index_build.sql"):
        connection.execute(statement)


def drop_log(connection: sqlite3.Connection) -> None:
    """Drop the log of changed rows, if there is one."""
    for statement in _script("search_index_build_drop.sql"):
        connection.execute(statement)


def bytes_to_do(connection: sqlite3.Connection) -> int:
    """Return how many bytes of text are not in the index yet."""
    return int(connection.execute(search_queries.BYTES_TO_INDEX).fetchone()[0])


def prepare_for(connection: sqlite3.Connection, taken_out: int) -> None:
    """Let the builder, not the triggers, index the many rows that this transaction is going to insert.

    :param taken_out: bytes of texts that it is going to take out. The triggers need a tenth of a second for a megabyte,
        in which other programs cannot write; so from some megabytes on the index is built again
    """
    if taken_out > _MOST_TAKEN_OUT:
        start_over(connection)
    elif index_state(connection) == "complete":
        connection.execute(search_queries.REOPEN_INDEX)


def close_again(connection: sqlite3.Connection) -> None:
    """Call a reopened index complete if the transaction inserted nothing that the builder would have to index."""
    if index_state(connection) == "building" and not connection.execute(search_queries.HAS_ROWS_TO_INDEX).fetchone()[0]:
        connection.execute(search_queries.COMPLETE_INDEX)


def start_over(connection: sqlite3.Connection) -> None:
    """Use the index no more, within a transaction; the next run builds it again.

    Its tables stay until then, since dropping them takes the longer the larger they are. Its triggers go at once, and
    its views with theirs: a schema step would fail on what refers to tables that are emptied meanwhile.
    """
    if index_state(connection) in ("building", "complete"):
        drop_log(connection)
        for statement in _script("search_index_drop.sql"):
            if "DROP TRIGGER" in statement or "DROP VIEW" in statement:
                connection.execute(statement)
        connection.execute(search_queries.SET_INDEX_STATE, ("pending",))


def discard(connection: sqlite3.Connection, state: str) -> None:
    """Drop the index, within a transaction.

    :param state: ``pending`` if the next run should build it again, ``left_out`` if no index is wanted
    """
    if index_state(connection) not in (None, state):
        _drop(connection)
        connection.execute(search_queries.SET_INDEX_STATE, (state,))


def _drop(connection: sqlite3.Connection) -> None:
    drop_log(connection)
    found = dict(connection.execute(search_queries.INDEX_OBJECTS).fetchall())
    if any(name in found and not _is_readable(connection, name) for name in search_queries.INDEX_TABLES):
        for statement in _script("search_index_mend.sql"):
            connection.execute(statement)
    for statement in _script("search_index_drop.sql"):
        connection.execute(statement)


def index_problems(connection: sqlite3.Connection, path: Path) -> list[Message]:
    """Compare the index with every text; return what is wrong. Writes nothing to the database.

    FTS5's own check would lock out writers until it ends, so it is run on a copy in temporary tables.

    :param connection: may write temporary tables
    """
    with sqlite_errors("check the search index", path):
        found = quick_problems(connection)
    if found or index_state(connection) not in ("building", "complete"):
        return found
    parts = lru_cache(1)(indexed_parts)
    add_function(connection, "indexed_words", lambda text: parts(text)[0])
    add_function(connection, "indexed_grams", lambda text: parts(text)[1])
    problems: list[Message] = []
    connection.execute("PRAGMA query_only = OFF")  # it would also forbid temporary tables
    with sqlite_errors("check the search index", path):
        for statement in (*search_queries.CREATE_INDEX_COPY, *search_queries.COPY_INDEX):
            connection.execute(statement)
        try:
            for name, check in search_queries.CHECK_INDEX.items():
                try:
                    connection.execute(check)
                except sqlite3.DatabaseError as error:
                    if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_CORRUPT:
                        raise
                    message = f"The search index {name} does not match the texts."
                    problems.append(Message(message, code="search_index.damaged", hint=_REBUILD))
        finally:
            for statement in search_queries.DROP_INDEX_COPY:
                connection.execute(statement)
    return problems
