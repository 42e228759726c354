"""Rollback: everything is in the JSON files again, in its place, and nothing that was written is lost."""

import errno
import json
import os
import random
import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from migrator.database.connection import opened
from migrator.documents.document import normal_form
from migrator.errors import RollbackFailed, StorageIOError
from migrator.export.rollback import run_rollback
from migrator.files.resources import schemas
from migrator.inventory.location import resolve_data_dir
from migrator.storage.sqlite import SqliteStorage
from tests.support.command_line import Migrator, Outcome
from tests.support.scene import (
    Document,
    Scene,
    app_inserts,
    app_json,
    chat,
    copy_fixture,
    digests,
    hash_of,
    serialized,
    start,
)
from tests.support.strategies import message

ENGINE = "/home/dev/engine"
LOOM = "/home/bob/loom"


@pytest.fixture
def fixture(scene: Scene) -> Scene:
    """The shipped fixture, not migrated yet."""
    scene.root.rmdir()
    return copy_fixture(scene.root)


@pytest.fixture
def pair(scene: Scene, migrator: Migrator) -> Scene:
    """Two workspaces, migrated: three sessions in one, one in the other."""
    scene.write(ENGINE, [chat(f"s-{number}", task=f"task {number}") for number in range(3)])
    scene.write(LOOM, [chat("s-loom", workspace=LOOM, task="Spin")])
    assert migrator("--data-dir", scene.root, "migrate").code == 0
    return scene


def go_back(scene: Scene, migrator: Migrator) -> dict[str, Any]:
    """The report of a rollback that worked."""
    outcome = migrator("--data-dir", scene.root, "rollback", "--json")
    needs_user = outcome.json["errors"] or any(file["kept_beside"] for file in outcome.json["workspaces"])
    assert outcome.code == (3 if needs_user else 0), outcome.err
    report: dict[str, Any] = outcome.json
    return report


def restored(report: dict[str, Any], workspace: str | Path) -> dict[str, Any]:
    [found] = [one for one in report["workspaces"] if one["hash"] == hash_of(workspace)]
    return dict(found)


def tasks_in(file: Path) -> list[Any]:
    """What a workspace file holds: the tasks of its sessions, and anything else as it is."""
    return [element.get("task", element) if isinstance(element, dict) else element for element in elements(file)]


def elements(file: Path) -> list[Any]:
    return list(json.loads(file.read_bytes()))


def in_app_format(documents: list[Document]) -> bytes:
    """The bytes that the app would write: every known member, in the order of its structs."""
    return app_json([normal_form(document) for document in documents])  # type: ignore[arg-type]


def is_whole_in_sqlite(scene: Scene) -> bool:
    """Whether SQLite still is the authority; its pages and its links have to be whole for that."""
    assert scene.query("PRAGMA integrity_check") == [("ok",)]
    assert scene.query("PRAGMA foreign_key_check") == []
    return scene.status() == "completed"


def scratch(scene: Scene) -> list[str]:
    """Files of a run that must not be left over."""
    marks = (".rollback-", ".rehearsal-", ".staging", ".migrator-tmp", ".incomplete-")
    return [str(path) for path in scene.root.rglob("*") if any(mark in path.name for mark in marks)]


# Unchanged since the migration.


def test_every_file_of_the_shipped_fixture_is_byte_for_byte_as_before(fixture: Scene, migrator: Migrator) -> None:
    sources = [*(fixture.root / "sessions").iterdir(), fixture.root / "sessions.json"]
    before = digests(sources)
    migrator("--data-dir", fixture.root, "migrate")
    report = go_back(fixture, migrator)
    assert digests(sources) == before
    assert sorted((fixture.root / "sessions").iterdir()) == sorted(sources[:-1])
    assert {one["restored"] for one in report["workspaces"]} == {"bytes"}


def test_files_that_were_removed_after_the_migration_come_back_byte_for_byte(
    fixture: Scene, migrator: Migrator
) -> None:
    migrator("--data-dir", fixture.root, "migrate")
    torn = next(file for (file,) in fixture.query("SELECT source FROM migration_ledger WHERE status = 'failed'"))
    sources = [path for path in (fixture.root / "sessions").iterdir() if f"sessions/{path.name}" != torn]
    sources.append(fixture.root / "sessions.json")
    before = digests(sources)
    for path in sources:
        path.unlink()
    go_back(fixture, migrator)
    assert digests(sources) == before


def test_afterwards_json_is_the_authority_and_the_flag_says_so(pair: Scene, migrator: Migrator) -> None:
    assert go_back(pair, migrator)["status"] == "rolled_back"
    assert (pair.status(), pair.flag()) == ("rolled_back", "json")
    assert migrator("--data-dir", pair.root, "status", "--json").json["authority"] == "json"


def test_the_database_and_the_backup_stay(pair: Scene, migrator: Migrator) -> None:
    report = go_back(pair, migrator)
    assert pair.tasks(ENGINE) == ["task 0", "task 1", "task 2"]
    assert (Path(report["backup_path"]) / "sessions" / pair.file_of(ENGINE).name).is_file()


def test_files_that_are_right_already_are_not_touched(pair: Scene, migrator: Migrator) -> None:
    before = os.stat(pair.file_of(ENGINE))
    go_back(pair, migrator)
    after = os.stat(pair.file_of(ENGINE))
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_an_older_file_inside_of_a_workspace_goes_back_where_it_was(
    scene: Scene, migrator: Migrator, tmp_path: Path
) -> None:
    workspace = tmp_path / "loom"
    older = workspace / ".ait42" / "sessions.json"
    older.parent.mkdir(parents=True)
    content = app_json([chat("s-old", workspace=str(workspace))])
    older.write_bytes(content)
    migrator("--data-dir", scene.root, "migrate", "--workspace", workspace)
    older.unlink()
    go_back(scene, migrator)
    assert older.read_bytes() == content
    assert not scene.file_of(workspace).exists()


def test_a_changed_older_file_is_written_where_it_was(scene: Scene, migrator: Migrator, tmp_path: Path) -> None:
    workspace = tmp_path / "loom"
    older = workspace / ".ait42" / "sessions.json"
    older.parent.mkdir(parents=True)
    older.write_bytes(app_json([chat("s-old", workspace=str(workspace))]))
    scene.write(workspace, [chat("s-new", workspace=str(workspace))])
    migrator("--data-dir", scene.root, "migrate", "--workspace", workspace)
    scene.change("UPDATE sessions SET task = 'changed' WHERE id = 's-old'")
    go_back(scene, migrator)
    assert tasks_in(older) == ["changed"]
    assert tasks_in(scene.file_of(workspace)) == ["Weave"]


def test_a_changed_session_of_the_shared_file_goes_back_into_it(scene: Scene, migrator: Migrator) -> None:
    shared = scene.root / "sessions.json"
    shared.write_bytes(app_json([chat("s-1"), chat("s-2", workspace=LOOM), chat("s-3", task="third")]))
    migrator("--data-dir", scene.root, "migrate")
    scene.change("UPDATE sessions SET task = 'changed' WHERE id = 's-2'")
    go_back(scene, migrator)
    assert tasks_in(shared) == ["Weave", "changed", "third"]
    assert not (scene.root / "sessions").exists()


# Changed since the migration.


def test_a_workspace_changed_by_the_apps_own_sql_is_written_in_the_apps_format(pair: Scene, migrator: Migrator) -> None:
    pair.change("UPDATE sessions SET task = 'by the app' WHERE id = 's-1'")
    report = go_back(pair, migrator)
    expected = [chat("s-0", task="task 0"), chat("s-1", task="by the app"), chat("s-2", task="task 2")]
    assert pair.file_of(ENGINE).read_bytes() == in_app_format(expected)
    assert (restored(report, ENGINE)["restored"], restored(report, LOOM)["restored"]) == ("export", "bytes")


def test_a_session_deleted_by_the_apps_own_sql_is_gone(pair: Scene, migrator: Migrator) -> None:
    pair.change("DELETE FROM sessions WHERE id = 's-1'")
    go_back(pair, migrator)
    assert tasks_in(pair.file_of(ENGINE)) == ["task 0", "task 2"]


def test_a_workspace_whose_last_session_was_deleted_has_an_empty_file(pair: Scene, migrator: Migrator) -> None:
    pair.change("DELETE FROM sessions WHERE id = 's-loom'")
    go_back(pair, migrator)
    assert pair.file_of(LOOM).read_bytes() == b"[]"


def test_sessions_inserted_by_the_apps_own_sql_stand_at_the_end(pair: Scene, migrator: Migrator) -> None:
    with closing(sqlite3.connect(pair.database)) as app, app:
        app_inserts(app, ENGINE, "s-sql", "created in SQLite", "msg-sql")
    go_back(pair, migrator)
    assert tasks_in(pair.file_of(ENGINE)) == ["task 0", "task 1", "task 2", "created in SQLite"]


def test_what_was_written_through_the_store_is_in_the_files(pair: Scene, migrator: Migrator) -> None:
    with SqliteStorage(pair.database) as store:
        store.create_session(ENGINE, chat("s-store", task="through the store"))  # type: ignore[arg-type]
        store.add_chat_message(LOOM, "s-loom", message(id="msg-store", content="by the store"))
        listed = [store.get_all_sessions(workspace) for workspace in (ENGINE, LOOM)]
    go_back(pair, migrator)
    assert [elements(pair.file_of(workspace)) for workspace in (ENGINE, LOOM)] == listed
    assert listed[1][0]["chatHistory"][-1]["content"] == "by the store"


def test_a_workspace_created_in_sqlite_gets_its_file(pair: Scene, migrator: Migrator) -> None:
    with SqliteStorage(pair.database) as store:
        store.create_session("/home/eve/new", chat("s-eve", workspace="/home/eve/new", task="new"))  # type: ignore[arg-type]
    report = go_back(pair, migrator)
    assert tasks_in(pair.file_of("/home/eve/new")) == ["new"]
    assert restored(report, "/home/eve/new")["path"] == "/home/eve/new"


def test_what_was_quarantined_stands_at_its_old_places(scene: Scene, migrator: Migrator) -> None:
    broken = {"id": "s-broken", "chatHistory": []}
    scene.write(ENGINE, [7, chat("s-1", task="one"), broken, chat("s-2", task="two"), "last"])
    migrator("--data-dir", scene.root, "migrate")
    scene.change("UPDATE sessions SET task = 'changed' WHERE id = 's-2'")
    report = go_back(scene, migrator)
    assert tasks_in(scene.file_of(ENGINE)) == [7, "one", broken, "changed", "last"]
    assert (restored(report, ENGINE)["sessions"], restored(report, ENGINE)["quarantined"]) == (2, 3)


def test_what_is_not_json_stays_at_its_old_place_byte_for_byte(scene: Scene, migrator: Migrator) -> None:
    raw = b'{"id": "s-raw", "task": "\xff", "number": 1e999999999}'
    whole = app_json([chat("s-1"), "PLACE", chat("s-2")]).replace(b'"PLACE"', raw)
    scene.write_bytes(ENGINE, whole)
    migrator("--data-dir", scene.root, "migrate")
    scene.change("UPDATE sessions SET task = 'changed' WHERE id = 's-2'")
    go_back(scene, migrator)
    before, _, after = scene.file_of(ENGINE).read_bytes().partition(raw)
    assert (before.count(b'"s-1"'), after.count(b'"s-2"')) == (1, 1)


def test_sessions_created_in_sqlite_come_after_what_was_quarantined_last(scene: Scene, migrator: Migrator) -> None:
    scene.write(ENGINE, [chat("s-1", task="one"), 7])
    migrator("--data-dir", scene.root, "migrate")
    with closing(sqlite3.connect(scene.database)) as app, app:
        app_inserts(app, ENGINE, "s-sql", "created in SQLite", "msg-sql")
    go_back(scene, migrator)
    assert tasks_in(scene.file_of(ENGINE)) == ["one", 7, "created in SQLite"]


def test_doubled_ids_are_written_both(scene: Scene, migrator: Migrator) -> None:
    scene.write(ENGINE, [chat("s-1", task="first"), chat("s-1", task="second"), chat("s-2", task="other")])
    migrator("--data-dir", scene.root, "migrate")
    scene.change("UPDATE sessions SET task = 'changed' WHERE id = 's-2'")
    go_back(scene, migrator)
    assert [(one["id"], one["task"]) for one in elements(scene.file_of(ENGINE))] == [
        ("s-1", "first"),
        ("s-1", "second"),
        ("s-2", "changed"),
    ]


def test_a_salvaged_file_that_did_not_change_is_truncated_again_as_before(scene: Scene, migrator: Migrator) -> None:
    torn = app_json([chat("s-1"), chat("s-2")])[:-40]
    path = scene.write_bytes(ENGINE, torn)
    migrator("--data-dir", scene.root, "migrate", "--salvage")
    path.unlink()
    go_back(scene, migrator)
    assert path.read_bytes() == torn


def test_the_truncated_end_of_a_changed_file_is_next_to_it(scene: Scene, migrator: Migrator) -> None:
    torn = app_json([chat("s-1"), chat("s-2")])[:-40]
    path = scene.write_bytes(ENGINE, torn)
    migrator("--data-dir", scene.root, "migrate", "--salvage")
    scene.change("UPDATE sessions SET task = 'changed'")
    report = go_back(scene, migrator)
    tail = path.with_name(f"{path.name}.torn-tail")
    assert tasks_in(path) == ["changed"]
    assert torn.endswith(tail.read_bytes())
    assert b'"s-2"' in tail.read_bytes()
    assert any(str(tail) in warning for warning in report["warnings"])


def test_both_versions_of_a_conflict_outlive_the_rollback(pair: Scene, migrator: Migrator) -> None:
    pair.change("UPDATE sessions SET task = 'in SQLite' WHERE id = 's-loom'")
    pair.write(LOOM, [chat("s-loom", workspace=LOOM, task="in the file")])
    report = go_back(pair, migrator)
    assert tasks_in(pair.file_of(LOOM)) == ["in SQLite"]
    assert [conflict["task"] for conflict in pair.conflicts()] == ["in the file"]
    assert any("migrator quarantine list" in warning for warning in report["warnings"])
    assert len(report["errors"]) == 2  # that it came to be, and that it stays; the exit code is 3: see go_back


def test_of_both_versions_of_a_conflict_that_outlived_a_rollback_sqlites_stays_first(
    pair: Scene, migrator: Migrator
) -> None:
    pair.change("UPDATE sessions SET task = 'in SQLite' WHERE id = 's-loom'")
    pair.write(LOOM, [chat("s-loom", workspace=LOOM, task="in the file")])
    go_back(pair, migrator)
    assert migrator("--data-dir", pair.root, "migrate").code == 0
    retried = migrator("--data-dir", pair.root, "quarantine", "retry", "1", "--take", "both")
    assert retried.code == 0
    assert pair.tasks(LOOM) == ["in SQLite", "in the file"]  # the app finds the first one by the id
    assert migrator("--data-dir", pair.root, "verify").code == 0
    go_back(pair, migrator)
    assert tasks_in(pair.file_of(LOOM)) == ["in SQLite", "in the file"]


# Backups that are damaged or gone.


@pytest.mark.parametrize("damage", ["a bit is flipped", "the copy is missing", "the folder is missing"])
def test_without_a_usable_backup_a_missing_file_is_written_from_sqlite(
    damage: str, pair: Scene, migrator: Migrator
) -> None:
    [copy] = (pair.root / "backups").glob(f"*/sessions/{hash_of(ENGINE)}.json")
    if damage == "a bit is flipped":
        content = bytearray(copy.read_bytes())
        content[len(content) // 2] ^= 1
        copy.write_bytes(content)
    elif damage == "the copy is missing":
        copy.unlink()
    else:
        shutil.rmtree(pair.root / "backups")
    pair.file_of(ENGINE).unlink()
    report = go_back(pair, migrator)
    assert tasks_in(pair.file_of(ENGINE)) == ["task 0", "task 1", "task 2"]
    assert restored(report, ENGINE)["restored"] == "export"
    [warning] = [warning for warning in report["warnings"] if "missing or damaged" in warning]
    assert str(copy) in warning


def test_a_damaged_backup_does_not_matter_where_the_file_is_still_there(pair: Scene, migrator: Migrator) -> None:
    before = pair.file_of(ENGINE).read_bytes()
    shutil.rmtree(pair.root / "backups")
    report = go_back(pair, migrator)
    assert pair.file_of(ENGINE).read_bytes() == before
    assert report["warnings"] == []


# Files that were changed after the migration.


def test_what_an_old_build_wrote_into_a_file_is_merged_first(pair: Scene, migrator: Migrator) -> None:
    pair.change("UPDATE sessions SET task = 'in SQLite' WHERE id = 's-0'")
    changed = [chat("s-0", task="task 0"), chat("s-1", task="in the file"), chat("s-2", task="task 2")]
    pair.write(ENGINE, [*changed, chat("s-old-build", task="new in the file")])
    go_back(pair, migrator)
    assert tasks_in(pair.file_of(ENGINE)) == ["in SQLite", "in the file", "task 2", "new in the file"]


def test_a_file_that_is_new_since_the_migration_stays_as_it_is(pair: Scene, migrator: Migrator) -> None:
    path = pair.write("/home/eve/new", [chat("s-eve", workspace="/home/eve/new")])
    content = path.read_bytes()
    go_back(pair, migrator)
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda content: content[: len(content) // 2], id="torn"),
        pytest.param(lambda _: b"\x00" * 300, id="nothing but NULs"),
        pytest.param(lambda _: b'{"sessions": []}', id="no array"),
    ],
)
def test_a_file_that_was_damaged_after_the_migration_is_kept(
    damage: Callable[[bytes], bytes], pair: Scene, migrator: Migrator
) -> None:
    path = pair.file_of(ENGINE)
    whole = path.read_bytes()
    damaged = damage(whole)
    path.write_bytes(damaged)
    rehearsed = migrator("--data-dir", pair.root, "rollback", "--dry-run", "--json")
    report = go_back(pair, migrator)
    assert path.read_bytes() == whole
    kept = Path(restored(report, ENGINE)["kept_beside"])
    assert restored(rehearsed.json, ENGINE)["kept_beside"] == str(kept)
    assert any(str(kept) in warning for warning in rehearsed.json["warnings"])
    assert kept.name == f"{path.name}.before-rollback"
    assert kept.read_bytes() == damaged
    assert any(str(kept) in warning for warning in report["warnings"])
    assert report["errors"]
    assert set(report["errors"]) < set(report["warnings"])


def test_a_file_that_failed_to_migrate_is_kept_next_to_what_the_app_wrote_for_its_workspace(
    scene: Scene, migrator: Migrator
) -> None:
    torn = app_json([chat("s-1"), chat("s-2")])[:-40]
    path = scene.write_bytes(ENGINE, torn)
    scene.write(LOOM, [chat("s-loom", workspace=LOOM)])
    migrator("--data-dir", scene.root, "migrate")
    with closing(sqlite3.connect(scene.database)) as app, app:
        app_inserts(app, ENGINE, "s-sql", "created in SQLite", "msg-sql")
    report = go_back(scene, migrator)
    assert tasks_in(path) == ["created in SQLite"]
    assert Path(restored(report, ENGINE)["kept_beside"]).read_bytes() == torn


def test_a_file_that_failed_to_migrate_stays_as_it_is(scene: Scene, migrator: Migrator) -> None:
    torn = app_json([chat("s-1"), chat("s-2")])[:-40]
    path = scene.write_bytes(ENGINE, torn)
    scene.write(LOOM, [chat("s-loom", workspace=LOOM)])
    migrator("--data-dir", scene.root, "migrate")
    scene.change("UPDATE sessions SET task = 'changed'")
    go_back(scene, migrator)
    assert path.read_bytes() == torn
    assert tasks_in(scene.file_of(LOOM)) == ["changed"]


def test_a_link_at_the_place_is_followed_and_stays_one(pair: Scene, migrator: Migrator, tmp_path: Path) -> None:
    path, real = pair.file_of(ENGINE), tmp_path / "elsewhere.json"
    path.rename(real)
    path.symlink_to(real)
    pair.change("UPDATE sessions SET task = 'changed' WHERE id = 's-1'")
    go_back(pair, migrator)
    assert path.is_symlink()
    assert tasks_in(real) == ["task 0", "changed", "task 2"]


# Refusals.


def refused(scene: Scene, outcome: Outcome, code: str) -> str:
    """Check that a rollback was refused with this code and that its hint names the backup; returns its message."""
    assert (outcome.code, outcome.codes) == (1, [code])
    assert is_whole_in_sqlite(scene)
    assert scene.flag() == "sqlite"
    assert scratch(scene) == []
    [(backup,)] = scene.query("SELECT json_backup_path FROM migration_metadata")
    [problem] = outcome.json["problems"]
    assert backup in problem["hint"]
    return str(problem["message"])


@pytest.mark.parametrize("options", [[], ["--dry-run"]], ids=["for real", "dry run"])
def test_a_directory_in_the_way_is_named_and_nothing_is_changed(
    options: list[str], pair: Scene, migrator: Migrator
) -> None:
    pair.change("UPDATE sessions SET task = 'changed'")
    pair.file_of(LOOM).unlink()
    pair.file_of(LOOM).mkdir()
    content = pair.file_of(ENGINE).read_bytes()
    outcome = migrator("--data-dir", pair.root, "rollback", *options, "--json")
    assert str(pair.file_of(LOOM)) in refused(pair, outcome, "file.in_the_way")
    assert pair.file_of(ENGINE).read_bytes() == content
    pair.file_of(LOOM).rmdir()
    go_back(pair, migrator)
    assert tasks_in(pair.file_of(LOOM)) == ["changed"]


def test_sessions_that_belong_to_no_workspace_keep_it_from_going_back(pair: Scene, migrator: Migrator) -> None:
    with closing(sqlite3.connect(pair.database)) as careless, careless:  # foreign keys are off without the app
        careless.execute("DELETE FROM workspaces WHERE workspace_hash = ?", (hash_of(LOOM),))
    outcome = migrator("--data-dir", pair.root, "rollback", "--json")
    assert (outcome.code, outcome.codes) == (1, ["session.without_workspace"])
    assert "migrator verify" in outcome.json["problems"][0]["hint"]
    assert (pair.status(), pair.flag()) == ("completed", "sqlite")


def test_a_rollback_during_another_migrator_is_refused(pair: Scene, migrator: Migrator) -> None:
    from filelock import FileLock

    with FileLock(pair.root / "migrator.lock"):
        outcome = migrator("--data-dir", pair.root, "rollback")
    assert outcome.code == 4
    assert pair.status() == "completed"


def test_a_database_that_the_app_is_writing_is_not_waited_for_in_vain(
    pair: Scene, migrator: Migrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("migrator.export.rollback.opened", partial(opened, timeout=0.05))
    with closing(sqlite3.connect(pair.database, isolation_level=None)) as app:
        app.execute("BEGIN IMMEDIATE")
        outcome = migrator("--data-dir", pair.root, "rollback", "--json")
        app.execute("ROLLBACK")
    assert str(pair.database) in refused(pair, outcome, "database.locked")
    go_back(pair, migrator)


def failed(scene: Scene) -> RollbackFailed:
    with pytest.raises(RollbackFailed) as caught:
        run_rollback(resolve_data_dir(scene.root))
    return caught.value


def test_after_a_failure_past_the_point_of_no_return_the_hint_says_how_to_finish(
    pair: Scene, migrator: Migrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    [(backup,)] = pair.query("SELECT json_backup_path FROM migration_metadata")

    def no_flag(*_: object) -> None:
        raise StorageIOError("The flag can't be written.")

    monkeypatch.setattr("migrator.export.rollback.write_flag", no_flag)
    hint = failed(pair).hint or ""
    assert "'migrator rollback'" in hint
    assert backup in hint
    assert pair.status() == "rolled_back"
    monkeypatch.undo()
    assert go_back(pair, migrator)["status"] == "nothing_to_do"


def test_without_a_backup_a_failure_names_none(pair: Scene) -> None:
    pair.change("UPDATE migration_metadata SET json_backup_path = NULL")
    pair.change("UPDATE sessions SET task = 'changed'")
    pair.file_of(LOOM).unlink()
    pair.file_of(LOOM).mkdir()
    error = failed(pair)
    assert error.code == "file.in_the_way"
    assert "backup" not in (error.hint or "")


# Rehearsals and repetitions.


def test_a_dry_run_changes_nothing_at_all(pair: Scene, migrator: Migrator) -> None:
    pair.change("UPDATE sessions SET task = 'changed' WHERE id = 's-1'")
    pair.write(LOOM, [chat("s-loom", workspace=LOOM, task="in the file")])
    before = pair.listing()
    outcome = migrator("--data-dir", pair.root, "rollback", "--dry-run", "--json")
    assert outcome.code == 0
    assert pair.listing() == before
    assert pair.status() == "completed"


def test_a_dry_run_leaves_neither_a_lock_nor_takes_away_what_dead_runs_left(pair: Scene, migrator: Migrator) -> None:
    (pair.root / "migrator.lock").unlink()
    pair.staging.write_bytes(b"half a database")
    assert migrator("--data-dir", pair.root, "rollback", "--dry-run").code == 0
    assert not (pair.root / "migrator.lock").exists()
    assert pair.staging.exists()
    go_back(pair, migrator)
    assert not pair.staging.exists()


def test_it_reports_how_long_it_took(pair: Scene) -> None:
    clock = iter([100.0, 101.5]).__next__
    assert run_rollback(resolve_data_dir(pair.root), clock=clock).duration_ms == 1_500


def test_an_older_database_is_copied_and_then_gets_the_steps_that_it_lacks(pair: Scene, migrator: Migrator) -> None:
    *_, newest = sorted((schemas() / "sql").glob("[0-9]*.down.sql"))
    with closing(sqlite3.connect(pair.database)) as older, older:
        older.executescript(newest.read_text(encoding="utf-8"))
        older.execute("DELETE FROM _sqlite_migrations WHERE name = ?", (newest.name.split(".")[0],))
    before, steps = set((pair.root / "backups").iterdir()), steps_of(pair.database)
    go_back(pair, migrator)
    assert len(steps_of(pair.database)) == len(steps) + 1
    [copy] = set((pair.root / "backups").iterdir()) - before
    assert steps_of(copy / "sessions.db") == steps


def steps_of(database: Path) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
        return connection.execute("SELECT name FROM _sqlite_migrations").fetchall()


def test_a_dry_run_reports_what_a_real_run_reports(pair: Scene, migrator: Migrator) -> None:
    pair.change("UPDATE sessions SET task = 'changed' WHERE id = 's-1'")
    pair.write(LOOM, [chat("s-loom", workspace=LOOM, task="in the file")])
    rehearsed = migrator("--data-dir", pair.root, "rollback", "--dry-run", "--json").json
    real = go_back(pair, migrator)
    assert (rehearsed["dry_run"], real["dry_run"]) == (True, False)
    for name in ("status", "workspaces", "warnings", "database"):
        assert rehearsed[name] == real[name]


def test_a_dry_run_names_a_damaged_file_that_a_real_run_keeps(pair: Scene, migrator: Migrator) -> None:
    path = pair.file_of(ENGINE)
    path.write_bytes(path.read_bytes()[:-40])
    kept = path.with_name(f"{path.name}.before-rollback")
    kept.write_text("of an earlier rollback", encoding="utf-8")
    assert migrator("--data-dir", pair.root, "migrate").code == 3
    rehearsed = migrator("--data-dir", pair.root, "rollback", "--dry-run", "--json")
    assert restored(rehearsed.json, ENGINE)["kept_beside"] == f"{kept}-1"
    assert not os.path.lexists(f"{kept}-1")
    report = go_back(pair, migrator)
    assert rehearsed.json["workspaces"] == report["workspaces"]
    assert rehearsed.code == 3


def test_a_second_rollback_has_nothing_to_do(pair: Scene, migrator: Migrator) -> None:
    backup = go_back(pair, migrator)["backup_path"]
    assert backup
    before = pair.listing()
    outcome = migrator("--data-dir", pair.root, "rollback", "--json")
    assert (outcome.code, outcome.json["status"]) == (0, "nothing_to_do")
    assert outcome.json["backup_path"] == backup
    assert pair.listing() == before


def test_before_any_migration_there_is_nothing_to_do(scene: Scene, migrator: Migrator) -> None:
    scene.write(ENGINE, [chat("s-1")])
    before = scene.listing()
    outcome = migrator("--data-dir", scene.root, "rollback", "--json")
    assert (outcome.code, outcome.json["status"]) == (0, "nothing_to_do")
    assert scene.listing() == before


def test_a_rollback_that_was_interrupted_before_the_flag_is_finished_by_the_next(
    pair: Scene, migrator: Migrator
) -> None:
    go_back(pair, migrator)
    (pair.root / "storage.json").write_text('{"backend": "sqlite"}')
    assert go_back(pair, migrator)["status"] == "nothing_to_do"
    assert pair.flag() == "json"


def test_migrating_after_a_rollback_works_and_verifies_clean(fixture: Scene, migrator: Migrator) -> None:
    first = migrator("--data-dir", fixture.root, "migrate", "--json").json
    go_back(fixture, migrator)
    again = migrator("--data-dir", fixture.root, "migrate", "--json").json
    assert again["totals"] == first["totals"]
    assert fixture.status() == "completed"
    assert migrator("--data-dir", fixture.root, "verify").code == 0


def test_what_a_file_lost_after_a_rollback_goes_to_quarantine(pair: Scene, migrator: Migrator) -> None:
    go_back(pair, migrator)
    pair.write(ENGINE, [chat("s-1", task="task 1"), chat("s-2", task="task 2")])
    migrator("--data-dir", pair.root, "migrate")
    assert pair.tasks(ENGINE) == ["task 1", "task 2"]
    assert pair.query("SELECT reason, json_extract(raw, '$.id') FROM quarantine") == [("deleted", "s-0")]


def test_the_flag_of_hybrid_mode_becomes_json(pair: Scene, migrator: Migrator) -> None:
    (pair.root / "storage.json").write_text('{"backend": "hybrid"}')
    go_back(pair, migrator)
    assert pair.flag() == "json"


# A full disk, a dead process.


@pytest.fixture
def troubled(scene: Scene, migrator: Migrator) -> Scene:
    """Migrated, then changed on both sides in every way that makes a rollback write something."""
    scene.write(ENGINE, [chat("s-0", task="task 0"), 7, chat("s-1", task="task 1")])
    scene.write(LOOM, [chat("s-loom", workspace=LOOM, task="Spin")])
    torn = app_json([chat("s-2", workspace="/t"), chat("s-3", workspace="/t")])[:-40]
    scene.write_bytes("/t", torn)
    scene.write("/gone", [chat("s-gone", workspace="/gone", task="gone")])
    migrator("--data-dir", scene.root, "migrate", "--salvage")
    scene.change("UPDATE sessions SET task = 'changed' WHERE id IN ('s-1', 's-2')")
    with closing(sqlite3.connect(scene.database)) as app, app:
        app_inserts(app, "/home/eve/new", "s-sql", "created in SQLite", "msg-sql")
    scene.file_of("/gone").unlink()
    scene.write_bytes(LOOM, b"[{")
    return scene


TROUBLED_FILES = {
    ENGINE: ["task 0", 7, "changed"],
    LOOM: ["Spin"],
    "/t": ["changed"],
    "/gone": ["gone"],
    "/home/eve/new": ["created in SQLite"],
}


def restore_folder(copy: Path, scene: Scene) -> None:
    shutil.rmtree(scene.root)
    shutil.copytree(copy, scene.root)


class Failing:
    """A call of the system that fails once, at its n-th use."""

    def __init__(self, real: Callable[..., Any], doomed: int) -> None:
        self.real, self.doomed, self.calls = real, doomed, 0

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        self.calls += 1
        if self.calls == self.doomed:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self.real(*arguments, **options)


@pytest.mark.parametrize("call", ["fsync", "replace", "link"])
def test_a_full_disk_anywhere_leaves_sqlite_whole_and_a_retry_finishes(
    call: str, troubled: Scene, migrator: Migrator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(troubled.root, tmp_path / "copy")
    stored = {workspace: troubled.tasks(workspace) for workspace in TROUBLED_FILES}
    real = getattr(os, call)
    failures = 0
    for doomed in range(1, 200):
        failing = Failing(real, doomed)
        restore_folder(tmp_path / "copy", troubled)
        with monkeypatch.context() as patch:
            patch.setattr(os, call, failing)
            outcome = migrator("--data-dir", troubled.root, "rollback", "--json")
        if failing.calls < doomed:
            break
        if outcome.code == 1:
            failures += 1
            assert outcome.codes == ["disk.full"]
            if troubled.status() != "rolled_back":
                assert is_whole_in_sqlite(troubled)
                assert {workspace: troubled.tasks(workspace) for workspace in TROUBLED_FILES} == stored
        assert scratch(troubled) == []
        go_back(troubled, migrator)
        assert {name: tasks_in(troubled.file_of(name)) for name in TROUBLED_FILES} == TROUBLED_FILES
        side_files = [path.read_bytes() for path in (troubled.root / "sessions").iterdir() if path.suffix != ".json"]
        assert sorted(content[:2] for content in side_files) == [b"[{", b"{\n"]
    else:
        pytest.fail("it never passed")
    assert bool(failures) == (call != "link")  # where there are no links, there are copies
    assert {name: tasks_in(troubled.file_of(name)) for name in TROUBLED_FILES} == TROUBLED_FILES


@pytest.mark.slow
def test_a_rollback_that_is_killed_anywhere_leaves_one_whole_authority_and_the_next_finishes(
    fixture: Scene, migrator: Migrator, tmp_path: Path
) -> None:
    migrator("--data-dir", fixture.root, "migrate")
    fixture.change("UPDATE sessions SET task = task || ' changed'")
    migrated = tmp_path / "migrated"
    shutil.copytree(fixture.root, migrated)
    expected = listed(fixture)
    began = time.perf_counter()
    process = start("--data-dir", fixture.root, "rollback")
    process.communicate()
    assert process.returncode == 3  # some files of the fixture hold what is no session
    longest = time.perf_counter() - began
    wanted = files_of(fixture)
    killed, dice = 0, random.Random(20250113)
    for _ in range(5):  # the crash points are chosen ones
        restore_folder(migrated, fixture)
        process = start("--data-dir", fixture.root, "rollback", "--progress", "none")
        time.sleep(dice.uniform(0.1, 1.0) * longest)
        process.kill()
        process.communicate()
        killed += process.returncode < 0
        if fixture.status() == "completed":
            assert is_whole_in_sqlite(fixture)
            assert listed(fixture) == expected
        else:
            assert fixture.status() == "rolled_back"
            assert files_of(fixture) == wanted
        go_back(fixture, migrator)
        assert files_of(fixture) == wanted
        assert scratch(fixture) == []
    assert killed


def listed(scene: Scene) -> dict[str, list[str]]:
    """What SQLite holds, by workspace."""
    hashes = [name for (name,) in scene.query("SELECT workspace_hash FROM workspaces ORDER BY workspace_hash")]
    return {name: [serialized(document) for document in scene.documents(name)] for name in hashes}


def files_of(scene: Scene) -> dict[str, bytes]:
    """The bytes of every file that holds sessions."""
    paths = [*(scene.root / "sessions").iterdir(), scene.root / "sessions.json"]
    return {path.name: path.read_bytes() for path in paths}


def test_for_a_damaged_database_the_rollback_names_the_backups(scene, migrator):
    scene.write(ENGINE, [chat("a")])
    assert migrator("--data-dir", scene.root, "migrate").code == 0
    scene.database.write_bytes(b"garbage" * 1000)
    outcome = migrator("--data-dir", scene.root, "rollback", "--json")
    assert (outcome.code, outcome.codes) == (1, ["database.not_a_database"])
    assert str(scene.root / "backups") in outcome.json["problems"][0]["hint"]
