"""Publishing into a database that already exists: the app's own, an empty one, or a foreign one."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from migrator import open_storage
from migrator.database.connection import opened, waiting
from tests.support.command_line import Migrator
from tests.support.scene import Scene, app_inserts, chat, copy_fixture, hash_of, serialized
from tests.support.strategies import session

WORKSPACE = "/home/dev/engine"


@pytest.fixture
def app(scene: Scene) -> Iterator[sqlite3.Connection]:
    """The desktop app, which created the database with its own SQL and has it open."""
    with closing(scene.app_opens_it()) as connection:
        yield connection


def test_an_empty_file_is_filled(scene: Scene, migrator: Migrator) -> None:
    scene.database.touch()
    scene.write(WORKSPACE, [chat("s-1")])
    assert migrator("--data-dir", scene.root, "migrate").code == 0
    assert scene.tasks(WORKSPACE) == ["Weave"]
    assert scene.status() == "completed"


def test_the_fixture_is_migrated_into_a_database_that_the_app_has_open(scene: Scene, migrator: Migrator) -> None:
    apart = scene.root.with_name("apart")
    copy_fixture(apart)
    migrator("--data-dir", apart, "migrate")
    scene.root.rmdir()
    copy_fixture(scene.root)
    with closing(scene.app_opens_it()):
        assert migrator("--data-dir", scene.root, "migrate").code == 3
        hashes = [row[0] for row in scene.query("SELECT workspace_hash FROM workspaces")]
        assert len(hashes) == 15
        for workspace_hash in hashes:
            here = [serialized(document) for document in scene.documents(workspace_hash)]
            there = [serialized(document) for document in Scene(apart).documents(workspace_hash)]
            assert here == there
    assert migrator("--data-dir", scene.root, "verify").code == 0


def test_the_app_sees_the_published_sessions_on_its_open_connection(
    scene: Scene, app: sqlite3.Connection, migrator: Migrator
) -> None:
    scene.write(WORKSPACE, [chat("s-1")])
    assert migrator("--data-dir", scene.root, "migrate").code == 0
    assert app.execute("SELECT id, task FROM sessions").fetchall() == [("s-1", "Weave")]
    app.execute("UPDATE sessions SET task = 'in the app'")
    assert scene.tasks(WORKSPACE) == ["in the app"]


def test_a_read_transaction_of_the_app_does_not_stop_a_migration(
    scene: Scene, app: sqlite3.Connection, migrator: Migrator
) -> None:
    app.execute("BEGIN")
    app.execute("SELECT * FROM sessions").fetchall()
    scene.write(WORKSPACE, [chat("s-1")])
    assert migrator("--data-dir", scene.root, "migrate").code == 0
    assert app.execute("SELECT count(*) FROM sessions").fetchall() == [(0,)]
    app.execute("COMMIT")
    assert app.execute("SELECT count(*) FROM sessions").fetchall() == [(1,)]


def test_sessions_that_the_app_created_in_the_same_workspace_stay(
    scene: Scene, app: sqlite3.Connection, migrator: Migrator
) -> None:
    app_inserts(app, WORKSPACE, "s-app", "created in SQLite", "msg-app")
    scene.write(WORKSPACE, [chat("s-1"), chat("s-2", task="Spin")])
    assert migrator("--data-dir", scene.root, "migrate").code == 0
    assert scene.tasks(WORKSPACE) == ["Weave", "Spin", "created in SQLite"]


def test_the_same_session_in_both_is_stored_once(scene: Scene, app: sqlite3.Connection, migrator: Migrator) -> None:
    app_inserts(app, WORKSPACE, "s-1", "the same", "msg-1")
    born = "2025-02-01T00:00:00Z"
    said = {"id": "msg-1", "role": "user", "content": "hi", "timestamp": "2025"}
    document = session(id="s-1", task="the same", createdAt=born, updatedAt=born, chatHistory=[said])
    scene.write(WORKSPACE, [document])
    assert migrator("--data-dir", scene.root, "migrate").code == 0
    assert [serialized(stored) for stored in scene.documents(hash_of(WORKSPACE))] == [serialized(document)]
    assert scene.conflicts() == []


def test_if_two_sessions_of_one_id_differ_sqlites_stays_and_the_files_is_quarantined(
    scene: Scene, app: sqlite3.Connection, migrator: Migrator
) -> None:
    app_inserts(app, WORKSPACE, "s-1", "created in SQLite", "msg-1")
    theirs = chat("s-1", task="in the file")
    scene.write(WORKSPACE, [theirs, chat("s-2")])
    assert migrator("--data-dir", scene.root, "migrate").code == 3
    assert sorted(scene.tasks(WORKSPACE)) == ["Weave", "created in SQLite"]
    assert [serialized(document) for document in scene.conflicts()] == [serialized(theirs)]


def test_ids_taken_by_other_workspaces_are_kept_in_the_documents(
    scene: Scene, app: sqlite3.Connection, migrator: Migrator
) -> None:
    app_inserts(app, "/elsewhere", "s-1", "elsewhere", "msg-s-1")
    app_inserts(app, "/elsewhere", "s-other", "elsewhere too", "msg-s-2")
    documents = [chat("s-1"), chat("s-1", task="its twin"), chat("s-2")]
    scene.write(WORKSPACE, documents)
    assert migrator("--data-dir", scene.root, "migrate").code == 0
    assert [serialized(stored) for stored in scene.documents(hash_of(WORKSPACE))] == [serialized(d) for d in documents]
    assert scene.tasks("/elsewhere") == ["elsewhere", "elsewhere too"]


def test_derived_keys_that_are_taken_do_not_collide(scene: Scene, app: sqlite3.Connection, migrator: Migrator) -> None:
    key = f"s-1#{hash_of(WORKSPACE)}.0"
    app_inserts(app, "/elsewhere", "s-1", "elsewhere", "msg-s-1")
    app_inserts(app, "/elsewhere", key, "a nasty id", f"msg-s-1#{key}.0")
    document = chat("s-1")
    scene.write(WORKSPACE, [document])
    assert migrator("--data-dir", scene.root, "migrate").code == 0
    assert [serialized(stored) for stored in scene.documents(hash_of(WORKSPACE))] == [serialized(document)]


def test_ids_with_a_nul_that_collide_leave_a_database_that_every_sqlite_can_change(
    scene: Scene, migrator: Migrator
) -> None:
    for place in ("/a", "/b", "/c"):
        scene.write(place, [chat("s\0t", workspace=place, task=place), chat("s", workspace=place, task="s")])
    assert migrator("--data-dir", scene.root, "migrate").code == 0
    assert scene.query("PRAGMA integrity_check") == [("ok",)]
    with open_storage(scene.root) as store:
        for place in ("/a", "/b", "/c"):
            assert store.get_session(place, "s\0t")["task"] == place
            store.update_session(place, {**store.get_session(place, "s\0t"), "task": f"{place}, changed"})
            store.delete_session(place, "s")
    assert [scene.tasks(place) for place in ("/a", "/b", "/c")] == [["/a, changed"], ["/b, changed"], ["/c, changed"]]
    assert scene.query("PRAGMA integrity_check") == [("ok",)]


@pytest.mark.parametrize("status", ["pending", "failed", "in_progress"])
def test_whatever_status_the_apps_database_had_it_becomes_completed(
    status: str, scene: Scene, app: sqlite3.Connection, migrator: Migrator
) -> None:
    app.execute("UPDATE migration_metadata SET migration_status = ?", (status,))
    scene.write(WORKSPACE, [chat("s-1")])
    assert migrator("--data-dir", scene.root, "migrate").code == 0
    assert scene.status() == "completed"
    assert scene.tasks(WORKSPACE) == ["Weave"]


def test_a_newer_schema_is_refused_and_not_changed(scene: Scene, migrator: Migrator) -> None:
    scene.write(WORKSPACE, [chat("s-1")])
    migrator("--data-dir", scene.root, "migrate")
    scene.change("UPDATE migration_metadata SET schema_version = 99")
    scene.write(WORKSPACE, [chat("s-2")])
    before = scene.listing()
    outcome = migrator("--data-dir", scene.root, "migrate", "--json")
    assert outcome.code == 1
    assert [problem["code"] for problem in outcome.json["problems"]] == ["schema.newer"]
    assert scene.listing() == before


def test_tables_that_are_not_the_apps_are_refused_and_not_changed(scene: Scene, migrator: Migrator) -> None:
    with closing(scene.app_opens_it()) as app:
        app.execute("ALTER TABLE sessions ADD COLUMN colour TEXT")
        app.execute("PRAGMA journal_mode = DELETE")
    scene.write(WORKSPACE, [chat("s-1")])
    content = scene.query("SELECT sql FROM sqlite_master")
    outcome = migrator("--data-dir", scene.root, "migrate", "--json")
    assert outcome.code == 1
    [problem] = outcome.json["problems"]
    assert problem["code"] == "schema.differs"
    assert "sessions" in problem["message"]
    assert scene.query("SELECT sql FROM sqlite_master") == content
    assert scene.flag() is None


@pytest.mark.parametrize("content", [b"this is not a database at all" * 100, b"SQLite format 3\x00 but broken off"])
def test_a_file_that_is_not_a_database_is_refused_and_not_changed(
    content: bytes, scene: Scene, migrator: Migrator
) -> None:
    scene.database.write_bytes(content)
    scene.write(WORKSPACE, [chat("s-1")])
    before = scene.listing()
    for command in ("migrate", "status", "verify"):
        outcome = migrator("--data-dir", scene.root, command)
        assert outcome.code == 1
        assert str(scene.database) in outcome.err
    assert scene.listing() == before


def test_a_folder_in_the_databases_place_is_refused(scene: Scene, migrator: Migrator) -> None:
    scene.database.mkdir()
    scene.write(WORKSPACE, [chat("s-1")])
    outcome = migrator("--data-dir", scene.root, "migrate")
    assert outcome.code == 1
    assert str(scene.database) in outcome.err


def test_a_database_locked_by_another_program_is_reported_and_not_changed(
    scene: Scene, app: sqlite3.Connection, migrator: Migrator
) -> None:
    scene.write(WORKSPACE, [chat("s-1")])
    app.execute("BEGIN IMMEDIATE")
    with waiting(0.1):
        outcome = migrator("--data-dir", scene.root, "migrate", "--json")
    app.execute("ROLLBACK")
    assert outcome.code == 1
    assert [problem["code"] for problem in outcome.json["problems"]] == ["database.locked"]
    assert scene.query("SELECT count(*) FROM sessions") == [(0,)]
    assert scene.status() == "pending"
    assert scene.flag() is None
    assert not scene.staging.exists()
    assert migrator("--data-dir", scene.root, "migrate").code == 0


def test_the_log_of_a_deleted_database_is_not_applied_to_the_new_one(scene: Scene, migrator: Migrator) -> None:
    app = scene.app_opens_it()
    app_inserts(app, "/elsewhere", "s-old", "old", "msg-old")
    log = scene.root / "sessions.db-wal"
    content = log.read_bytes()
    app.close()
    scene.database.unlink()
    log.write_bytes(content)  # as when a user removes sessions.db alone to start over
    scene.write(WORKSPACE, [chat("s-1")])
    assert migrator("--data-dir", scene.root, "migrate").code == 0
    assert scene.query("PRAGMA integrity_check") == [("ok",)]
    assert scene.query("SELECT id FROM sessions") == [("s-1",)]


def test_the_store_switches_the_published_database_to_a_write_ahead_log(scene: Scene, migrator: Migrator) -> None:
    scene.write(WORKSPACE, [chat("s-1")])
    migrator("--data-dir", scene.root, "migrate")
    with opened(scene.database) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchall() == [("wal",)]


def test_a_link_in_the_databases_place_is_followed(scene: Scene, tmp_path: Path, migrator: Migrator) -> None:
    elsewhere = tmp_path / "elsewhere.db"
    elsewhere.touch()
    scene.database.symlink_to(elsewhere)
    scene.write(WORKSPACE, [chat("s-1")])
    assert migrator("--data-dir", scene.root, "migrate").code == 0
    assert scene.query("SELECT count(*) FROM sessions", database=elsewhere) == [(1,)]


def test_a_broken_link_in_the_databases_place_leads_to_a_new_database_or_an_error(
    scene: Scene, tmp_path: Path, migrator: Migrator
) -> None:
    elsewhere = tmp_path / "elsewhere.db"
    scene.database.symlink_to(elsewhere)
    scene.write(WORKSPACE, [chat("s-1")])
    outcome = migrator("--data-dir", scene.root, "migrate")
    assert outcome.code in {0, 1}
    assert (outcome.code == 0) == elsewhere.exists()
