"""A second run knows what was done, migrates what is new or was fixed, and changes nothing else."""

import json
import os
import shutil

import pytest

from migrator import needs_migration
from tests.support.command_line import Migrator
from tests.support.scene import EXPECTED, FIXTURES, Scene, app_json, chat, copy_fixture, parsed, serialized

WORKSPACE = "/home/dev/engine"
TORN = "e53d85828aa67105"


@pytest.fixture
def fixture(scene: Scene) -> Scene:
    """The shipped fixture, not migrated yet."""
    scene.root.rmdir()
    return copy_fixture(scene.root)


def test_with_nothing_to_do_no_file_is_touched(fixture: Scene, migrator: Migrator) -> None:
    migrator("--data-dir", fixture.root, "migrate")
    before = fixture.listing()
    outcome = migrator("--data-dir", fixture.root, "migrate", "--json")
    assert (outcome.code, outcome.json["status"]) == (0, "nothing_to_do")
    assert fixture.listing() == before


def test_with_nothing_to_do_the_report_still_counts_what_is_there(fixture: Scene, migrator: Migrator) -> None:
    first = migrator("--data-dir", fixture.root, "migrate", "--json").json
    again = migrator("--data-dir", fixture.root, "migrate", "--json").json
    assert again["totals"] == first["totals"]
    assert again["backup_path"] == first["backup_path"]
    counts = ("hash", "path", "sessions", "instances", "messages", "quarantined")
    assert {tuple(w[name] for name in counts) for w in again["workspaces"]} == {
        tuple(w[name] for name in counts) for w in first["workspaces"]
    }
    assert {workspace["status"] for workspace in again["workspaces"]} == {"unchanged", "failed"}


def test_a_file_that_failed_stays_reported(fixture: Scene, migrator: Migrator) -> None:
    migrator("--data-dir", fixture.root, "migrate")
    again = migrator("--data-dir", fixture.root, "migrate", "--json").json
    [failed] = [workspace for workspace in again["workspaces"] if workspace["status"] == "failed"]
    assert failed["hash"] == TORN
    assert failed["path"] in migrator("--data-dir", fixture.root, "migrate").out


def test_needs_migration_is_false_after_a_migration(fixture: Scene, migrator: Migrator) -> None:
    assert needs_migration(fixture.root)
    migrator("--data-dir", fixture.root, "migrate")
    assert not needs_migration(fixture.root)


def test_a_file_that_is_only_touched_is_not_migrated_again(fixture: Scene, migrator: Migrator) -> None:
    migrator("--data-dir", fixture.root, "migrate")
    for path in [*(fixture.root / "sessions").iterdir(), fixture.root / "sessions.json"]:
        os.utime(path, (1, 1))
    assert not needs_migration(fixture.root)
    outcome = migrator("--data-dir", fixture.root, "migrate", "--json")
    assert (outcome.code, outcome.json["status"]) == (0, "nothing_to_do")


def test_files_with_new_inodes_and_the_same_bytes_are_not_migrated_again(fixture: Scene, migrator: Migrator) -> None:
    migrator("--data-dir", fixture.root, "migrate")
    folder = fixture.root / "sessions"
    shutil.copytree(folder, fixture.root / "restored")
    shutil.rmtree(folder)
    (fixture.root / "restored").rename(folder)
    assert migrator("--data-dir", fixture.root, "migrate", "--json").json["status"] == "nothing_to_do"


def test_new_times_of_change_are_recorded(scene: Scene, migrator: Migrator) -> None:
    path = scene.write(WORKSPACE, [chat("s-1")])
    migrator("--data-dir", scene.root, "migrate")
    os.utime(path, (1, 1))
    migrator("--data-dir", scene.root, "migrate")
    assert scene.query("SELECT mtime_ns FROM migration_ledger") == [(1_000_000_000,)]


def test_an_edit_that_keeps_the_size_is_noticed(scene: Scene, migrator: Migrator) -> None:
    path = scene.write(WORKSPACE, [chat("s-1", task="one")])
    migrator("--data-dir", scene.root, "migrate")
    size = path.stat().st_size
    scene.write(WORKSPACE, [chat("s-1", task="two")])
    assert path.stat().st_size == size
    migrator("--data-dir", scene.root, "migrate")
    assert scene.tasks(WORKSPACE) == ["two"]


def test_the_next_run_migrates_a_new_file(scene: Scene, migrator: Migrator) -> None:
    scene.write(WORKSPACE, [chat("s-1")])
    migrator("--data-dir", scene.root, "migrate")
    scene.write("/home/bob/loom", [chat("s-2", workspace="/home/bob/loom", task="Spin")])
    report = migrator("--data-dir", scene.root, "migrate", "--json").json
    assert {workspace["path"]: workspace["status"] for workspace in report["workspaces"]} == {
        WORKSPACE: "unchanged",
        "/home/bob/loom": "migrated",
    }
    assert scene.tasks("/home/bob/loom") == ["Spin"]


def test_the_next_run_migrates_a_fixed_file(fixture: Scene, migrator: Migrator) -> None:
    path = fixture.root / "sessions" / f"{TORN}.json"
    migrator("--data-dir", fixture.root, "migrate")
    fixed = [chat("s-fixed", workspace="/Users/dev/code/ledger-sync")]
    path.write_bytes(app_json(fixed))
    outcome = migrator("--data-dir", fixture.root, "migrate", "--json")
    assert (outcome.code, outcome.json["status"]) == (0, "completed")
    assert [serialized(document) for document in fixture.documents(TORN)] == [serialized(fixed[0])]


def test_salvage_migrates_the_complete_sessions_and_quarantines_the_tail(fixture: Scene, migrator: Migrator) -> None:
    promised = next(s for s in EXPECTED["data_dir"]["sources"] if s["hash"] == TORN)["whole_before_tear"]
    outcome = migrator("--data-dir", fixture.root, "migrate", "--salvage", "--json")
    found = next(workspace for workspace in outcome.json["workspaces"] if workspace["hash"] == TORN)
    assert outcome.code == 3
    assert [found[name] for name in ("status", "sessions", "instances", "messages", "quarantined")] == [
        "migrated",
        promised["sessions"],
        promised["instances"],
        promised["messages"],
        1,
    ]


def test_the_salvaged_sessions_and_the_tail_have_every_byte_of_the_file(fixture: Scene, migrator: Migrator) -> None:
    migrator("--data-dir", fixture.root, "migrate", "--salvage")
    content = (FIXTURES / "data-dir" / "sessions" / f"{TORN}.json").read_bytes()
    [(position, raw)] = fixture.query("SELECT position, raw FROM quarantine WHERE reason = 'torn'")
    assert position == 5
    assert content.endswith(raw)
    complete = parsed(content[: -len(raw)].rstrip().rstrip(b",") + b"]")
    assert [serialized(document) for document in fixture.documents(TORN)] == [
        serialized(document) for document in complete
    ]


def test_salvage_migrates_a_file_that_failed_before(fixture: Scene, migrator: Migrator) -> None:
    migrator("--data-dir", fixture.root, "migrate")
    migrator("--data-dir", fixture.root, "migrate", "--salvage")
    assert len(fixture.documents(TORN)) == 5
    assert migrator("--data-dir", fixture.root, "verify").code == 0


def test_a_salvaged_file_that_is_fixed_afterwards_is_merged(scene: Scene, migrator: Migrator) -> None:
    documents = [chat(f"s-{number}", task=f"task {number}") for number in range(3)]
    complete = app_json(documents)
    scene.write_bytes(WORKSPACE, complete[: complete.rindex(b'"task"')])
    migrator("--data-dir", scene.root, "migrate", "--salvage")
    scene.write_bytes(WORKSPACE, complete)
    outcome = migrator("--data-dir", scene.root, "migrate", "--json")
    assert (outcome.code, outcome.json["status"]) == (0, "completed")
    assert scene.tasks(WORKSPACE) == ["task 0", "task 1", "task 2"]


def test_a_salvaged_file_verifies_clean_after_a_change_in_sqlite(scene: Scene, migrator: Migrator) -> None:
    complete = app_json([chat("s-0"), chat("s-1")])
    scene.write_bytes(WORKSPACE, complete[:-30])
    migrator("--data-dir", scene.root, "migrate", "--salvage")
    scene.change("UPDATE sessions SET task = 'changed'")
    outcome = migrator("--data-dir", scene.root, "verify", "--json")
    assert outcome.code == 0
    assert [source["database"] for source in outcome.json["sources"]] == ["changed"]


def test_strict_publishes_nothing_if_there_is_a_problem(fixture: Scene, migrator: Migrator) -> None:
    outcome = migrator("--data-dir", fixture.root, "migrate", "--strict", "--json")
    assert outcome.code == 1
    [problem] = outcome.json["problems"]
    assert problem["code"] == "migration.strict"
    assert TORN in problem["message"]
    assert not fixture.database.exists()
    assert fixture.flag() is None


def test_strict_does_not_change_an_existing_database(scene: Scene, migrator: Migrator) -> None:
    scene.write(WORKSPACE, [chat("s-1")])
    migrator("--data-dir", scene.root, "migrate")
    content = scene.database.read_bytes()
    scene.write(WORKSPACE, [chat("s-2"), 7])
    assert migrator("--data-dir", scene.root, "migrate", "--strict").code == 1
    assert scene.database.read_bytes() == content


def test_strict_publishes_valid_files(scene: Scene, migrator: Migrator) -> None:
    scene.write(WORKSPACE, [chat("s-1")])
    assert migrator("--data-dir", scene.root, "migrate", "--strict").code == 0
    assert scene.tasks(WORKSPACE) == ["Weave"]


def test_a_dry_run_changes_nothing_at_all(fixture: Scene, migrator: Migrator) -> None:
    before = fixture.listing()
    outcome = migrator("--data-dir", fixture.root, "migrate", "--dry-run", "--json")
    assert outcome.code == EXPECTED["data_dir"]["exit_code"]
    assert fixture.listing() == before
    assert not (fixture.root / "migrator.lock").exists()


def test_a_dry_run_reports_what_a_real_run_reports(fixture: Scene, migrator: Migrator) -> None:
    rehearsed = migrator("--data-dir", fixture.root, "migrate", "--dry-run", "--json").json
    real = migrator("--data-dir", fixture.root, "migrate", "--json").json
    assert rehearsed["dry_run"] is True
    assert rehearsed["backup_path"] is None
    for name in ("status", "workspaces", "totals", "errors", "database"):
        assert rehearsed[name] == real[name]


def test_a_dry_run_with_an_existing_database_changes_nothing(scene: Scene, migrator: Migrator) -> None:
    scene.write(WORKSPACE, [chat("s-1")])
    migrator("--data-dir", scene.root, "migrate")
    scene.change("UPDATE sessions SET task = 'in SQLite'")
    scene.write(WORKSPACE, [chat("s-1", task="in the file"), chat("s-2")])
    before = scene.listing()
    rehearsed = migrator("--data-dir", scene.root, "migrate", "--dry-run", "--json")
    assert rehearsed.code == 3
    assert "nothing was changed" in migrator("--data-dir", scene.root, "migrate", "--dry-run").out
    assert scene.listing() == before
    real = migrator("--data-dir", scene.root, "migrate", "--json")
    for name in ("status", "workspaces", "totals", "errors"):
        assert rehearsed.json[name] == real.json[name]


def test_a_dry_run_while_an_app_has_the_database_open_changes_nothing(scene: Scene, migrator: Migrator) -> None:
    app = scene.app_opens_it()
    try:
        scene.write(WORKSPACE, [chat("s-1")])
        before = scene.listing()
        before.pop("sessions.db-shm")  # every reader writes a mark there
        assert migrator("--data-dir", scene.root, "migrate", "--dry-run").code == 0
        after = scene.listing()
        after.pop("sessions.db-shm")
        assert after == before
    finally:
        app.close()


@pytest.mark.parametrize("command", ["status", "verify", "schema status"])
def test_read_only_commands_leave_no_files(command: str, scene: Scene, migrator: Migrator) -> None:
    scene.write(WORKSPACE, [chat("s-1")])
    scene.app_opens_it().close()
    migrator("--data-dir", scene.root, "migrate")  # into a database that uses a write-ahead log
    before = scene.listing()
    migrator("--data-dir", scene.root, *command.split())
    assert scene.listing() == before


def test_without_a_data_directory_nothing_is_created(scene: Scene, migrator: Migrator) -> None:
    scene.root.rmdir()
    outcome = migrator("--data-dir", scene.root, "migrate", "--json")
    assert (outcome.code, outcome.json["status"]) == (0, "nothing_to_do")
    assert not scene.root.exists()


def test_the_next_run_completes_an_interrupted_switch_to_sqlite(scene: Scene, migrator: Migrator) -> None:
    scene.write(WORKSPACE, [chat("s-1")])
    migrator("--data-dir", scene.root, "migrate")
    (scene.root / "storage.json").unlink()
    migrator("--data-dir", scene.root, "migrate")
    assert scene.flag() == "sqlite"


def test_hybrid_mode_stays_on_after_a_run(scene: Scene, migrator: Migrator) -> None:
    (scene.root / "storage.json").write_text('{"backend": "hybrid"}')
    scene.write(WORKSPACE, [chat("s-1")])
    migrator("--data-dir", scene.root, "migrate")
    assert scene.flag() == "hybrid"


def test_a_retry_does_not_fill_the_disk_with_backups(scene: Scene, migrator: Migrator) -> None:
    scene.write(WORKSPACE, [chat("s-1"), 7])
    for _ in range(3):
        assert migrator("--data-dir", scene.root, "migrate", "--strict").code == 1
    assert len(os.listdir(scene.root / "backups")) == 1


def test_a_damaged_backup_is_not_reported_as_complete(scene: Scene, migrator: Migrator) -> None:
    path = scene.write(WORKSPACE, [chat("s-1"), 7])
    migrator("--data-dir", scene.root, "migrate", "--strict")
    [copy] = (scene.root / "backups").glob("*/sessions/*.json")
    copy.write_bytes(copy.read_bytes().replace(b"Weave", b"weave"))
    report = migrator("--data-dir", scene.root, "migrate", "--json").json
    name = f"sessions/{path.name}"
    with open(f"{report['backup_path']}/{name}", "rb") as file:
        assert file.read() == path.read_bytes()


def test_metadata_that_says_failed_is_completed_by_the_next_run(scene: Scene, migrator: Migrator) -> None:
    scene.write(WORKSPACE, [chat("s-1")])
    migrator("--data-dir", scene.root, "migrate")
    scene.change("UPDATE migration_metadata SET migration_status = 'failed'")
    scene.write(WORKSPACE, [chat("s-1"), chat("s-2", task="Spin")])
    outcome = migrator("--data-dir", scene.root, "migrate", "--json")
    assert outcome.code == 0
    assert scene.tasks(WORKSPACE) == ["Weave", "Spin"]
    assert scene.status() == "completed"


def test_metadata_that_says_pending_is_completed_though_no_file_changed(scene: Scene, migrator: Migrator) -> None:
    scene.write(WORKSPACE, [chat("s-1")])
    migrator("--data-dir", scene.root, "migrate")
    scene.change("UPDATE migration_metadata SET migration_status = 'pending'")
    assert needs_migration(scene.root)
    migrator("--data-dir", scene.root, "migrate")
    assert scene.tasks(WORKSPACE) == ["Weave"]
    assert scene.status() == "completed"
    assert json.loads((scene.root / "storage.json").read_bytes())["backend"] == "sqlite"
