"""The doctor names what is amiss with the command that mends it; the repair mends it, and nothing else."""

import json
import os
import random
import shutil
import sqlite3
import stat
import time
from contextlib import closing
from pathlib import Path
from typing import cast

import pytest

from migrator import WorktreeSession, open_storage
from migrator.data_dir import resolve_data_dir
from migrator.locking import exclusive
from tests.support.command_line import Migrator, Outcome
from tests.support.scene import Scene, chat

ENGINE, LOOM = "/home/dev/engine", "/home/bob/loom"


@pytest.fixture
def run(scene: Scene, migrator: Migrator) -> Migrator:
    os.chmod(scene.root, 0o700)
    return lambda *arguments: migrator("--data-dir", scene.root, *arguments)


@pytest.fixture
def migrated(scene: Scene, run: Migrator) -> Scene:
    scene.write(ENGINE, [chat("a")])
    scene.write(LOOM, [chat("b", workspace=LOOM)])
    assert run("migrate", "--progress", "none").code == 0
    return scene


def repaired(run: Migrator) -> Outcome:
    return run("verify", "--repair", "--progress", "none", "--json")


def problems(outcome: Outcome) -> dict[str, str | None]:
    """What the doctor calls a problem: the command that mends it, by subject."""
    return {f["subject"]: f["command"] for f in outcome.json["findings"] if f["level"] == "problem"}


def levels(outcome: Outcome) -> dict[str, str]:
    return {finding["subject"]: finding["level"] for finding in outcome.json["findings"]}


def only_backup(scene: Scene) -> Path:
    (folder,) = (scene.root / "backups").iterdir()
    return folder


def test_all_is_well_after_a_migration(migrated, run):
    outcome = run("doctor", "--json")
    assert (outcome.code, outcome.json["status"]) == (0, "well")
    assert set(levels(outcome).values()) == {"ok"}
    assert run("doctor").out.endswith("All is well.\n")


def test_the_doctor_changes_nothing(migrated, run):
    before = migrated.listing()
    run("doctor")
    assert migrated.listing() == before


def test_it_tells_the_versions(migrated, run):
    assert sqlite3.sqlite_version in run("doctor").out


def test_it_tells_that_there_is_no_data_directory(scene, migrator, tmp_path):
    outcome = migrator("--data-dir", tmp_path / "missing", "doctor", "--json")
    assert outcome.code == 0
    assert levels(outcome)["data directory"] == "note"
    assert not (tmp_path / "missing").exists()


def test_a_file_in_the_place_of_the_data_directory_is_a_problem(migrator, tmp_path):
    (tmp_path / "file").write_text("")
    outcome = migrator("--data-dir", tmp_path / "file", "doctor", "--json")
    assert outcome.code == 3
    assert "data directory" in problems(outcome)


def test_new_files_are_work(scene, run):
    scene.write(ENGINE, [chat("a")])
    outcome = run("doctor", "--json")
    assert outcome.code == 3
    assert problems(outcome) == {"pending work": "migrator migrate"}


def test_quarantine_and_failed_files_need_the_user(scene, run):
    scene.write(ENGINE, [{}])
    scene.write_bytes(LOOM, b"[")
    run("migrate", "--progress", "none")
    outcome = run("doctor", "--json")
    assert outcome.code == 3
    assert problems(outcome) == {
        "quarantine": "migrator quarantine list",
        "failed files": "migrator migrate --salvage",
    }


def test_after_a_rollback_nothing_needs_the_user(migrated, run):
    run("rollback", "--progress", "none")
    outcome = run("doctor", "--json")
    assert outcome.code == 0
    assert levels(outcome)["pending work"] == "note"


def test_a_migrator_at_work_is_told_with_its_process(migrated, run):
    with exclusive(resolve_data_dir(migrated.root)):
        outcome = run("doctor", "--json")
    (finding,) = [finding for finding in outcome.json["findings"] if finding["subject"] == "lock"]
    assert "at work" in finding["message"]
    if Path("/proc/locks").exists():
        assert f"process {os.getpid()} " in finding["message"]
    assert levels(run("doctor", "--json"))["lock"] == "ok"


def test_a_schema_from_the_future_is_told_with_both_versions(migrated, run):
    migrated.change("UPDATE migration_metadata SET schema_version = 99")
    before = migrated.listing()
    outcome = run("doctor", "--json")
    assert outcome.code == 3
    (message,) = [f["message"] for f in outcome.json["findings"] if f["subject"] == "database"]
    assert "schema version 99" in message
    assert "up to" in message
    assert migrated.listing().keys() == before.keys()


def test_a_database_that_is_none_is_one_problem(migrated, run):
    migrated.database.write_bytes(b"no database at all" * 100)
    outcome = run("doctor", "--json")
    assert outcome.code == 3
    assert "not an SQLite database" in run("doctor").out
    assert "database" in problems(outcome)


def test_a_damaged_backup_is_told_with_the_command_that_looks_closer(migrated, run):
    name = only_backup(migrated).name
    (only_backup(migrated) / "manifest.json").write_text("{")
    assert problems(run("doctor", "--json")) == {"backups": f"migrator backups verify {name}"}


def test_too_little_space_is_told_in_numbers(scene, run, fill_disk):
    scene.write(ENGINE, [chat("a")])
    fill_disk()
    assert "space" in problems(run("doctor", "--json"))
    assert "0 bytes are free" in run("doctor").out


def test_a_network_file_system_is_told_with_what_follows(migrated, run, monkeypatch):
    monkeypatch.setattr("migrator.diagnostics.machine.network_file_system", lambda _: "nfs4")
    outcome = run("doctor")
    assert outcome.code == 0
    assert "network file system (nfs4)" in outcome.out
    assert "one machine at a time" in outcome.out


@pytest.mark.skipif(os.name == "nt", reason="its files have no modes")
def test_a_data_directory_that_others_may_look_into_is_told(migrated, run):
    os.chmod(migrated.root, 0o755)
    outcome = run("doctor")
    assert outcome.code == 0
    assert f"chmod 700 {migrated.root}" in outcome.out


def test_an_interrupted_flip_is_found_and_mended(migrated, run):
    for content in ('{"backend": "json"}', "nonsense", None):
        flag = migrated.root / "storage.json"
        flag.unlink()
        if content is not None:
            flag.write_text(content)
            os.chmod(flag, 0o600)
        assert problems(run("doctor", "--json")) == {"flag": "migrator verify --repair"}
        assert any("storage.json" in note for note in run("verify", "--progress", "none", "--json").json["notes"])
        assert len(repaired(run).json["repaired"]) == 1
        assert migrated.flag() == "sqlite"


def test_a_trial_of_both_stores_is_no_disagreement(migrated, run):
    (migrated.root / "storage.json").write_text('{"backend": "hybrid"}')
    os.chmod(migrated.root / "storage.json", 0o600)
    assert repaired(run).json["repaired"] == []
    assert migrated.flag() == "hybrid"


def test_a_trial_is_told_and_the_files_that_follow_it_are_no_work(migrated, run):
    assert run("backend", "hybrid", "--progress", "none").code == 0
    with open_storage(migrated.root) as store:
        store.create_session(ENGINE, cast(WorktreeSession, chat("new")))
        store.get_all_sessions(ENGINE)
    outcome = run("doctor", "--json")
    assert outcome.code == 0
    assert levels(outcome)["trial of both stores"] == "ok"
    assert levels(outcome)["pending work"] == "ok"


def test_what_dead_runs_left_is_found_and_removed(migrated, run):
    left = ["sessions.db.staging", ".storage.json.123.migrator-tmp"]
    folders = [".rehearsal-x", ".rollback-123", "backups/.incomplete-x"]
    for name in left:
        (migrated.root / name).write_text("")
    for name in folders:
        (migrated.root / name).mkdir()
        (migrated.root / name / "file").write_text("")
    outcome = run("doctor", "--json")
    told = [finding["message"] for finding in outcome.json["findings"] if finding["subject"] == "leftovers"]
    assert all(any(name in message for message in told) for name in left + folders)
    notes = run("verify", "--progress", "none", "--json").json["notes"]
    assert all(any(name in note for note in notes) for name in left + folders)
    assert repaired(run).code == 0
    assert not any((migrated.root / name).exists() for name in left + folders)
    assert run("doctor").code == 0


def test_what_a_live_run_is_building_is_no_leftover(migrated, run):
    with exclusive(resolve_data_dir(migrated.root)):
        (migrated.root / "sessions.db.staging").write_text("")
        assert not problems(run("doctor", "--json"))
        assert repaired(run).code == 4
    assert (migrated.root / "sessions.db.staging").exists()


def test_a_file_that_the_app_may_be_writing_is_left_alone_until_it_is_old(migrated, run):
    fresh, old = (migrated.root / "sessions" / f".{name}.1.migrator-tmp" for name in ("fresh", "old"))
    fresh.write_text("")
    old.write_text("")
    os.utime(old, (time.time() - 7200,) * 2)
    repaired(run)
    assert (fresh.exists(), old.exists()) == (True, False)


@pytest.mark.skipif(os.name == "nt", reason="its files have no modes")
def test_files_that_others_may_read_become_private(migrated, run):
    folder = only_backup(migrated)
    ours = [migrated.database, migrated.root / "storage.json", migrated.root / "migrator.lock", folder / "SHA256SUMS"]
    for file in ours:
        os.chmod(file, 0o644)
    os.chmod(folder, 0o755)
    theirs = migrated.file_of(ENGINE)
    os.chmod(theirs, 0o644)
    assert "permissions" in problems(run("doctor", "--json"))
    assert any("Others than you" in note for note in run("verify", "--progress", "none", "--json").json["notes"])
    assert len(repaired(run).json["repaired"]) == 5
    assert {stat.S_IMODE(file.stat().st_mode) for file in ours} == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(theirs.stat().st_mode) == 0o644  # the app's own


def test_strangers_in_the_backups_are_told_and_left_alone(migrated, run):
    folder = only_backup(migrated)
    strange = [migrated.root / "backups" / "notes.txt", folder / "stray.txt"]
    for file in strange:
        file.touch(mode=0o600)
    notes = run("verify", "--progress", "none", "--json").json["notes"]
    assert all(any(str(file) in note for note in notes) for file in strange)
    assert repaired(run).json["repaired"] == []
    assert all(file.exists() for file in strange)


@pytest.mark.parametrize("harm", ["missing", "damaged"])
def test_a_copy_is_made_again_where_the_file_is_still_the_same(migrated, run, harm):
    copy = only_backup(migrated) / "sessions" / migrated.file_of(ENGINE).name
    if harm == "missing":
        copy.unlink()
    else:
        copy.write_bytes(b"[]")
    assert run("verify", "--progress", "none").code == 1
    outcome = repaired(run)
    assert outcome.code == 0
    assert len(outcome.json["repaired"]) == 1
    assert copy.read_bytes() == migrated.file_of(ENGINE).read_bytes()
    assert run("backups", "verify").code == 0


def test_a_copy_stays_broken_where_the_file_has_changed(migrated, run):
    copy = only_backup(migrated) / "sessions" / migrated.file_of(ENGINE).name
    copy.write_bytes(b"[]")
    migrated.write(ENGINE, [chat("changed")])
    outcome = repaired(run)
    assert outcome.code == 1
    assert outcome.json["repaired"] == []
    assert any("damaged" in broken for broken in outcome.json["broken"])
    assert copy.read_bytes() == b"[]"


def test_a_backup_that_is_gone_altogether_is_made_again_with_its_listing(migrated, run):
    folder = only_backup(migrated)
    shutil.rmtree(folder)
    outcome = repaired(run)
    assert outcome.code == 0
    assert only_backup(migrated) == folder
    assert run("backups", "verify").code == 0
    assert json.loads((folder / "manifest.json").read_bytes())["files"][0]["source"].startswith("sessions/")


def test_a_half_written_manifest_is_written_again_from_the_ledger(migrated, run):
    (only_backup(migrated) / "manifest.json").write_text('{"format": 1, "fi')
    assert any("half-written" in text for text in run("verify", "--progress", "none", "--json").json["broken"])
    assert len(repaired(run).json["repaired"]) == 1
    assert run("backups", "verify").code == 0


def test_a_manifest_is_not_made_up_for_files_that_nobody_knows(migrated, run):
    folder = only_backup(migrated)
    (folder / "manifest.json").write_text("{")
    (folder / "unknown.json").touch(mode=0o600)
    assert repaired(run).json["repaired"] == []
    assert (folder / "manifest.json").read_text() == "{"


def test_an_index_that_does_not_fit_its_table_is_built_again(migrated, run):
    with closing(sqlite3.connect(migrated.database, isolation_level=None)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(
            "UPDATE sqlite_schema SET sql = replace(sql, '(status)', '(type)') WHERE name = 'idx_sessions_status'"
        )
    with closing(sqlite3.connect(migrated.database, isolation_level=None)) as connection:
        connection.execute("REINDEX idx_sessions_status")
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(
            "UPDATE sqlite_schema SET sql = replace(sql, '(type)', '(status)') WHERE name = 'idx_sessions_status'"
        )
    broken = run("verify", "--progress", "none", "--json")
    assert broken.code == 1
    assert all("idx_sessions_status" in text for text in broken.json["broken"])
    outcome = repaired(run)
    assert outcome.code == 0
    assert outcome.json["repaired"] == ["built the index idx_sessions_status again"]


def test_nothing_to_repair_changes_nothing(migrated, run):
    before = migrated.listing()
    outcome = repaired(run)
    assert (outcome.code, outcome.json["repaired"], outcome.json["status"]) == (0, [], "clean")
    assert migrated.listing() == before


def test_a_repair_before_any_migration_has_nothing_to_do(scene, run):
    outcome = repaired(run)
    assert (outcome.code, outcome.json["status"]) == (0, "nothing_to_verify")


@pytest.mark.parametrize("seed", range(12))
def test_whatever_bytes_of_the_database_change_it_is_told_in_words(scene, run, seed):
    scene.write(ENGINE, [chat("a"), {}, *(chat(f"x{number}", text="y" * 300) for number in range(20))])
    run("migrate", "--progress", "none")
    chance = random.Random(seed)
    content = bytearray(scene.database.read_bytes())
    for _ in range(chance.choice([3, 40, 400])):
        content[chance.randrange(len(content))] = chance.randrange(256)
    scene.database.write_bytes(content)
    name = only_backup(scene).name
    for line in (
        "doctor",
        "quarantine list",
        "quarantine show 1",
        "verify --repair --progress none",
        "quarantine retry --all",
        "backups prune --keep 1",
        f"backups restore {name}",
    ):
        assert run(*line.split()).code in (0, 1, 3)


def test_a_database_whose_own_error_message_is_no_text_is_damage(migrated, run):
    content = migrated.database.read_bytes().replace(
        b"CREATE INDEX idx_sessions_type", b"CREATE INDE\xe1 idx_sessions_type"
    )
    migrated.database.write_bytes(content)
    outcome = run("quarantine", "list")
    assert outcome.code == 1
    assert "damaged" in outcome.err
