"""Schema steps on a database that holds data: a backup first, and nothing that would lose something."""

import hashlib
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from migrator.admin import query_check
from migrator.backups import database_copy
from migrator.database import queries, schema
from migrator.storage.sqlite import SqliteStorage
from tests.support.command_line import Migrator
from tests.support.scene import Scene, app_inserts, app_json, chat

ENGINE = "/home/dev/engine"
LATEST = schema.latest_version()
LAST_STEP = schema.steps()[-1].name


@pytest.fixture
def migrated(scene: Scene, migrator: Migrator) -> Scene:
    """One workspace with two sessions, migrated."""
    scene.write(ENGINE, [chat("s-1", task="one"), chat("s-2", task="two")])
    assert migrator("--data-dir", scene.root, "migrate").code == 0
    return scene


def objects(database: Path) -> dict[str, str]:
    """Every table, index and view of a database with the statement that makes it, without regard to spaces.

    Those of the search index, which no step makes, left out.
    """
    with closing(sqlite3.connect(database)) as connection:
        rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    made = {name: " ".join(sql.split()) for name, sql in rows}
    return {name: sql for name, sql in made.items() if not name.startswith("search_") or name == "search_index"}


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


# Undoing a step.


def test_while_sqlite_is_the_authority_no_step_is_undone_under_its_sessions(
    migrated: Scene, migrator: Migrator
) -> None:
    before = objects(migrated.database)
    outcome = migrator("--data-dir", migrated.root, "schema", "revert", "--json")
    assert (outcome.code, outcome.codes) == (1, ["schema.database_authoritative"])
    assert "'migrator rollback'" in outcome.err
    assert objects(migrated.database) == before
    assert migrated.tasks(ENGINE) == ["one", "two"]


def test_what_is_in_quarantine_alone_keeps_a_step_from_being_undone_too(scene: Scene, migrator: Migrator) -> None:
    scene.write(ENGINE, [7])
    migrator("--data-dir", scene.root, "migrate")
    outcome = migrator("--data-dir", scene.root, "schema", "revert", "--json")
    assert (outcome.code, outcome.codes) == (1, ["schema.database_authoritative"])
    assert scene.query("SELECT raw FROM quarantine") == [("7",)]


@pytest.mark.parametrize("content", [b"[]", app_json([chat("s-1")])[:-40]], ids=["empty", "torn"])
def test_no_step_is_undone_under_an_authority_without_any_session(
    content: bytes, scene: Scene, migrator: Migrator
) -> None:
    scene.write_bytes(ENGINE, content)
    migrator("--data-dir", scene.root, "migrate")
    outcome = migrator("--data-dir", scene.root, "schema", "revert", "--json")
    assert (outcome.code, outcome.codes) == (1, ["schema.database_authoritative"])
    assert scene.query("SELECT count(*) FROM migration_ledger") == [(1,)]


def test_no_step_is_undone_under_a_store_that_was_begun_empty(scene: Scene, migrator: Migrator) -> None:
    assert migrator("--data-dir", scene.root, "backend", "sqlite").code == 0
    assert migrator("--data-dir", scene.root, "schema", "revert").code == 1
    assert migrator("--data-dir", scene.root, "rollback").code == 0
    assert migrator("--data-dir", scene.root, "schema", "revert").code == 0


def test_after_a_rollback_the_step_can_be_undone(migrated: Scene, migrator: Migrator) -> None:
    migrator("--data-dir", migrated.root, "rollback")
    outcome = migrator("--data-dir", migrated.root, "schema", "revert", "--json")
    assert outcome.code == 0
    assert (outcome.json["steps"], outcome.json["schema_version"]) == ([LAST_STEP], LATEST - 1)
    assert migrated.query("SELECT schema_version FROM migration_metadata") == [(LATEST - 1,)]
    assert [task for (task,) in migrated.query("SELECT task FROM sessions ORDER BY id")] == ["one", "two"]


def test_the_backup_taken_before_opens_and_holds_every_row(migrated: Scene, migrator: Migrator) -> None:
    migrator("--data-dir", migrated.root, "rollback")
    backup = Path(migrator("--data-dir", migrated.root, "schema", "revert", "--json").json["backup"])
    assert migrated.query("PRAGMA integrity_check", database=backup) == [("ok",)]
    rows = migrated.query("SELECT id, task, position FROM sessions ORDER BY position", database=backup)
    assert rows == [("s-1", "one", 0), ("s-2", "two", 1)]
    assert migrated.query("SELECT count(*) FROM chat_messages", database=backup) == [(2,)]


def test_the_backup_taken_before_is_listed_and_whole(migrated: Scene, migrator: Migrator) -> None:
    migrator("--data-dir", migrated.root, "rollback")
    backup = Path(migrator("--data-dir", migrated.root, "schema", "revert", "--json").json["backup"])
    manifest = json.loads((backup.parent / "manifest.json").read_bytes())
    assert manifest["sha256"] == sha256(backup)
    assert (backup.parent / "SHA256SUMS").read_text() == f"{sha256(backup)}  sessions.db\n"


def test_a_reverted_step_is_reported_with_the_backup(migrated: Scene, migrator: Migrator) -> None:
    migrator("--data-dir", migrated.root, "rollback")
    outcome = migrator("--data-dir", migrated.root, "schema", "revert")
    [backup] = (migrated.root / "backups").glob("*-database-before-revert/sessions.db")
    assert LAST_STEP in outcome.out
    assert str(backup) in outcome.out


def test_undoing_the_step_and_applying_it_gives_the_same_schema(migrated: Scene, migrator: Migrator) -> None:
    migrator("--data-dir", migrated.root, "rollback")
    before = objects(migrated.database)
    migrator("--data-dir", migrated.root, "schema", "revert")
    assert objects(migrated.database) != before
    assert migrator("--data-dir", migrated.root, "schema", "apply").code == 0
    assert objects(migrated.database) == before


def test_a_migration_after_an_undone_step_applies_it_again(migrated: Scene, migrator: Migrator) -> None:
    migrator("--data-dir", migrated.root, "rollback")
    migrator("--data-dir", migrated.root, "schema", "revert")
    assert migrator("--data-dir", migrated.root, "migrate").code == 0
    assert migrated.tasks(ENGINE) == ["one", "two"]
    assert migrator("--data-dir", migrated.root, "verify").code == 0


def test_where_every_step_is_undone_there_is_nothing_to_undo(scene: Scene, migrator: Migrator) -> None:
    migrator("--data-dir", scene.root, "schema", "apply")
    for _ in range(LATEST):
        assert migrator("--data-dir", scene.root, "schema", "revert").code == 0
    outcome = migrator("--data-dir", scene.root, "schema", "revert", "--json")
    assert (outcome.code, outcome.codes) == (1, ["schema.no_steps"])


def test_the_step_that_would_drop_sessions_is_not_undone_whichever_program_wrote_them(
    migrated: Scene, migrator: Migrator
) -> None:
    """An app that held the database open through the rollback may have written there since, at any version."""
    migrator("--data-dir", migrated.root, "rollback")
    for _ in range(LATEST - 1):
        assert migrator("--data-dir", migrated.root, "schema", "revert").code == 0
    with closing(sqlite3.connect(migrated.database)) as connection, connection:
        app_inserts(connection, ENGINE, "s-3", "three", "m-3")
    outcome = migrator("--data-dir", migrated.root, "schema", "revert", "--json")
    assert (outcome.code, outcome.codes) == (1, ["schema.holds_sessions"])
    [problem] = outcome.json["problems"]
    for count in ("3 sessions", "2 instances", "3 messages"):
        assert count in problem["message"]
    assert str(migrated.database) in problem["hint"]
    assert [task for (task,) in migrated.query("SELECT task FROM sessions ORDER BY id")] == ["one", "two", "three"]


def test_what_is_written_while_a_step_is_about_to_be_undone_keeps_it(
    scene: Scene, migrator: Migrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrator("--data-dir", scene.root, "schema", "apply")
    for _ in range(LATEST - 1):
        migrator("--data-dir", scene.root, "schema", "revert")
    back_up = database_copy.back_up_by

    def then_written(*arguments: Any) -> Any:
        copy = back_up(*arguments)
        with closing(sqlite3.connect(scene.database)) as connection, connection:
            app_inserts(connection, ENGINE, "s-1", "one", "m-1")
        return copy

    monkeypatch.setattr(database_copy, "back_up_by", then_written)
    outcome = migrator("--data-dir", scene.root, "schema", "revert", "--json")
    assert (outcome.code, outcome.codes) == (1, ["schema.holds_sessions"])
    assert scene.query("SELECT task FROM sessions") == [("one",)]


def test_without_a_database_there_is_nothing_to_undo(scene: Scene, migrator: Migrator) -> None:
    outcome = migrator("--data-dir", scene.root, "schema", "revert", "--json")
    assert (outcome.code, outcome.codes) == (1, ["database.missing"])
    assert not scene.database.exists()


# Applying steps.


def test_applying_creates_a_missing_database(scene: Scene, migrator: Migrator) -> None:
    outcome = migrator("--data-dir", scene.root, "schema", "apply", "--json")
    assert outcome.code == 0
    assert outcome.json["steps"] == [step.name for step in schema.steps()]
    assert outcome.json["backup"] is None
    assert scene.database.stat().st_mode & 0o777 == 0o600


def test_a_database_of_the_app_that_has_rows_is_backed_up_before_a_step_is_applied(
    scene: Scene, migrator: Migrator
) -> None:
    with closing(scene.app_opens_it()) as app:
        app_inserts(app, ENGINE, "s-app", "by the app", "msg-app")
    before = objects(scene.database)
    change = migrator("--data-dir", scene.root, "schema", "apply", "--json").json
    assert change["steps"] == [step.name for step in schema.steps()[1:]]
    assert scene.query("SELECT id, task FROM sessions", database=Path(change["backup"])) == [("s-app", "by the app")]
    assert objects(Path(change["backup"])) == before
    assert scene.query("SELECT id, task, position FROM sessions") == [("s-app", "by the app", None)]


def test_where_nothing_is_missing_nothing_is_applied(migrated: Scene, migrator: Migrator) -> None:
    outcome = migrator("--data-dir", migrated.root, "schema", "apply")
    assert (outcome.code, outcome.out) == (0, "Nothing to apply.\n")
    assert migrator("--data-dir", migrated.root, "schema", "apply", "--json").json["backup"] is None


# Checking.


def test_the_check_passes_without_any_database(scene: Scene, migrator: Migrator) -> None:
    outcome = migrator("--data-dir", scene.root, "schema", "check", "--json")
    assert (outcome.code, outcome.json["errors"], outcome.json["problems"]) == (0, [], [])
    assert outcome.json["statements"] > 50
    assert not scene.database.exists()


def test_the_check_passes_for_a_migrated_database(migrated: Scene, migrator: Migrator) -> None:
    outcome = migrator("--data-dir", migrated.root, "schema", "check", "--json")
    assert (outcome.code, outcome.codes) == (0, [])


def test_a_misspelled_statement_fails_the_check_by_name(
    scene: Scene, migrator: Migrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "SESSION_COUNT", "SELECT count(*) FROM sesions")
    outcome = migrator("--data-dir", scene.root, "schema", "check", "--json")
    assert outcome.code == 1
    assert outcome.codes == ["schema.bad_statement"]
    assert outcome.json["errors"] == ["SESSION_COUNT: no such table: sesions"]


def test_a_misspelled_statement_among_several_of_one_name_is_identified(
    scene: Scene, migrator: Migrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, *_ = queries.DELETE_CHILDREN
    monkeypatch.setattr(queries, "DELETE_CHILDREN", (first, "DELETE FROM instances WHERE sesion_id = ?"))
    outcome = migrator("--data-dir", scene.root, "schema", "check", "--json")
    assert outcome.json["errors"] == ["DELETE_CHILDREN[1]: no such column: sesion_id"]


def test_a_hot_path_that_reads_a_whole_table_fails_the_check() -> None:
    scan = "SELECT * FROM chat_messages m WHERE +m.session_id = ?"
    found = query_check.problems([("MESSAGES_OF_SESSION", scan)])
    assert found == ["MESSAGES_OF_SESSION: SCAN m"]
    assert query_check.QueryCheck(1, tuple(found)).exit_code == 1


def test_a_hot_path_without_its_index_fails_the_check() -> None:
    without_the_index = query_check.fresh_with_staging()
    without_the_index.execute("DROP INDEX idx_chat_messages_session_position")
    found = query_check.problems(connection=without_the_index)
    assert any(problem.startswith("MESSAGES_OF_SESSION: SCAN m") for problem in found)


def test_every_module_of_statements_is_checked() -> None:
    package = Path(query_check.__file__).parent.parent
    files = set(package.rglob("*queries.py"))
    assert files <= {Path(str(module.__file__)) for module in query_check.MODULES}


def test_every_hot_path_is_the_name_of_a_statement() -> None:
    names = {name.partition("[")[0] for name, _ in query_check.named_statements()}
    assert set(query_check.HOT_PATHS) <= names


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ("DROP INDEX idx_sessions_source", "idx_sessions_source"),
        ("DROP VIEW session_complete", "session_complete"),
        ("ALTER TABLE sessions ADD COLUMN mood TEXT", "sessions"),
    ],
)
def test_what_differs_in_an_existing_database_is_named(
    change: str, name: str, migrated: Scene, migrator: Migrator
) -> None:
    migrated.change(change)
    outcome = migrator("--data-dir", migrated.root, "schema", "check", "--json")
    assert outcome.code == 1
    assert outcome.codes == ["schema.differs"]
    assert f" {name} " in outcome.json["errors"][0]


def test_what_another_program_added_does_not_count(migrated: Scene, migrator: Migrator) -> None:
    migrated.change("CREATE TABLE somebody_elses (x)")
    assert migrator("--data-dir", migrated.root, "schema", "check").code == 0


# A database from the future.

COMMANDS = [
    "status",
    "migrate",
    "migrate --dry-run",
    "rollback",
    "rollback --dry-run",
    "verify",
    "export --to out",
    "schema status",
    "schema apply",
    "schema revert",
    "schema check",
    "backend",
    "backend json",
    "backend sqlite",
    "backend hybrid",
    "sessions list",
    "sessions show s-1",
    "quarantine list",
    "quarantine show 1",
    "quarantine retry --all",
    "verify --repair",
    "backups prune --keep 1",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_database_from_the_future_is_refused_and_stays_untouched(
    command: str, migrated: Scene, migrator: Migrator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    migrated.change("UPDATE migration_metadata SET schema_version = 99")
    before = migrated.listing()
    outcome = migrator("--data-dir", migrated.root, *command.split(), "--json")
    assert (outcome.code, outcome.codes) == (1, ["schema.newer"])
    for number in (99, LATEST):
        assert str(number) in outcome.json["problems"][0]["message"]
    assert outcome.json["problems"][0]["hint"]
    assert migrated.listing() == before


@pytest.mark.parametrize("backend", [None, "sqlite", "hybrid", "json"])
def test_no_store_is_opened_with_a_newer_database(backend: Any, migrated: Scene) -> None:
    from migrator import SchemaError, open_storage

    migrated.change("UPDATE migration_metadata SET schema_version = 99")
    before = migrated.listing()
    with pytest.raises(SchemaError) as raised:
        open_storage(migrated.root, backend)
    assert raised.value.code == "schema.newer"
    assert migrated.listing() == before


def copied_sessions(scene: Scene) -> list[tuple[Any, ...]]:
    """What the copy holds that was taken of the database before a step was applied."""
    copies = list((scene.root / "backups").glob("*-database-before-apply/sessions.db"))
    assert len(copies) == 1
    return scene.query("SELECT id FROM sessions", database=copies[0])


def test_a_store_copies_a_database_that_holds_sessions_before_it_applies_a_step(scene: Scene) -> None:
    with closing(scene.app_opens_it()) as app:
        app_inserts(app, "/home/dev/engine", "app-1", "by the app", "msg-app")
    SqliteStorage(scene.database).close()
    assert copied_sessions(scene) == [("app-1",)]


def test_a_migration_copies_a_database_that_holds_sessions_before_it_applies_a_step(
    scene: Scene, migrator: Migrator
) -> None:
    with closing(scene.app_opens_it()) as app:
        app_inserts(app, "/home/dev/engine", "app-1", "by the app", "msg-app")
    scene.write("/home/dev/loom", [chat("s-1")])
    assert migrator("--data-dir", scene.root, "migrate", "--progress", "none").code == 0
    assert copied_sessions(scene) == [("app-1",)]


def test_a_step_is_not_undone_while_the_quarantine_holds_the_losing_side_of_a_conflict(
    scene: Scene, migrator: Migrator
) -> None:
    scene.write("/home/dev/engine", [chat("s-1")])
    assert migrator("--data-dir", scene.root, "migrate", "--progress", "none").code == 0
    scene.change("UPDATE sessions SET task = 'changed in SQLite'")
    scene.write("/home/dev/engine", [chat("s-1", task="changed in the file")])
    assert migrator("--data-dir", scene.root, "migrate", "--progress", "none").code == 3
    assert migrator("--data-dir", scene.root, "rollback", "--progress", "none").code == 3
    outcome = migrator("--data-dir", scene.root, "schema", "revert", "--json")
    assert (outcome.code, outcome.codes) == (1, ["schema.holds_conflicts"])
    assert "migrator quarantine export" in outcome.json["problems"][0]["hint"]
    assert scene.query("SELECT count(*) FROM quarantine WHERE reason = 'conflict'") == [(1,)]
    assert migrator("--data-dir", scene.root, "quarantine", "retry", "--all", "--take", "ours").code == 0
    assert [json.loads(path.read_bytes())["task"] for path in scene.root.glob("backups/*-quarantine-1/*s.json")] == [
        "changed in the file"
    ]
    assert migrator("--data-dir", scene.root, "schema", "revert").code == 0
