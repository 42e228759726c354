"""Each run records what it found and did, in the transaction that publishes it."""

import json
from collections.abc import Iterator
from contextlib import closing

import pytest

from migrator.progress import StageTimer
from tests.support.command_line import Migrator
from tests.support.scene import Scene, app_inserts, app_json, chat, copy_fixture, hash_of

ENGINE = "/home/dev/engine"
LOOM = "/home/bob/loom"
SUMS = ("migrated", "merged", "quarantined", "failed")


def runs(scene: Scene, *columns: str) -> list[tuple[object, ...]]:
    return scene.query(f"SELECT {', '.join(columns or SUMS)} FROM migration_runs ORDER BY id")


def shares(scene: Scene, *columns: str) -> list[tuple[object, ...]]:
    return scene.query(
        f"SELECT workspace_hash, {', '.join(columns or SUMS)} FROM migration_shares ORDER BY source_id, workspace_hash"
    )


@pytest.fixture
def migrated(scene: Scene, migrator: Migrator) -> Scene:
    """One workspace with two sessions and an invalid element, migrated."""
    scene.write(ENGINE, [chat("s-1"), 7, chat("s-2")])
    assert migrator("--data-dir", scene.root, "migrate", "--no-search-index").code == 3
    return scene


def test_a_run_records_what_it_found(migrated: Scene) -> None:
    assert runs(migrated) == [(2, 0, 1, 0)]
    assert runs(migrated, "files", "failed_files", "instances", "messages") == [(1, 0, 2, 2)]


def test_a_run_records_sizes_and_times(migrated: Scene) -> None:
    [(size, pages, duration, stages)] = runs(migrated, "bytes", "database_bytes", "duration_ms", "stages")
    assert size == migrated.file_of(ENGINE).stat().st_size
    assert pages == migrated.database.stat().st_size
    assert list(json.loads(str(stages))) == ["discover", "backup", "load", "index", "verify", "publish", "record"]
    assert sum(json.loads(str(stages)).values()) <= int(str(duration)) + len(json.loads(str(stages)))


def test_a_run_records_where_the_backup_is(migrated: Scene) -> None:
    [(backup,)] = runs(migrated, "backup")
    assert migrated.query("SELECT json_backup_path FROM migration_metadata") == [(backup,)]


def test_no_share_is_recorded_if_the_ledgers_row_has_all_of_it(migrated: Scene) -> None:
    assert shares(migrated) == []


def test_a_run_with_nothing_to_do_leaves_no_record(migrated: Scene, migrator: Migrator) -> None:
    before = runs(migrated, "*")
    assert migrator("--data-dir", migrated.root, "migrate", "--json").json["status"] == "nothing_to_do"
    assert runs(migrated, "*") == before


def test_a_dry_run_leaves_no_record(migrated: Scene, migrator: Migrator) -> None:
    before = runs(migrated, "*")
    migrated.write(LOOM, [chat("s-3")])
    assert migrator("--data-dir", migrated.root, "migrate", "--dry-run").code == 0
    assert runs(migrated, "*") == before


def test_a_changed_file_counts_as_merged(migrated: Scene, migrator: Migrator) -> None:
    migrated.write(ENGINE, [chat("s-1"), 7, chat("s-2"), chat("s-3")])
    migrator("--data-dir", migrated.root, "migrate")
    assert runs(migrated) == [(2, 0, 1, 0), (0, 3, 1, 0)]
    assert shares(migrated) == [(hash_of(ENGINE), 0, 3, 1, 0)]


def test_the_losing_version_of_a_conflict_counts_as_quarantined(migrated: Scene, migrator: Migrator) -> None:
    migrated.change("UPDATE sessions SET task = 'by the app' WHERE id = 's-1'")
    migrated.write(ENGINE, [chat("s-1", task="by an old build"), 7, chat("s-2")])
    migrator("--data-dir", migrated.root, "migrate")
    assert runs(migrated)[1:] == [(0, 1, 2, 0)]
    assert shares(migrated) == [(hash_of(ENGINE), 0, 1, 2, 0)]


def test_a_conflict_counts_for_its_own_workspace_alone(scene: Scene, migrator: Migrator) -> None:
    shared = scene.root / "sessions.json"
    shared.write_bytes(app_json([chat("s-1", workspace=ENGINE), chat("s-2", workspace=LOOM)]))
    migrator("--data-dir", scene.root, "migrate")
    scene.change("UPDATE sessions SET task = 'by the app' WHERE id = 's-1'")
    shared.write_bytes(app_json([chat("s-1", workspace=ENGINE, task="else"), chat("s-2", workspace=LOOM)]))
    report = migrator("--data-dir", scene.root, "migrate", "--json").json
    assert {w["hash"]: w["quarantined"] for w in report["workspaces"]} == {hash_of(ENGINE): 1, hash_of(LOOM): 0}
    assert sorted(shares(scene)) == sorted([(hash_of(ENGINE), 0, 0, 1, 0), (hash_of(LOOM), 0, 1, 0, 0)])


def test_the_complete_sessions_of_a_truncated_file_count_as_failed(scene: Scene, migrator: Migrator) -> None:
    scene.write_bytes(ENGINE, app_json([chat("s-1"), chat("s-2"), chat("s-3")])[:-200])
    scene.write(LOOM, [chat("s-4")])
    assert migrator("--data-dir", scene.root, "migrate").code == 3
    assert runs(scene) == [(1, 0, 0, 2)]
    assert runs(scene, "files", "failed_files") == [(2, 1)]
    assert shares(scene) == [(hash_of(ENGINE), 0, 0, 0, 2)]


def test_a_truncated_file_that_is_salvaged_no_longer_counts_as_failed(scene: Scene, migrator: Migrator) -> None:
    scene.write_bytes(ENGINE, app_json([chat("s-1"), chat("s-2"), chat("s-3")])[:-200])
    migrator("--data-dir", scene.root, "migrate")
    migrator("--data-dir", scene.root, "migrate", "--salvage")
    assert runs(scene) == [(0, 0, 0, 2), (2, 0, 1, 0)]
    assert shares(scene) == []


def test_a_migrated_file_that_fails_later_keeps_its_shares(migrated: Scene, migrator: Migrator) -> None:
    migrated.write(ENGINE, [chat("s-1"), 7, chat("s-2"), chat("s-3")])
    migrator("--data-dir", migrated.root, "migrate")
    migrated.write_bytes(ENGINE, b"no JSON")
    migrator("--data-dir", migrated.root, "migrate")
    assert runs(migrated)[2:] == [(0, 0, 0, 0)]
    assert runs(migrated, "failed_files") == [(0,), (0,), (1,)]
    assert shares(migrated) == [(hash_of(ENGINE), 0, 3, 1, 0)]


def test_one_file_of_several_workspaces_has_a_share_for_each(scene: Scene, migrator: Migrator) -> None:
    documents = [chat("s-1", workspace=ENGINE), chat("s-2", workspace=LOOM), chat("s-3", workspace=LOOM)]
    (scene.root / "sessions.json").write_bytes(app_json(documents))
    migrator("--data-dir", scene.root, "migrate")
    assert runs(scene) == [(3, 0, 0, 0)]
    assert sorted(shares(scene)) == sorted([(hash_of(ENGINE), 1, 0, 0, 0), (hash_of(LOOM), 2, 0, 0, 0)])


def test_the_fixtures_sums_are_those_of_its_report(scene: Scene, migrator: Migrator) -> None:
    scene.root.rmdir()
    copy_fixture(scene.root)
    totals = migrator("--data-dir", scene.root, "migrate", "--json").json["totals"]
    columns = ("migrated", "quarantined", "instances", "messages", "failed_files", "bytes")
    names = ("sessions", "quarantined", "instances", "messages", "failed", "bytes")
    assert runs(scene, *columns) == [tuple(totals[name] for name in names)]


@pytest.fixture
def apps(scene: Scene) -> Iterator[Scene]:
    """The app has created the database with a session in it, and has it open."""
    with closing(scene.app_opens_it()) as app:
        app_inserts(app, LOOM, "s-app", "made in SQLite", "msg-app")
        yield scene


def test_a_run_into_the_apps_database_is_recorded_there(apps: Scene, migrator: Migrator) -> None:
    apps.write(ENGINE, [chat("s-1"), chat("s-2")])
    apps.write(LOOM, [chat("s-3")])
    assert migrator("--data-dir", apps.root, "migrate").code == 0
    assert runs(apps) == [(2, 1, 0, 0)]
    assert shares(apps) == [(hash_of(LOOM), 0, 1, 0, 0)]
    [(stages,)] = runs(apps, "stages")
    assert "publish" in json.loads(str(stages))


def test_after_a_rollback_the_runs_stay_recorded_and_the_shares_are_recorded_again(
    migrated: Scene, migrator: Migrator
) -> None:
    migrated.write(ENGINE, [chat("s-1"), chat("s-2"), chat("s-3")])
    migrator("--data-dir", migrated.root, "migrate")
    migrator("--data-dir", migrated.root, "rollback")
    migrator("--data-dir", migrated.root, "migrate")
    assert len(runs(migrated)) == 3
    assert runs(migrated)[2] == (3, 0, 1, 0)
    assert shares(migrated) == []


def test_a_failed_run_leaves_no_record(migrated: Scene, migrator: Migrator) -> None:
    migrated.write(ENGINE, [chat("s-1", task="else"), chat("s-2") | {"status": 5}])
    assert migrator("--data-dir", migrated.root, "migrate", "--strict").code == 1
    assert len(runs(migrated)) == 1


def test_a_stage_timer_counts_the_stage_that_is_running() -> None:
    watch = StageTimer()
    watch.begin("one")
    watch.begin("two")
    assert list(watch.read()[1]) == ["one", "two"]
    watch.end()
    elapsed, stages = watch.read()
    assert list(stages) == ["one", "two"]
    assert sum(stages.values()) <= elapsed + 2
