"""What other programs do to the database is found, named and repaired: triggers are gone, the index is stale."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from sqlite_utils import Database

from migrator import migrate, resolve_data_dir
from migrator.database import schema
from migrator.database.connection import connect
from migrator.search.build import build_index, index_status
from migrator.search.find import search_texts
from tests.support.command_line import Migrator
from tests.support.scene import Scene, chat

ENGINE = "/home/dev/engine"
PACKAGE = Path(schema.__file__).parents[1]


@pytest.fixture
def migrated(scene: Scene) -> Scene:
    scene.write(ENGINE, [chat("s-1", text="login"), chat("s-2", text="logout"), chat("s-3", text="会議")])
    assert migrate(scene.root).search_index == "complete"
    return scene


def codes(migrator: Migrator, scene: Scene, command: str) -> set[str]:
    report = migrator("--data-dir", scene.root, command, "--json").json
    if command == "doctor":
        return {found["code"] for found in report["findings"] if found["level"] == "problem"}
    return {problem["code"] for problem in report["problems"]}


def require_found_and_repaired(migrator: Migrator, scene: Scene, *expected: str) -> None:
    """Check that ``verify`` and ``doctor`` report just this, that no search misses a text, and that a repair helps."""
    place = resolve_data_dir(scene.root)
    assert codes(migrator, scene, "verify") == set(expected)
    assert codes(migrator, scene, "doctor") == set(expected)
    texts = scene.query("SELECT content FROM chat_messages")
    found = search_texts(place, str(texts[-1][0]))
    assert (found.method, len(found.sessions)) == ("scan", 1)
    assert migrator("--data-dir", scene.root, "verify", "--repair").code == 0
    assert codes(migrator, scene, "doctor") == set()
    found = search_texts(place, str(texts[-1][0]))
    assert (found.method, len(found.sessions)) == ("index", 1)


@contextmanager
def without_triggers(path: Path) -> Iterator[sqlite3.Connection]:
    """Change the database as a program does that knows no triggers."""
    with closing(sqlite3.connect(path)) as connection, connection:
        triggers = connection.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").fetchall()
        for name, _ in triggers:
            connection.execute(f"DROP TRIGGER {name}")
        yield connection
        for _, sql in triggers:
            connection.execute(sql)


def test_a_table_that_was_made_anew_without_its_triggers(migrated: Scene, migrator: Migrator) -> None:
    with closing(sqlite3.connect(migrated.database)) as connection:
        Database(connection).table("chat_messages").transform(types={"role": str})
        connection.execute("UPDATE chat_messages SET content = 'zebra' WHERE rowid = 3")
        connection.commit()
    require_found_and_repaired(migrator, migrated, "search_index.damaged")


def test_a_database_that_was_loaded_from_a_dump(migrated: Scene, migrator: Migrator) -> None:
    migrated.change("DELETE FROM chat_messages WHERE rowid = 1")
    with without_triggers(migrated.database) as connection:  # tests/tools does it with a real dump
        connection.execute("UPDATE chat_messages SET rowid = rowid - 1")
        connection.execute("PRAGMA user_version = 0")
    require_found_and_repaired(migrator, migrated, "database.from_dump", "search_index.stale")


def test_the_tables_of_an_app_without_a_version_are_no_dump(migrated: Scene, migrator: Migrator) -> None:
    with closing(connect(migrated.database)) as connection:
        schema.revert(connection, migrated.database)
        connection.execute("PRAGMA user_version = 0")
    assert codes(migrator, migrated, "verify") == set()


@pytest.mark.parametrize("table", ["sessions", "chat_messages", "instances"])
@pytest.mark.parametrize("change", ["INSERT", "DELETE"])
def test_rows_that_were_written_without_triggers(migrated: Scene, table: str, change: str) -> None:
    migrated.change("UPDATE instances SET output = 'done'")
    with without_triggers(migrated.database) as connection:
        if change == "DELETE":
            connection.execute(f"DELETE FROM {table} WHERE rowid = (SELECT max(rowid) FROM {table})")
        elif table == "sessions":
            connection.execute(
                "INSERT INTO sessions (id, workspace_id, type, task, status, created_at, updated_at)"
                " SELECT 'new', workspace_id, type, task, status, created_at, updated_at FROM sessions LIMIT 1"
            )
        elif table == "chat_messages":
            connection.execute(
                "INSERT INTO chat_messages (id, session_id, role, content, timestamp)"
                " SELECT 'new', session_id, role, content, timestamp FROM chat_messages LIMIT 1"
            )
        else:
            connection.execute(
                "INSERT INTO instances"
                " (session_id, instance_id, worktree_path, branch, agent_name, status, tmux_session_id, output)"
                " SELECT session_id, 99, '', '', '', 'idle', '', 'text' FROM instances LIMIT 1"
            )
    place = resolve_data_dir(migrated.root)
    assert index_status(place).stale
    assert not build_index(place).stale


def test_rows_without_a_parent_are_counted_by_table(migrated: Scene, migrator: Migrator) -> None:
    with closing(sqlite3.connect(migrated.database)) as connection, connection:
        connection.execute("DELETE FROM sessions")  # with foreign keys off, as DuckDB writes
    report = migrator("--data-dir", migrated.root, "verify", "--json").json
    orphans = [problem for problem in report["problems"] if problem["code"] == "database.orphaned_rows"]
    assert len({found["message"] for found in orphans}) == len(orphans) == 2  # instances and messages
    assert all("3 rows" in found["message"] for found in orphans)


def test_no_statement_of_ours_makes_writers_wait_for_a_checkpoint() -> None:
    # Next to Litestream, which keeps a reader in the log, they would wait for the busy timeout; SQLite's own do not.
    sources = [file for file in PACKAGE.rglob("*") if file.suffix in (".py", ".sql")]
    assert sources
    assert not [file for file in sources if "wal_checkpoint" in file.read_text(encoding="utf-8")]
