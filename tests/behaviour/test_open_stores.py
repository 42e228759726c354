"""Stores that stay open while a command switches the store, and old builds that write while a file is replaced."""

import json
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from migrator import migrate, open_storage, rollback
from migrator.admin.switch_backend import switch_backend
from migrator.authority import Backend
from migrator.backups.restore import restore_backup
from migrator.data_dir import DataDir
from migrator.documents import app_format
from migrator.errors import StaleStoreError
from migrator.files import durable
from migrator.progress import Progress
from migrator.storage.json_files import JsonStorage
from tests.support.errors import raises
from tests.support.scene import Scene, app_inserts, app_json, chat, hash_of, parsed
from tests.support.strategies import message, session
from tests.support.whereabouts import in_sessions

ENGINE = "/home/dev/engine"
LOOM = "/home/dev/loom"


@pytest.fixture
def places(scene: Scene) -> DataDir:
    return DataDir(root=scene.root, database=scene.database)


def tasks(scene: Scene) -> list[str]:
    """What the authoritative store has."""
    with open_storage(scene.root) as store:
        return [document["task"] for document in store.get_all_sessions(ENGINE)]


def old_build_adds(scene: Scene, task: str) -> None:
    path = scene.file_of(ENGINE)
    path.write_bytes(app_json([*parsed(path.read_bytes()), chat(task, task=task)]))


def before_the_rename(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object], name: str) -> None:
    """Do something once, right before a file of this name is replaced."""
    move_over, done = durable.move_over, list[bool]()

    def then_moved(source: Path, target: Path) -> None:
        if target.name == name and not done:
            done.append(True)
            act()
        move_over(source, target)

    monkeypatch.setattr(durable, "move_over", then_moved)


# The JSON store.


def test_a_json_store_refuses_to_write_once_sqlite_is_authoritative(scene: Scene) -> None:
    scene.write(ENGINE, [chat("a")])
    with open_storage(scene.root) as held:
        held.create_session(ENGINE, session(id="before"))
        migrate(scene.root)
        with raises(StaleStoreError, "store.not_authoritative"):
            held.create_session(ENGINE, session(id="after"))
        rollback(scene.root)
        held.create_session(ENGINE, session(id="later"))
    assert [document["id"] for document in parsed(scene.file_of(ENGINE).read_bytes())] == ["a", "before", "later"]


def test_a_json_store_may_write_the_file_of_a_workspace_that_failed(scene: Scene, places: DataDir) -> None:
    scene.write(ENGINE, [chat("a")])
    scene.write_bytes(LOOM, b"{")
    with closing(JsonStorage(places)) as held:
        migrate(scene.root)
        scene.write(LOOM, [chat("l")])
        held.create_session(LOOM, session(id="m"))
        with raises(StaleStoreError, "store.not_authoritative"):
            held.create_session(ENGINE, session(id="b"))


def test_a_json_store_does_not_write_an_old_reading_over_what_a_rollback_wrote(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.write(ENGINE, [chat("a")])
    held = open_storage(scene.root)
    migrate(scene.root)
    with open_storage(scene.root) as store:
        store.create_session(ENGINE, session(id="in-sqlite", task="in SQLite"))
    in_format = app_format.app_file
    monkeypatch.setattr(
        "migrator.storage.json_files.app_file", lambda documents: (rollback(scene.root), in_format(documents))[1]
    )
    with raises(StaleStoreError, "store.not_authoritative"):
        held.append_chat_message(ENGINE, "a", message())
    monkeypatch.undo()
    rollback(scene.root)
    assert "in SQLite" in tasks(scene)


# Hybrid mode.


def test_a_hybrid_store_that_is_open_across_a_switch_refuses(scene: Scene, places: DataDir) -> None:
    scene.write(ENGINE, [chat("a", task="v1")])
    switch_backend(places, "hybrid")
    with open_storage(scene.root) as held:
        switch_backend(places, "sqlite")
        with raises(StaleStoreError, "hybrid.ended"):
            held.update_session(ENGINE, session(id="a", task="v2"))
        with open_storage(scene.root) as store:
            store.update_session(ENGINE, session(id="a", task="v3"))
        assert [one["task"] for one in held.get_all_sessions(ENGINE)] == ["v3"]  # and repairs nothing
    assert [document["task"] for document in parsed(scene.file_of(ENGINE).read_bytes())] == ["v1"]
    assert migrate(scene.root).exit_code == 0
    assert tasks(scene) == ["v3"]


def test_what_an_old_build_writes_while_a_hybrid_store_writes_is_merged(
    scene: Scene, places: DataDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.write(ENGINE, [chat("a")])
    switch_backend(places, "hybrid")
    before_the_rename(monkeypatch, lambda: old_build_adds(scene, "by an old build"), scene.file_of(ENGINE).name)
    with open_storage(scene.root) as both:
        both.create_session(ENGINE, session(id="b", task="by the store"))
    assert [one["id"] for one in parsed(scene.file_of(ENGINE).read_bytes())] == ["a", "by an old build"]
    migrate(scene.root)
    assert sorted(tasks(scene)) == ["Weave", "by an old build", "by the store"]
    assert sorted(one["task"] for one in parsed(scene.file_of(ENGINE).read_bytes())) == sorted(tasks(scene))
    assert [path.name for path in scene.file_of(ENGINE).parent.iterdir()] == [scene.file_of(ENGINE).name]


def test_what_a_hybrid_store_writes_during_a_migration_is_no_change_of_another_program(
    scene: Scene, places: DataDir
) -> None:
    scene.write(ENGINE, [chat("a")])
    switch_backend(places, "hybrid")
    done: list[bool] = []

    def write(step: Progress) -> None:
        if step.phase == "verify" and not done:  # the file has been read
            done.append(True)
            both.delete_session(ENGINE, "deleted")
            both.append_chat_message(ENGINE, "a", message(id="second"))
            both.append_chat_message(ENGINE, "a", message(id="third"))

    with open_storage(scene.root) as both:
        both.append_chat_message(ENGINE, "a", message(id="first"))
        both.create_session(ENGINE, session(id="deleted"))
        report = migrate(scene.root, progress=write)
        assert done
        assert (report.exit_code, report.errors, scene.conflicts()) == (0, (), [])
        [left] = both.get_all_sessions(ENGINE)
        assert [one["id"] for one in left["chatHistory"]] == ["msg-a", "first", "second", "third"]
    assert [one["id"] for one in parsed(scene.file_of(ENGINE).read_bytes())] == ["a"]
    assert (migrate(scene.root).exit_code, scene.conflicts()) == (0, [])


@pytest.mark.parametrize(("target", "stays", "named"), [("sqlite", True, True), ("hybrid", False, False)])
def test_what_an_old_build_deletes_during_a_switch_is_merged_or_named(
    scene: Scene, places: DataDir, target: Backend, stays: bool, named: bool
) -> None:
    scene.write(ENGINE, [chat("a"), chat("b")])
    done: list[bool] = []

    def delete(step: Progress) -> None:
        if step.phase == "verify" and not done:
            done.append(True)
            scene.write(ENGINE, [chat("a")])

    report = switch_backend(places, target, delete)
    assert done
    assert any("changed during the migration" in note for note in report.notes) is named
    with open_storage(scene.root) as store:
        assert [one["id"] for one in store.get_all_sessions(ENGINE)] == ["a", "b"][: 1 + stays]
    migrate(scene.root)
    assert [one["id"] for one in scene.documents(hash_of(ENGINE))] == ["a"]


def test_what_an_old_build_writes_over_the_file_during_a_migration_is_merged(scene: Scene, places: DataDir) -> None:
    scene.write(ENGINE, [chat("a")])
    switch_backend(places, "hybrid")
    old_build_adds(scene, "by an old build")
    done: list[bool] = []

    def write(step: Progress) -> None:
        if step.phase == "verify" and not done:
            done.append(True)
            both.append_chat_message(ENGINE, "a", message(id="refused by the file"))
            old_build_adds(scene, "later")

    with open_storage(scene.root) as both:
        migrate(scene.root, progress=write)
        migrate(scene.root)
    assert (done, tasks(scene)) == ([True], ["Weave", "by an old build", "later"])


def test_an_older_copy_of_the_database_does_not_know_the_newer_files(scene: Scene, places: DataDir) -> None:
    scene.write(ENGINE, [chat("a", task="one")])
    switch_backend(places, "hybrid")
    copy = scene.root / "copy.db"
    with closing(sqlite3.connect(scene.database)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    with open_storage(scene.root) as both:
        both.create_session(ENGINE, session(id="b", task="two"))
    for suffix in ("-wal", "-shm"):
        Path(f"{scene.database}{suffix}").unlink(missing_ok=True)
    os.replace(copy, scene.database)
    migrate(scene.root)
    assert tasks(scene) == ["one", "two"]


# Commands.


@pytest.mark.parametrize("command", ["rollback", "hybrid"])
def test_what_an_old_build_writes_right_before_the_rename_is_kept(
    scene: Scene, places: DataDir, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    scene.write(ENGINE, [chat("a")])
    migrate(scene.root)
    with open_storage(scene.root) as store:
        store.create_session(ENGINE, session(id="b", task="in SQLite"))
    before_the_rename(monkeypatch, lambda: old_build_adds(scene, "by an old build"), scene.file_of(ENGINE).name)
    if command == "hybrid":
        switch_backend(places, "hybrid")
        assert sorted(tasks(scene)) == ["Weave", "by an old build", "in SQLite"]
        return
    report = rollback(scene.root)
    assert report.exit_code == 3
    [file] = report.workspaces
    assert file.kept_beside is not None
    assert "by an old build" in Path(file.kept_beside).read_text(encoding="utf-8")
    assert tasks(scene) == ["Weave", "in SQLite"]


@pytest.mark.parametrize("journal", ["wal", "delete"])
def test_no_program_can_write_between_the_copy_and_the_restore_of_a_database(
    scene: Scene, places: DataDir, monkeypatch: pytest.MonkeyPatch, journal: str
) -> None:
    if journal == "delete":
        monkeypatch.setattr("migrator.database.connection.network_file_system", lambda _: "nfs4")
    scene.write(ENGINE, [chat("a")])
    migrate(scene.root)
    rollback(scene.root)
    migrate(scene.root)  # copies the database
    [backup] = [path.name for path in places.backups.glob("*-database-*")]
    acknowledged: list[str] = []

    def write(name: str) -> None:
        with closing(sqlite3.connect(scene.database, timeout=0.05)) as app:
            try:
                with app:
                    app_inserts(app, ENGINE, name, f"<t{len(acknowledged) + 1}>", f"msg-{name}")
            except sqlite3.OperationalError:
                return
        acknowledged.append(f"<t{len(acknowledged) + 1}>")

    write("first")
    rename_folder = durable.rename_folder

    def then_written(source: Path, target: Path) -> None:
        rename_folder(source, target)
        write("second")  # the copy is complete

    monkeypatch.setattr(durable, "rename_folder", then_written)
    report = restore_backup(places, backup, overwrite_newer_work=True)
    monkeypatch.undo()
    [file] = report.files
    kept = Path(file.kept_beside or "")
    assert acknowledged == ["<t1>"]
    assert in_sessions(kept) >= {"<t1>"}
    assert json.loads((scene.root / "storage.json").read_bytes())["backend"] == "json"
