"""Writes to SQLite by an app that kept it open during a rollback: refused, or found by the next run."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import migrator as library
from migrator.errors import StaleStoreError
from migrator.storage.hybrid.journal import read_stats
from tests.support.command_line import Migrator
from tests.support.scene import Document, Scene, app_inserts, chat, hash_of

ENGINE = "/home/dev/engine"


@pytest.fixture
def rolled_back(scene: Scene, migrator: Migrator) -> Iterator[tuple[Scene, sqlite3.Connection]]:
    """Two sessions of one workspace, migrated and rolled back, and a connection that the app kept open meanwhile."""
    scene.write(ENGINE, [chat("s-0", task="first"), chat("s-1", task="second")])
    assert migrator("--data-dir", scene.root, "migrate").code == 0
    with closing(sqlite3.connect(scene.database, isolation_level=None)) as app:
        app.execute("PRAGMA foreign_keys = ON")
        assert migrator("--data-dir", scene.root, "rollback").code == 0
        yield scene, app


def migrate(scene: Scene, migrator: Migrator, code: int = 0) -> Document:
    outcome = migrator("--data-dir", scene.root, "migrate", "--json")
    assert outcome.code == code, outcome.err
    report: Document = outcome.json
    return report


def write_to_file(scene: Scene, *tasks: str) -> None:
    scene.write(ENGINE, [chat(f"s-{number}", task=task) for number, task in enumerate(tasks)])


def quarantined(scene: Scene) -> list[tuple[Any, ...]]:
    return scene.query("SELECT reason, json_extract(raw, '$.task') FROM quarantine ORDER BY id")


# Through a store.


@pytest.mark.parametrize("backend", ["sqlite", "hybrid"])
def test_a_store_that_was_opened_before_a_rollback_refuses_to_write_after_it(
    scene: Scene, migrator: Migrator, backend: str
) -> None:
    scene.write(ENGINE, [chat("s-0")])
    for command in (["migrate"], ["backend", backend]):
        assert migrator("--data-dir", scene.root, *command).code == 0
    new: Any = chat("s-new")
    with library.open_storage(scene.root) as store:
        library.rollback(scene.root)
        with pytest.raises(StaleStoreError) as refused:
            store.create_session(ENGINE, new)
    assert refused.value.code == "store.rolled_back"
    with library.open_storage(scene.root) as store:
        assert [session["id"] for session in store.get_all_sessions(ENGINE)] == ["s-0"]


def test_a_write_that_sqlite_refused_in_hybrid_mode_leaves_nothing_to_repair(scene: Scene, migrator: Migrator) -> None:
    scene.write(ENGINE, [chat("s-0")])
    for command in (["migrate"], ["backend", "hybrid"]):
        assert migrator("--data-dir", scene.root, *command).code == 0
    with library.open_storage(scene.root) as store:
        library.rollback(scene.root)
        with pytest.raises(StaleStoreError):
            store.delete_session(ENGINE, "s-0")
    stats = read_stats(scene.root / "hybrid.db")
    assert stats is not None
    assert stats.pending_repairs == 0


def other_warnings(report: Any) -> list[str]:
    """All warnings but that which names the copy of the database."""
    return [warning for warning in report["warnings"] if "is kept in the backup" not in warning]


# With the app's own SQL.


def test_a_session_created_in_sqlite_after_a_rollback_is_applied(
    rolled_back: tuple[Scene, sqlite3.Connection], migrator: Migrator
) -> None:
    scene, app = rolled_back
    app_inserts(app, ENGINE, "s-late", "late", "m-late")
    report = migrate(scene, migrator)
    assert scene.tasks(ENGINE) == ["first", "second", "late"]
    assert len(other_warnings(report)) == 1


def test_a_session_of_a_workspace_without_a_file_is_applied(
    rolled_back: tuple[Scene, sqlite3.Connection], migrator: Migrator
) -> None:
    scene, app = rolled_back
    app_inserts(app, "/home/bob/loom", "s-late", "late", "m-late")
    migrate(scene, migrator)
    assert scene.tasks("/home/bob/loom") == ["late"]


def test_a_session_that_changed_only_in_sqlite_is_applied(
    rolled_back: tuple[Scene, sqlite3.Connection], migrator: Migrator
) -> None:
    scene, app = rolled_back
    app.execute("UPDATE sessions SET task = 'late' WHERE id = 's-0'")
    write_to_file(scene, "first", "second, in the file")
    migrate(scene, migrator)
    assert scene.tasks(ENGINE) == ["late", "second, in the file"]


def test_a_message_alone_counts_as_a_change(rolled_back: tuple[Scene, sqlite3.Connection], migrator: Migrator) -> None:
    scene, app = rolled_back
    app.execute(
        "INSERT INTO chat_messages (id, session_id, role, content, timestamp) "
        "VALUES ('m', 's-0', 'user', 'late', '2025')"
    )
    migrate(scene, migrator)
    assert [one["content"] for one in scene.documents(hash_of(ENGINE))[0]["chatHistory"]] == ["hello", "late"]


def test_if_a_session_changed_on_both_sides_the_files_version_stays_and_sqlites_is_quarantined(
    rolled_back: tuple[Scene, sqlite3.Connection], migrator: Migrator
) -> None:
    scene, app = rolled_back
    app.execute("UPDATE sessions SET task = 'late' WHERE id = 's-0'")
    write_to_file(scene, "first, in the file", "second")
    report = migrate(scene, migrator, code=3)
    assert scene.tasks(ENGINE) == ["first, in the file", "second"]
    assert quarantined(scene) == [("conflict", "late")]
    assert [problem["code"] for problem in report["problems"]] == ["session.conflict"]


def test_the_quarantined_version_can_be_chosen_later(
    rolled_back: tuple[Scene, sqlite3.Connection], migrator: Migrator
) -> None:
    scene, app = rolled_back
    app.execute("UPDATE sessions SET task = 'late' WHERE id = 's-0'")
    write_to_file(scene, "first, in the file", "second")
    migrate(scene, migrator, code=3)
    assert migrator("--data-dir", scene.root, "quarantine", "retry", "--all", "--take", "theirs").code == 0
    assert scene.tasks(ENGINE) == ["late", "second"]


def test_a_session_changed_in_sqlite_and_deleted_in_the_file_is_quarantined(
    rolled_back: tuple[Scene, sqlite3.Connection], migrator: Migrator
) -> None:
    scene, app = rolled_back
    app.execute("UPDATE sessions SET task = 'late' WHERE id = 's-1'")
    write_to_file(scene, "first")
    migrate(scene, migrator, code=3)
    assert (scene.tasks(ENGINE), quarantined(scene)) == (["first"], [("conflict", "late")])


def test_the_same_change_in_the_file_is_not_a_conflict(
    rolled_back: tuple[Scene, sqlite3.Connection], migrator: Migrator
) -> None:
    scene, app = rolled_back
    app.execute("UPDATE sessions SET task = 'both' WHERE id = 's-0'")
    write_to_file(scene, "both", "second")
    migrate(scene, migrator)
    assert (scene.tasks(ENGINE), quarantined(scene)) == (["both", "second"], [])


def test_a_session_that_was_deleted_in_sqlite_stays_and_is_reported(
    rolled_back: tuple[Scene, sqlite3.Connection], migrator: Migrator
) -> None:
    scene, app = rolled_back
    app.execute("DELETE FROM sessions WHERE id = 's-0'")
    report = migrate(scene, migrator)
    assert scene.tasks(ENGINE) == ["first", "second"]
    assert len(other_warnings(report)) == 1


def test_what_was_deleted_in_the_file_after_a_rollback_does_not_come_back(
    rolled_back: tuple[Scene, sqlite3.Connection], migrator: Migrator
) -> None:
    scene, _ = rolled_back
    write_to_file(scene, "first")
    migrate(scene, migrator)
    assert (scene.tasks(ENGINE), quarantined(scene)) == (["first"], [("deleted", "second")])


def test_it_does_not_come_back_even_if_the_schema_step_that_records_rollbacks_was_undone(
    scene: Scene, migrator: Migrator
) -> None:
    scene.write(ENGINE, [chat("a"), chat("b")])
    migrator("--data-dir", scene.root, "migrate")
    migrator("--data-dir", scene.root, "rollback")
    while scene.query("SELECT schema_version FROM migration_metadata") > [(3,)]:
        assert migrator("--data-dir", scene.root, "schema", "revert").code == 0
    scene.write(ENGINE, [chat("a")])
    assert migrator("--data-dir", scene.root, "migrate").code == 0
    assert [one["id"] for one in scene.documents(hash_of(ENGINE))] == ["a"]
    assert scene.conflicts() == []


@pytest.mark.parametrize("version", [1, 3, 8])
def test_changes_in_files_after_the_schema_was_reverted_are_no_conflicts(
    scene: Scene, migrator: Migrator, version: int
) -> None:
    documents = [chat(f"s-{number}", status="round_1", task=f"{number}") for number in range(9)]
    scene.write(ENGINE, [*documents, documents[0]])
    migrator("--data-dir", scene.root, "migrate")
    migrator("--data-dir", scene.root, "rollback")
    while scene.query("SELECT schema_version FROM migration_metadata") > [(version,)]:
        assert migrator("--data-dir", scene.root, "schema", "revert").code == 0
    if version < 4:  # the copy that has the record is needed
        assert migrator("--data-dir", scene.root, "backups", "prune", "--keep", "1").code == 0
    scene.change("UPDATE sessions SET task = 'late' WHERE id = 's-1'")
    for document in documents[2:]:
        document["task"] = "in the file"
    scene.write(ENGINE, [*documents, documents[0]])
    outcome = migrator("--data-dir", scene.root, "migrate")
    assert scene.tasks(ENGINE) == ["0", "1" if version == 1 else "late", *["in the file"] * 7, "0"]
    # Reverting step 2 also removed what the columns of a changed session could not hold, so that it cannot be applied.
    assert (outcome.code, len(scene.conflicts())) == ((3, 1) if version == 1 else (0, 0))


def test_two_sessions_of_one_id_are_distinguished(scene: Scene, migrator: Migrator) -> None:
    scene.write(ENGINE, [chat("s-0", task="first"), chat("s-0", task="its twin")])
    migrate(scene, migrator)
    with closing(sqlite3.connect(scene.database, isolation_level=None)) as app:
        assert migrator("--data-dir", scene.root, "rollback").code == 0
        app.execute("UPDATE sessions SET task = 'late twin' WHERE task = 'its twin'")
    migrate(scene, migrator)
    assert scene.tasks(ENGINE) == ["first", "late twin"]


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        ("UPDATE sessions SET total_duration = -5 WHERE id = 's-0'", "invalid"),
        ("UPDATE sessions SET rescued_data = '{\"columns\": 5}' WHERE id = 's-0'", "invalid"),
        ("UPDATE sessions SET task = CAST(X'6C6174FF' AS TEXT) WHERE id = 's-0'", "unreadable"),
    ],
    ids=["invalid value", "invalid rescued data", "not UTF-8"],
)
def test_a_session_made_invalid_after_a_rollback_is_quarantined(
    rolled_back: tuple[Scene, sqlite3.Connection], migrator: Migrator, damage: str, expected: str
) -> None:
    scene, app = rolled_back
    app.execute(damage)
    report = migrate(scene, migrator, code=3)
    assert [problem["code"] for problem in report["problems"]] == ["session.quarantined"]
    assert scene.tasks(ENGINE) == ["first", "second"]
    [(reason, raw)] = scene.query("SELECT reason, raw FROM quarantine")
    assert reason == expected
    assert json.loads(raw)


def test_a_database_that_did_not_change_after_a_rollback_has_nothing_to_apply(
    rolled_back: tuple[Scene, sqlite3.Connection], migrator: Migrator
) -> None:
    scene, _ = rolled_back
    report = migrate(scene, migrator)
    assert (other_warnings(report), scene.tasks(ENGINE)) == ([], ["first", "second"])


def test_the_copy_of_the_database_is_named(rolled_back: tuple[Scene, sqlite3.Connection], migrator: Migrator) -> None:
    scene, _ = rolled_back
    report = migrate(scene, migrator)
    [folder] = scene.root.glob("backups/*-database-rolled-back")
    assert [warning for warning in report["warnings"] if folder.name in warning]


def test_a_change_after_a_rollback_survives_the_next_rollback(
    rolled_back: tuple[Scene, sqlite3.Connection], migrator: Migrator
) -> None:
    scene, app = rolled_back
    app_inserts(app, ENGINE, "s-late", "late", "m-late")
    migrate(scene, migrator)
    assert migrator("--data-dir", scene.root, "rollback").code == 0
    assert [one["task"] for one in json.loads(Path(scene.file_of(ENGINE)).read_bytes())] == ["first", "second", "late"]


@pytest.mark.parametrize("backend", ["sqlite", "hybrid"])
def test_a_change_after_a_rollback_is_found_if_no_file_is_left(
    rolled_back: tuple[Scene, sqlite3.Connection], migrator: Migrator, backend: str
) -> None:
    scene, app = rolled_back
    app_inserts(app, ENGINE, "s-late", "late", "m-late")
    scene.file_of(ENGINE).unlink()
    assert migrator("--data-dir", scene.root, "backend", backend).code == 3  # the file is missing
    assert scene.tasks(ENGINE) == ["first", "second", "late"]


def test_verify_reports_what_was_written_after_a_rollback(rolled_back: tuple[Scene, sqlite3.Connection]) -> None:
    scene, app = rolled_back
    app_inserts(app, ENGINE, "s-late", "late", "m-late")
    assert "session.written_after_rollback" in {note.code for note in library.verify(scene.root).notes}
