"""The alternatives to `migrator`, and the limit: the least possible work.

`python -m benchmarks.rivals NAME --corpus DIR --database DB` runs one of them as a process of its own. The
rivals are written as most people would: no backup, no check, no reading back; a row that does not fit is
ignored. The caller counts the rows that this loses.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.process import REPOSITORY

APP_SCHEMA = REPOSITORY / "schemas" / "sql" / "0001_initial_schema.up.sql"

# Column and JSON member, in the order of the tables.
SESSION_COLUMNS = (
    ("type", "type"),
    ("task", "task"),
    ("status", "status"),
    ("created_at", "createdAt"),
    ("updated_at", "updatedAt"),
    ("completed_at", "completedAt"),
    ("model", "model"),
    ("timeout_seconds", "timeoutSeconds"),
    ("preserve_worktrees", "preserveWorktrees"),
    ("winner_id", "winnerId"),
    ("total_duration", "totalDuration"),
    ("total_files_changed", "totalFilesChanged"),
    ("total_lines_added", "totalLinesAdded"),
    ("total_lines_deleted", "totalLinesDeleted"),
)
INSTANCE_COLUMNS = (
    ("instance_id", "instanceId"),
    ("worktree_path", "worktreePath"),
    ("branch", "branch"),
    ("agent_name", "agentName"),
    ("status", "status"),
    ("tmux_session_id", "tmuxSessionId"),
    ("output", "output"),
    ("start_time", "startTime"),
    ("end_time", "endTime"),
    ("files_changed", "filesChanged"),
    ("lines_added", "linesAdded"),
    ("lines_deleted", "linesDeleted"),
    ("runtime", "runtime"),
    ("model", "model"),
    ("runtime_label", "runtimeLabel"),
)
MESSAGE_COLUMNS = (
    ("role", "role"),
    ("content", "content"),
    ("timestamp", "timestamp"),
    ("instance_id", "instanceId"),
)
LOADED_TABLES = ("sessions", "instances", "chat_messages")

Document = dict[str, Any]
Row = tuple[Any, ...]


def corpus_files(corpus: Path) -> list[Path]:
    """The workspace files of a data directory, in order of name."""
    return sorted((corpus / "sessions").glob("*.json"))


def _new_database(path: Path) -> sqlite3.Connection:
    """A database with the app's schema."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.executescript(APP_SCHEMA.read_text(encoding="utf-8"))
    # It turns foreign keys on for the connection that creates the tables; a later import runs without them.
    connection.execute("PRAGMA foreign_keys = OFF")
    return connection


def _insert(table: str, columns: Iterable[str], source: str = "") -> str:
    names = list(columns)
    values = source or f"VALUES ({', '.join('?' * len(names))})"
    return f"INSERT OR IGNORE INTO {table} ({', '.join(names)}) {values}"


def _names(columns: tuple[tuple[str, str], ...], *first: str) -> list[str]:
    return [*first, *(column for column, _ in columns)]


def _add_workspace(connection: sqlite3.Connection, file: Path) -> int:
    row = (f"unknown:{file.stem}", file.stem)
    key = connection.execute(_insert("workspaces", ("workspace_path", "workspace_hash")), row).lastrowid
    return key or 0


def _extracts(alias: str, columns: tuple[tuple[str, str], ...]) -> str:
    return ", ".join(f"{alias}.value ->> '$.{member}'" for _, member in columns)


def json_each(corpus: Path, database: Path) -> None:
    """Let SQLite parse the JSON: one statement per table and file, with the file's text as its parameter."""
    sessions = _insert(
        "sessions",
        _names(SESSION_COLUMNS, "id", "workspace_id"),
        f"SELECT s.value ->> '$.id', ?2, {_extracts('s', SESSION_COLUMNS)} FROM json_each(?1) AS s",
    )
    instances = _insert(
        "instances",
        _names(INSTANCE_COLUMNS, "session_id"),
        f"SELECT s.value ->> '$.id', {_extracts('i', INSTANCE_COLUMNS)} "
        "FROM json_each(?1) AS s, json_each(s.value, '$.instances') AS i",
    )
    messages = _insert(
        "chat_messages",
        _names(MESSAGE_COLUMNS, "id", "session_id"),
        f"SELECT m.value ->> '$.id', s.value ->> '$.id', {_extracts('m', MESSAGE_COLUMNS)} "
        "FROM json_each(?1) AS s, json_each(s.value, '$.chatHistory') AS m",
    )
    with closing(_new_database(database)) as connection:
        for file in corpus_files(corpus):
            text = file.read_text(encoding="utf-8")
            connection.execute("BEGIN")
            connection.execute(sessions, (text, _add_workspace(connection, file)))
            connection.execute(instances, (text,))
            connection.execute(messages, (text,))
            connection.execute("COMMIT")


def _values(document: Document, columns: tuple[tuple[str, str], ...]) -> Iterator[Any]:
    return (document.get(member) for _, member in columns)


def _session_rows(documents: list[Document], workspace: int) -> Iterator[Row]:
    return ((s["id"], workspace, *_values(s, SESSION_COLUMNS)) for s in documents)


def _instance_rows(documents: list[Document]) -> Iterator[Row]:
    return ((s["id"], *_values(i, INSTANCE_COLUMNS)) for s in documents for i in s["instances"])


def _message_rows(documents: list[Document]) -> Iterator[Row]:
    return ((m["id"], s["id"], *_values(m, MESSAGE_COLUMNS)) for s in documents for m in s["chatHistory"])


def executemany(corpus: Path, database: Path) -> None:
    """The obvious loop: `json.load`, then `executemany`."""
    with closing(_new_database(database)) as connection:
        for file in corpus_files(corpus):
            with file.open(encoding="utf-8") as stream:
                documents = json.load(stream)
            connection.execute("BEGIN")
            workspace = _add_workspace(connection, file)
            connection.executemany(
                _insert("sessions", _names(SESSION_COLUMNS, "id", "workspace_id")),
                _session_rows(documents, workspace),
            )
            connection.executemany(
                _insert("instances", _names(INSTANCE_COLUMNS, "session_id")), _instance_rows(documents)
            )
            connection.executemany(
                _insert("chat_messages", _names(MESSAGE_COLUMNS, "id", "session_id")),
                _message_rows(documents),
            )
            connection.execute("COMMIT")


def sqlite_utils(corpus: Path, database: Path) -> None:
    """sqlite-utils' command, once per file: one table, with instances and messages as JSON text."""
    for file in corpus_files(corpus):
        arguments = ["insert", str(database), "sessions", str(file), "--pk", "id", "--ignore", "--alter"]
        command = [sys.executable, "-m", "sqlite_utils", *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


# The types for DuckDB, which by itself makes timestamps of texts, and loses how they were written.
DUCKDB_TYPES = {
    "totalDuration": "UBIGINT",
    "preserveWorktrees": "BOOLEAN",
    **dict.fromkeys(("timeoutSeconds", "winnerId", "totalFilesChanged", "totalLinesAdded"), "BIGINT"),
    **dict.fromkeys(("totalLinesDeleted", "instanceId", "filesChanged", "linesAdded", "linesDeleted"), "BIGINT"),
}
# What makes the keys of the bare tables; rows whose key is taken go first.
KEYS = {"sessions": "id", "instances": "session_id, instance_id", "chat_messages": "id"}


def duckdb(corpus: Path, database: Path) -> None:
    """DuckDB: `read_json` into tables of an attached SQLite file, without keys and indexes."""
    import duckdb  # of the extra [bench]
    import duckdb_extension_sqlite_scanner

    [extension] = Path(duckdb_extension_sqlite_scanner.__file__).parent.rglob("*.duckdb_extension")
    with duckdb.connect() as connection:
        connection.execute(f"LOAD '{extension}'")
        connection.execute(f"ATTACH '{database}' AS sqlite (TYPE sqlite)")
        members = {
            **_duckdb_types(("id", *(member for _, member in SESSION_COLUMNS))),
            "instances": _duckdb_struct(member for _, member in INSTANCE_COLUMNS),
            "chatHistory": _duckdb_struct(("id", *(member for _, member in MESSAGE_COLUMNS))),
        }
        columns = ", ".join(f"{name}: '{kind}'" for name, kind in members.items())
        connection.execute(
            "CREATE TEMP TABLE documents AS SELECT *, parse_filename(filename, true) AS workspace FROM read_json("
            f"'{corpus}/sessions/*.json', format = 'array', filename = true, maximum_object_size = 1000000000, "
            f"columns = {{{columns}}})"
        )
        connection.execute(
            f"CREATE TABLE sqlite.sessions AS SELECT id, workspace, {_renamed(SESSION_COLUMNS)} FROM documents"
        )
        for table, column, names in (
            ("instances", "instances", INSTANCE_COLUMNS),
            ("chat_messages", "chatHistory", (("id", "id"), *MESSAGE_COLUMNS)),
        ):
            connection.execute(
                f"CREATE TABLE sqlite.{table} AS SELECT session_id, {_renamed(names, 'one.')} "
                f"FROM (SELECT id AS session_id, unnest({column}) AS one FROM documents)"
            )


def duckdb_with_keys(corpus: Path, database: Path) -> None:
    """The same, and then the keys and indexes of the app's tables."""
    duckdb(corpus, database)
    indexes = [
        statement
        for statement in APP_SCHEMA.read_text(encoding="utf-8").split(";")
        if "CREATE INDEX" in statement and any(f" ON {table}(" in statement for table in LOADED_TABLES)
    ]
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("BEGIN")
        for table, key in KEYS.items():
            connection.execute(f"CREATE INDEX key ON {table} ({key})")
            connection.execute(
                f"DELETE FROM {table} WHERE rowid NOT IN (SELECT min(rowid) FROM {table} GROUP BY {key})"
            )
            connection.execute("DROP INDEX key")
            connection.execute(f"CREATE UNIQUE INDEX {table}_key ON {table} ({key})")
        for statement in indexes:
            connection.execute(statement.replace("workspace_id", "workspace"))
        connection.execute("COMMIT")


def _duckdb_types(members: Iterable[str]) -> dict[str, str]:
    return {member: DUCKDB_TYPES.get(member, "VARCHAR") for member in members}


def _duckdb_struct(members: Iterable[str]) -> str:
    return f"STRUCT({', '.join(f'{name} {kind}' for name, kind in _duckdb_types(members).items())})[]"


def _renamed(columns: Iterable[tuple[str, str]], source: str = "") -> str:
    return ", ".join(f'{source}"{member}" AS {column}' for column, member in columns)


def limit(corpus: Path, database: Path, source: Path) -> None:
    """The least possible work: parse every file once, write every row once, sync once.

    The rows come ready-made from `source`, which `prepare_limit` made of the same corpus, into tables and indexes like
    its own. Journal and intermediate syncs are off, since it can start again; one fsync at the end.
    Nothing is taken from the parsed documents, nothing is checked.
    """
    import orjson  # here, because the rivals do not use it

    for file in corpus_files(corpus):
        orjson.loads(file.read_bytes())
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("ATTACH ? AS source", (str(source),))
        [page_size] = connection.execute("PRAGMA source.page_size").fetchone()
        for pragma in (f"page_size = {page_size}", "main.journal_mode = OFF", "main.synchronous = OFF"):
            connection.execute(f"PRAGMA {pragma}").fetchall()
        for (statement,) in connection.execute(COPIED_SCHEMA).fetchall():
            connection.execute(statement)
        connection.execute("BEGIN")
        for table in ("workspaces", *LOADED_TABLES, "session_runtime_mix"):
            connection.execute(f"INSERT INTO main.{table} SELECT * FROM source.{table}")
        connection.execute("COMMIT")
    handle = os.open(database, os.O_RDWR)
    os.fsync(handle)
    os.close(handle)


COPIED_SCHEMA = """
    SELECT sql FROM source.sqlite_schema
    WHERE type IN ('table', 'index') AND sql IS NOT NULL AND name NOT LIKE 'sqlite_%' ORDER BY rowid
"""


def prepare_limit(corpus: Path, source: Path) -> None:
    """Make the database that the limit copies: the result of a migration."""
    from migrator import migrate  # here, because nothing else that is measured needs it

    with TemporaryDirectory(dir=source.parent) as folder:
        data_dir = Path(folder) / "data"
        shutil.copytree(corpus, data_dir)
        migrate(data_dir, search_index=False)
        os.replace(data_dir / "sessions.db", source)


RIVALS: dict[str, Callable[[Path, Path], None]] = {
    "json_each": json_each,
    "executemany": executemany,
    "sqlite-utils": sqlite_utils,
    "duckdb": duckdb,
    "duckdb with keys": duckdb_with_keys,
}


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rivals", description="Run one rival.")
    parser.add_argument("name", choices=[*RIVALS, "limit", "prepare-limit"])
    parser.add_argument("--corpus", required=True, type=Path, metavar="DIR", help="a data directory")
    parser.add_argument("--database", required=True, type=Path, metavar="DB", help="to load into; a new file")
    parser.add_argument("--source", type=Path, metavar="DB", help="the database from prepare-limit (limit only)")
    options = parser.parse_args(argv)
    if options.database.exists():
        parser.error("the database exists already")
    if options.name == "prepare-limit":
        prepare_limit(options.corpus, options.database)
    elif options.name == "limit":
        if options.source is None:
            parser.error("limit needs --source")
        limit(options.corpus, options.database, options.source)
    else:
        RIVALS[options.name](options.corpus, options.database)


if __name__ == "__main__":
    main()
