"""Schema steps extend the app's tables and can be undone; the app's own SQL continues to work."""

import hashlib
import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest

from migrator.authority import NO_DATABASE, read_state, state_of
from migrator.database import queries, schema
from migrator.database.connection import connect
from migrator.database.documents import insert_document, keys_of
from migrator.documents.exact_json import to_json
from migrator.errors import ConnectionFailed, SchemaError, TransactionError
from migrator.files.resources import schemas
from tests.support.errors import raises
from tests.support.strategies import instance, message, session

SQL = schemas() / "sql"
OURS = {
    "workspaces",
    "sessions",
    "session_runtime_mix",
    "instances",
    "chat_messages",
    "migration_metadata",
    "session_complete",
}

Objects = dict[tuple[str, str], str]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sessions.db"


@pytest.fixture
def connection(path: Path) -> Iterator[sqlite3.Connection]:
    """An empty database on disk."""
    with closing(connect(path, create=True)) as opened:
        yield opened


def made_by_the_app(path: Path) -> None:
    """Create the database as the app does: it runs the first step's script and does not record it."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript((SQL / "0001_initial_schema.up.sql").read_text())


def objects(connection: sqlite3.Connection) -> Objects:
    """Everything in the schema except the internal tables of SQLite and sqlite-utils."""
    found = connection.execute("SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    return {
        (kind, name): re.sub(r"\s*([(),])\s*", r"\1", " ".join(re.sub(r"--[^\n]*", "", sql).split()))
        for kind, name, sql in found
        if "sqlite_" not in name
    }


def of_step(number: int) -> Objects:
    with closing(schema.fresh(number)) as model:
        return objects(model)


def contents(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return list(connection.iterdump())


# The steps themselves.

# A shipped step is never edited: databases out there were made by it. What has to change goes into a new step.
SHIPPED = {"0001_initial_schema.up.sql": "6fc4d0b66852ed1b2ed87c869c004dc26ab8de5ffe1d2935b7bf5a39775c09ac"}


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_step_is_never_edited(name):
    assert hashlib.sha256((SQL / name).read_bytes()).hexdigest() == SHIPPED[name]


def test_the_steps_are_numbered_without_a_gap_and_each_can_be_undone():
    assert [step.number for step in schema.steps()] == list(range(1, schema.latest_version() + 1))
    assert all(schema.split_statements(step.down.read_text("utf-8")) for step in schema.steps())


def test_a_script_is_split_at_its_statements_and_not_inside_of_them():
    script = (
        "-- a; comment\nPRAGMA foreign_keys=ON;\n\nCREATE TABLE t (a TEXT CHECK (a <> ';'), -- b;\n b);\n"
        "CREATE TRIGGER g AFTER INSERT ON t BEGIN\n  DELETE FROM t;\n  SELECT 1;\nEND;\n-- the end;\n"
    )
    table, trigger = schema.split_statements(script)
    assert "CREATE TABLE t" in table
    assert table.endswith("b);")
    assert trigger.startswith("CREATE TRIGGER")
    assert trigger.endswith("END;")


# Applying.


def test_an_empty_database_gets_every_step_and_a_record_of_each(connection, path):
    names = [step.name for step in schema.steps()]
    assert schema.apply(connection, path) == names
    assert objects(connection) == of_step(schema.latest_version())
    assert schema.version(connection) == schema.latest_version()
    assert [(state.name, bool(state.applied_at)) for state in schema.status(connection, path)] == [
        (name, True) for name in names
    ]


def test_applying_again_does_nothing(connection, path):
    schema.apply(connection, path)
    before = contents(path)
    assert schema.apply(connection, path) == []
    assert contents(path) == before


def test_a_new_database_can_be_made_in_one_go_and_is_the_same(connection, path):
    schema.apply(connection, path)
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as made:
        schema.create(made)
        for query in (
            "SELECT type, name, tbl_name FROM sqlite_master ORDER BY name",
            "SELECT * FROM pragma_table_xinfo('_sqlite_migrations')",
            "SELECT * FROM pragma_index_info('idx__sqlite_migrations_migration_set_name')",
            "SELECT name, \"unique\" FROM pragma_index_list('_sqlite_migrations')",
            "SELECT id, migration_set, name, length(applied_at) FROM _sqlite_migrations",
            "SELECT schema_version, migration_status FROM migration_metadata",
            "SELECT * FROM search_index",
            "PRAGMA user_version",
        ):
            assert made.execute(query).fetchall() == connection.execute(query).fetchall()
        assert objects(made) == objects(connection)
        assert schema.apply(made, path) == []


def test_an_index_that_another_sqlite_finds_damaged_is_dropped(path):
    with closing(connect(path, create=True)) as connection:
        schema.apply(connection, path)
        while schema.version(connection) > 6:
            schema.revert(connection, path)
        assert "idx_sessions_rescued_id" in {name for _, name in objects(connection)}
        connection.execute("INSERT INTO workspaces (workspace_path, workspace_hash) VALUES ('/w', 'h')")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    apsw = pytest.importorskip("apsw")
    with closing(apsw.Connection(str(path))) as newer:  # from 3.45 on, as what loads a migration's rows
        rescued = to_json({"columns": {"id": ["s\0t#h.1", "s\0t"]}})
        newer.execute(
            "INSERT INTO sessions (id, workspace_id, type, task, status, created_at, updated_at, rescued_data)"
            " VALUES (?, 1, 'debate', 'Weave', 'running', '', '', ?)",
            ("s\0t#h.1", rescued),
        )
    with closing(connect(path)) as connection:
        damaged = connection.execute("PRAGMA integrity_check").fetchall() != [("ok",)]
        assert damaged == (sqlite3.sqlite_version_info < (3, 45))
        schema.apply(connection, path)
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert keys_of(connection, 1, "s\0t") == ["s\0t#h.1"]


def test_a_database_that_the_app_made_is_adopted_with_its_rows(path):
    made_by_the_app(path)
    with closing(connect(path)) as connection:
        connection.execute("INSERT INTO workspaces (workspace_path, workspace_hash) VALUES ('/w', 'h')")
        connection.execute("UPDATE migration_metadata SET migrated_at = 'long ago'")
        assert schema.version(connection) == 1
        assert schema.apply(connection, path) == [step.name for step in schema.steps()[1:]]
        assert connection.execute("SELECT workspace_path FROM workspaces").fetchall() == [("/w",)]
        assert connection.execute("SELECT migrated_at FROM migration_metadata").fetchall() == [("long ago",)]
        assert objects(connection) == of_step(schema.latest_version())
        assert all(state.applied_at for state in schema.status(connection, path))


def test_tables_of_other_programs_are_left_unchanged(path):
    made_by_the_app(path)
    with closing(connect(path)) as connection:
        connection.execute("CREATE TABLE _sqlx_migrations (version INTEGER)")
        connection.execute("CREATE INDEX somebodys ON sessions(task)")
        schema.apply(connection, path)
        ours = of_step(schema.latest_version())
        assert objects(connection).keys() - ours.keys() == {("table", "_sqlx_migrations"), ("index", "somebodys")}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("ALTER TABLE sessions ADD COLUMN mood TEXT", "sessions"),
        ("ALTER TABLE instances RENAME COLUMN branch TO twig", "instances"),
        ("DROP VIEW session_complete", "session_complete"),
        ("DROP TABLE chat_messages", "chat_messages"),
        ("DROP INDEX idx_sessions_status", "idx_sessions_status"),
    ],
)
def test_a_database_with_different_tables_is_refused_and_unchanged(path, change, named):
    made_by_the_app(path)
    with closing(connect(path)) as connection:
        connection.execute(change)
        before = contents(path)
        with raises(SchemaError, "schema.differs") as refused:
            schema.apply(connection, path)
        assert named in refused.value.message
    assert contents(path) == before


@pytest.mark.parametrize(
    "change",
    [
        "DROP TABLE migration_metadata",
        "DELETE FROM migration_metadata",
        "UPDATE migration_metadata SET schema_version = 3",
    ],
)
def test_a_database_whose_version_and_record_disagree_is_refused_and_unchanged(connection, path, change):
    schema.apply(connection, path)
    connection.execute(change)
    before = contents(path)
    with raises(SchemaError, "schema.inconsistent"):
        schema.apply(connection, path)
    assert contents(path) == before


@pytest.mark.parametrize("table", ["CREATE TABLE sessions (id TEXT)", "CREATE TABLE workspaces (id INTEGER, x TEXT)"])
def test_another_programs_tables_with_our_names_are_refused_and_unchanged(connection, path, table):
    connection.execute(table)
    before = contents(path)
    with raises(SchemaError, "schema.foreign_tables"):
        schema.apply(connection, path)
    assert contents(path) == before


def test_a_newer_database_is_refused_and_unchanged(connection, path):
    schema.apply(connection, path)
    newer = schema.latest_version() + 1
    connection.execute("UPDATE migration_metadata SET schema_version = ?", (newer,))
    before = contents(path)
    for refused in (schema.apply, schema.require_known, schema.revert, read_state):
        with raises(SchemaError, "schema.newer"):
            refused(connection, path)
    with pytest.raises(SchemaError):
        state_of(path)
    assert contents(path) == before


def test_a_model_of_the_schema_that_cannot_be_made_is_closed(monkeypatch):
    begun = []

    def fail(connection, number):
        begun.append(connection)
        raise sqlite3.OperationalError(f"step {number}")

    monkeypatch.setattr(schema, "_execute_steps", fail)
    with pytest.raises(sqlite3.OperationalError):
        schema.fresh(1)
    with pytest.raises(sqlite3.ProgrammingError):
        begun[0].execute("SELECT 1")


def test_a_step_that_fails_leaves_nothing_of_itself_and_a_retry_succeeds(connection, path, monkeypatch, tmp_path):
    first, second = schema.steps()[:2]
    broken = tmp_path / "0002_broken.up.sql"
    broken.write_text(
        "CREATE TABLE half_done (a TEXT);\nUPDATE migration_metadata SET schema_version = 2;\n"
        "ALTER TABLE sessions ADD COLUMN position INTEGER;\nINSERT INTO nowhere VALUES (1);\n"
    )
    with monkeypatch.context() as patch:
        patch.setattr(schema, "steps", lambda: (first,))
        assert schema.apply(connection, path) == [first.name]
        patch.setattr(schema, "steps", lambda: (first, second._replace(up=broken)))
        with raises(TransactionError, "transaction.failed"):
            schema.apply(connection, path)
        assert not connection.in_transaction
        assert schema.version(connection) == 1
        assert objects(connection) == of_step(1)
        assert [bool(state.applied_at) for state in schema.status(connection, path)] == [True, False]
    assert schema.apply(connection, path)[0] == second.name
    assert objects(connection) == of_step(schema.latest_version())


def test_a_locked_database_is_a_failed_connection(connection, path):
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        connection.execute("PRAGMA busy_timeout = 1")
        with raises(ConnectionFailed, "database.locked"):
            schema.apply(connection, path)
    assert schema.version(connection) == 0


# Undoing.


def test_undoing_step_by_step_ends_at_nothing(connection, path):
    schema.apply(connection, path)
    for number in range(schema.latest_version(), 0, -1):
        assert schema.revert(connection, path) == schema.steps()[number - 1].name
        assert objects(connection) == (of_step(number - 1) if number > 1 else {})
        assert schema.version(connection) == number - 1
        assert sum(bool(state.applied_at) for state in schema.status(connection, path)) == number - 1
    with raises(SchemaError, "schema.no_steps"):
        schema.revert(connection, path)


def test_undoing_the_lossless_step_keeps_the_rows_of_the_apps_tables(connection, path):
    schema.apply(connection, path)
    connection.execute("INSERT INTO workspaces (workspace_path, workspace_hash) VALUES ('/w', 'h')")
    document: Any = session(instances=[instance()], chatHistory=[message()], runtimeMix=["claude"])
    insert_document(connection, document, workspace_id=1, workspace_hash="h", position=0)
    while schema.version(connection) > 1:
        schema.revert(connection, path)
    for table in ("workspaces", "sessions", "instances", "chat_messages", "session_runtime_mix"):
        assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (1,)
    assert schema.apply(connection, path)[0] == "0002_lossless"


def test_a_step_that_cannot_be_undone_stays_complete(connection, path, monkeypatch, tmp_path):
    schema.apply(connection, path)
    *others, last = schema.steps()
    broken = tmp_path / f"{last.name}.down.sql"
    broken.write_text("DROP VIEW session_complete;\nDROP TABLE nowhere;\n")
    monkeypatch.setattr(schema, "steps", lambda: (*others, last._replace(down=broken)))
    before = contents(path)
    with raises(TransactionError, "transaction.failed"):
        schema.revert(connection, path)
    assert contents(path) == before
    assert connection.execute("PRAGMA foreign_keys").fetchone() == (1,)


def test_dropped_indexes_can_be_created_again(database):
    before = objects(database)
    statements = schema.drop_plain_indexes(database)
    assert {kind for kind, _ in objects(database)} == {"table", "view"}
    for statement in statements:
        database.execute(statement)
    assert objects(database) == before


# The state that a database is in.


def test_a_missing_or_empty_file_is_not_a_database(tmp_path):
    assert state_of(tmp_path / "none.db") is NO_DATABASE
    (tmp_path / "empty.db").touch()
    assert state_of(tmp_path / "empty.db") is NO_DATABASE
    assert NO_DATABASE.authority == "json"


@pytest.mark.parametrize("status", ["pending", "in_progress", "failed", "rolled_back", "completed"])
def test_sqlite_is_the_authority_exactly_when_a_migration_completed(connection, path, status):
    schema.apply(connection, path)
    connection.execute(queries.SET_STATUS, (status,))
    state = state_of(path)
    assert (state.status, state.schema_version) == (status, schema.latest_version())
    assert state.authority == ("sqlite" if status == "completed" else "json")


def test_a_file_that_is_not_a_database_is_a_failed_connection(path):
    path.write_bytes(b"this is not a database at all, but long enough to be read as a header" * 20)
    with raises(ConnectionFailed, "database.not_a_database"):
        state_of(path)


# The desktop app's own SQL (sections 7 and 8 of the seed), on tables with every step applied.

INSERT_WORKSPACE = "INSERT INTO workspaces (workspace_path, workspace_hash) VALUES (?, ?)"
INSERT_SESSION = """
    INSERT INTO sessions (id, workspace_id, type, task, status, created_at, updated_at)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
"""
INSERT_INSTANCE = """
    INSERT INTO instances (session_id, instance_id, worktree_path, branch, agent_name, status, tmux_session_id)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
"""
SELECT_ONE = "SELECT id, type, task, status, created_at FROM sessions WHERE id = ?"
SELECT_ALL = """
    SELECT id, type as "type_", task, status, created_at, updated_at, completed_at FROM sessions WHERE workspace_id = ?
"""
SELECT_FILTERED = "SELECT id, type, task, status FROM sessions WHERE workspace_id = ?"
T = "2025-01-13T10:00:00+00:00"


@pytest.fixture
def of_the_app(database: sqlite3.Connection) -> sqlite3.Connection:
    """A database filled by the app's own INSERT statements."""
    database.execute(INSERT_WORKSPACE, ("/test/workspace", "test_hash_123"))
    database.execute(INSERT_SESSION, ("test-session-1", 3, "competition", "Test task", "running", T, T))
    database.execute(INSERT_INSTANCE, ("test-session-1", 1, "/w", "b", "a", "idle", "t"))
    return database


@pytest.mark.parametrize(
    ("statement", "values", "row"),
    [
        (SELECT_ONE, ("test-session-1",), ("test-session-1", "competition", "Test task", "running", T)),
        (SELECT_ALL, (3,), ("test-session-1", "competition", "Test task", "running", T, T, None)),
        (SELECT_FILTERED, (3,), ("test-session-1", "competition", "Test task", "running")),
        (
            SELECT_FILTERED + " AND status = ? AND type = ?",
            (3, "running", "competition"),
            ("test-session-1", "competition", "Test task", "running"),
        ),
        ("SELECT * FROM sessions WHERE id = 'test-session-1'", (), None),
        ("SELECT * FROM instances WHERE session_id = 'test-session-1'", (), None),
    ],
)
def test_the_apps_own_statements_run_on_the_result(of_the_app, statement, values, row):
    (found,) = of_the_app.execute(statement, values).fetchall()
    assert row is None or found == row


def test_the_apps_columns_come_first_so_that_their_numbers_stay_the_same():
    with closing(schema.fresh(1)) as old, closing(schema.fresh()) as new:
        for table in OURS:
            before = old.execute(f"PRAGMA table_xinfo({table})").fetchall()
            assert new.execute(f"PRAGMA table_xinfo({table})").fetchall()[: len(before)] == before


def test_every_new_column_may_be_null():
    with closing(schema.fresh(1)) as old, closing(schema.fresh()) as new:
        for table in OURS - {"session_complete"}:
            before = len(old.execute(f"PRAGMA table_xinfo({table})").fetchall())
            for column in new.execute(f"PRAGMA table_xinfo({table})").fetchall()[before:]:
                assert column[3] == 0  # NOT NULL


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE sessions SET status = 'round_2'",
        "UPDATE sessions SET type = 'duel'",
        "UPDATE sessions SET task = ''",
        "UPDATE sessions SET id = ''",
        "UPDATE sessions SET workspace_id = 99",
        "UPDATE sessions SET total_duration = 'long'",
        "UPDATE instances SET instance_id = -1",
        "INSERT INTO workspaces (workspace_path, workspace_hash) VALUES ('', 'x')",
        "INSERT INTO workspaces (workspace_path, workspace_hash) VALUES ('/test/workspace', 'x')",
        "INSERT INTO migration_metadata (id) VALUES (2)",
        "INSERT INTO chat_messages VALUES ('m', 'test-session-1', 'tool', 'c', 't', 1, 0, NULL)",
    ],
)
def test_the_apps_checks_and_keys_still_hold(of_the_app, statement):
    with pytest.raises(sqlite3.IntegrityError):
        of_the_app.execute(statement)


def test_deleting_a_workspace_still_deletes_all_that_belongs_to_it(of_the_app):
    of_the_app.execute("DELETE FROM workspaces")
    for table in ("sessions", "instances"):
        assert of_the_app.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)


def test_the_view_has_the_columns_of_the_apps():
    with closing(schema.fresh(1)) as old, closing(schema.fresh()) as new:
        view = "SELECT * FROM session_complete"
        names = [[column[0] for column in each.execute(view).description] for each in (old, new)]
    assert names[0] == names[1]
    assert names[0][-3:] == ["instance_count", "message_count", "runtime_mix"]


def test_the_view_counts_right_and_shows_a_session_without_children(database):
    full: Any = session(
        instances=[instance(), instance(instanceId=2)],
        chatHistory=[message(id=name) for name in "abc"],
        runtimeMix=["claude", "codex"],
    )
    empty: Any = session(id="session-2")
    for place, document in enumerate((full, empty)):
        insert_document(database, document, workspace_id=1, workspace_hash="a" * 16, position=place)
    rows = database.execute(
        "SELECT id, workspace_path, instance_count, message_count, runtime_mix FROM session_complete ORDER BY id"
    ).fetchall()
    assert rows == [
        ("session-1", "/home/dev/engine", 2, 3, "claude,codex"),
        ("session-2", "/home/dev/engine", 0, 0, None),
    ]


# Speed that does not depend on how much is there.

READING = [
    "WORKSPACE_BY_HASH",
    "WORKSPACE_BY_ID",
    "SESSION_BY_KEY",
    "SESSION_KEY_TAKEN",
    "MESSAGE_KEY_TAKEN",
    "KEYS_BY_DOCUMENT_ID",
    *(f"{what}_OF_SESSION" for what in ("RUNTIMES", "INSTANCES", "MESSAGES")),
    *(f"DOCUMENTS_OF_WORKSPACE.{what}" for what in ("sessions", "runtimes", "instances", "messages")),
    *(f"DOCUMENTS_OF_SOURCE.{what}" for what in ("sessions", "runtimes", "instances", "messages")),
]


def plan(connection: sqlite3.Connection, statement: str) -> list[str]:
    numbered = re.findall(r"\?(\d+)", statement)
    count = max(map(int, numbered)) if numbered else statement.count("?")
    return [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", ("x",) * count)]


@pytest.mark.parametrize("analysed", [False, True])
@pytest.mark.parametrize("name", READING)
def test_a_reading_query_scans_no_table_and_sorts_nothing(database, name, analysed):
    if analysed:
        for place in range(50):
            document: Any = session(chatHistory=[message()] * 3, instances=[instance()] * 2, runtimeMix=["a", "b"])
            insert_document(database, document, workspace_id=1, workspace_hash="a" * 16, position=place)
        database.execute("ANALYZE")
    steps = plan(database, attrgetter(name)(queries))
    assert not [step for step in steps if step.startswith("SCAN")]
    sorts = [step for step in steps if "TEMP B-TREE" in step]
    # The few runtimes of one session are sorted by themselves; the rest never.
    assert not sorts or ("runtimes" in name.lower() and (" OF ORDER BY" in sorts[0] or name.endswith("_SESSION")))


def test_a_session_is_looked_up_by_its_id_through_the_index_on_keys(database):
    assert [step for step in plan(database, queries.KEYS_BY_DOCUMENT_ID) if "INDEX" in step] == [
        "SEARCH s USING INDEX sqlite_autoindex_sessions_1 (id=?)",
        "SEARCH s USING INDEX sqlite_autoindex_sessions_1 (id>? AND id<?)",
    ]


def values_of(database, row, columns="type, status, id, task, total_duration"):
    statement = f"SELECT {columns} FROM session_values WHERE session_key = ?"
    return database.execute(statement, (row,)).fetchone()


def test_a_view_gives_the_values_of_the_documents_themselves(database):
    document = session(
        id="", type="tournament", status="cancelled", task="", totalDuration=7,
        chatHistory=[message(id="", role="tool", content="")],
    )  # fmt: skip
    key = insert_document(database, document, workspace_id=1, workspace_hash="w", position=0)
    assert values_of(database, key) == ("tournament", "cancelled", "", "", "7")
    assert database.execute("SELECT session_key, id, role, content FROM message_values").fetchall() == [
        (key, "", "tool", "")
    ]
    database.execute("UPDATE sessions SET status = 'failed'")  # as the app does it
    assert values_of(database, key)[1] == "failed"


@pytest.mark.parametrize("duration", [None, 0, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1])
@pytest.mark.parametrize("mix", [None, [], ["b", "a"], ["b", "a", "b"], ['"', "é", '"', "\x1b"]])
def test_a_view_gives_durations_runtimes_and_numbers_exactly(database, duration, mix):
    document = session(
        totalDuration=duration, runtimeMix=mix, newer={"n": 2**64 - 1},
        instances=[instance(instanceId=3), instance(instanceId=3, newer=2**63)], chatHistory=[message(newer=2**63)],
    )  # fmt: skip
    key = insert_document(database, document, workspace_id=1, workspace_hash="w", position=0)
    text, runtimes, others = values_of(database, key, "total_duration, runtime_mix, other_members")
    assert text == (None if duration is None else str(duration))
    assert (None if runtimes is None else json.loads(runtimes)) == mix
    assert others == '{"newer":{"n":18446744073709551615}}'
    assert database.execute("SELECT instance_id, other_members FROM instance_values ORDER BY position").fetchall() == [
        (3, None), (3, '{"newer":9223372036854775808}')
    ]  # fmt: skip
    assert database.execute("SELECT other_members FROM message_values").fetchone() == ('{"newer":9223372036854775808}',)


@pytest.mark.parametrize(
    "rescued",
    [
        None, "", "{", "[]", "7", '"x"', "{}", '{"columns": 7}', '{"columns": {"status": 7}}',
        '{"columns": {"status": []}}', '{"columns": {"status": ["paused"]}}', '{"columns": {"status": ["paused", {}]}}',
        '{"columns": {"status": ["running", "cancelled"]}}', '{"columns": {"status": ["paused", null]}}',
        '{"columns": {"runtime_mix": 7}}', '{"columns": {"runtime_mix": [7, ["x"]]}}', '{"members": 7}',
        '{"columns": {"runtime_mix": [["x"], ["y"]]}}', '{"columns": {"total_duration": [1]}}',
    ],
)  # fmt: skip
def test_rescued_data_of_another_program_never_breaks_the_views(database, rescued):
    document = session(status="paused", instances=[instance(instanceId=1)], chatHistory=[message()])
    key = insert_document(database, document, workspace_id=1, workspace_hash="w", position=0)
    for table in ("sessions", "instances", "chat_messages"):
        database.execute(f"UPDATE {table} SET rescued_data = ?", (rescued,))
    assert values_of(database, key)[1] == "paused"
    assert values_of(database, key, "runtime_mix, other_members") == (None, None)
    assert database.execute("SELECT instance_id, other_members FROM instance_values").fetchall() == [(1, None)]
    assert database.execute("SELECT count(*) FROM message_values WHERE role = 'user'").fetchone() == (1,)


@pytest.mark.parametrize("number", range(1, schema.latest_version() + 1))
def test_the_views_can_be_provided_for_older_tables(number):
    with closing(schema.fresh(number)) as old:
        old.execute("INSERT INTO workspaces (id, workspace_path, workspace_hash) VALUES (1, '/w', 'w')")
        old.execute(
            "INSERT INTO sessions (id, workspace_id, type, task, status, created_at, updated_at)"
            " VALUES ('s', 1, 'debate', 't', 'running', 'c', 'u')"
        )
        old.execute(
            "INSERT INTO chat_messages (id, session_id, role, content, timestamp) VALUES ('m', 's', 'user', 'c', 't')"
        )
        schema.provide_value_views(old)
        assert values_of(old, "s") == ("debate", "running", "s", "t", None)
        assert old.execute("SELECT message_key, id, role FROM message_values").fetchall() == [("m", "m", "user")]
