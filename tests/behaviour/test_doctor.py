"""The doctor reports each problem with the command that fixes it; the repair fixes that, and nothing else."""

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

from migrator import WorktreeSession, open_storage, verify
from migrator.database.schema import latest_version
from migrator.diagnostics.summing import summed
from migrator.inventory.location import resolve_data_dir
from migrator.locking import exclusive
from migrator.verification.findings import Finding, command, problem
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
    """The command that fixes each problem, by the problem's code."""
    return {f["code"]: f["command"] for f in outcome.json["findings"] if f["level"] == "problem"}


def levels(outcome: Outcome) -> dict[str, str]:
    """The level of each finding, by code."""
    return {finding["code"]: finding["level"] for finding in outcome.json["findings"]}


def broken(run: Migrator) -> list[str]:
    """The codes of what verify reports as broken."""
    return [problem["code"] for problem in run("verify", "--progress", "none", "--json").json["problems"]]


def only_backup(scene: Scene) -> Path:
    (folder,) = (scene.root / "backups").iterdir()
    return folder


def test_after_a_migration_there_are_no_problems(migrated, run):
    outcome = run("doctor", "--json")
    assert (outcome.code, outcome.json["status"]) == (0, "well")
    assert set(levels(outcome).values()) == {"ok"}
    assert run("doctor").out.endswith("No problems found.\n")


def test_the_doctor_changes_nothing(migrated, run):
    before = migrated.listing()
    run("doctor")
    assert migrated.listing() == before


def test_it_shows_the_versions(migrated, run):
    assert sqlite3.sqlite_version in run("doctor").out


def test_it_reports_that_there_is_no_data_directory(scene, migrator, tmp_path):
    outcome = migrator("--data-dir", tmp_path / "missing", "doctor", "--json")
    assert outcome.code == 2
    assert levels(outcome)["option.data_dir_missing"] == "problem"
    assert not (tmp_path / "missing").exists()


def test_a_file_in_the_place_of_the_data_directory_is_a_problem(migrator, tmp_path):
    (tmp_path / "file").write_text("")
    outcome = migrator("--data-dir", tmp_path / "file", "doctor", "--json")
    assert outcome.code == 3
    assert "file.not_a_directory" in problems(outcome)


def test_new_files_are_work(scene, run):
    scene.write(ENGINE, [chat("a")])
    outcome = run("doctor", "--json")
    assert outcome.code == 3
    assert problems(outcome) == {"source.pending": "migrator migrate"}


def test_quarantine_and_failed_files_need_attention(scene, run):
    scene.write(ENGINE, [{}])
    scene.write_bytes(LOOM, b"[")
    run("migrate", "--progress", "none")
    outcome = run("doctor", "--json")
    assert outcome.code == 3
    assert problems(outcome) == {
        "quarantine.waiting": "migrator quarantine list",
        "source.truncated": "migrator migrate --salvage",
    }


def test_after_a_rollback_nothing_needs_attention(migrated, run):
    run("rollback", "--progress", "none")
    outcome = run("doctor", "--json")
    assert outcome.code == 0
    assert levels(outcome)["rollback.completed"] == "note"


def test_a_running_migrator_is_reported_with_its_process(migrated, run):
    with exclusive(resolve_data_dir(migrated.root)):
        outcome = run("doctor", "--json")
    (finding,) = [finding for finding in outcome.json["findings"] if finding["code"] == "migration.locked"]
    if Path("/proc/locks").exists():
        assert f"process {os.getpid()} " in finding["message"]
    assert levels(run("doctor", "--json"))["lock.free"] == "ok"


def test_a_newer_schema_is_reported_with_both_versions(migrated, run):
    migrated.change("UPDATE migration_metadata SET schema_version = 99")
    before = migrated.listing()
    outcome = run("doctor", "--json")
    assert outcome.code == 3
    (message,) = [f["message"] for f in outcome.json["findings"] if f["subject"] == "database"]
    assert "99" in message
    assert str(latest_version()) in message
    assert migrated.listing().keys() == before.keys()


def test_a_file_that_is_not_a_database_is_one_problem(migrated, run):
    migrated.database.write_bytes(b"no database at all" * 100)
    outcome = run("doctor", "--json")
    assert outcome.code == 3
    assert [f["subject"] for f in outcome.json["findings"] if f["level"] == "problem"] == ["database"]


def test_a_damaged_backup_is_reported_with_the_command_that_shows_more(migrated, run):
    name = only_backup(migrated).name
    (only_backup(migrated) / "manifest.json").write_text("{")
    assert list(problems(run("doctor", "--json")).values()) == [f"migrator backups verify {name}"]


def test_too_little_space_is_reported_in_numbers(scene, run, fill_disk):
    scene.write(ENGINE, [chat("a")])
    fill_disk()
    assert "disk.full" in problems(run("doctor", "--json"))
    assert "0 bytes" in run("doctor").out


def test_a_network_file_system_is_reported(migrated, run, monkeypatch):
    monkeypatch.setattr("migrator.diagnostics.machine.network_file_system", lambda _: "nfs4")
    outcome = run("doctor", "--json")
    assert (outcome.code, levels(outcome)["disk.network"]) == (0, "note")
    assert "nfs4" in run("doctor").out


@pytest.mark.skipif(os.name == "nt", reason="its files have no modes")
def test_a_data_directory_that_others_can_read_is_reported(migrated, run):
    os.chmod(migrated.root, 0o755)
    outcome = run("doctor")
    assert outcome.code == 0
    assert f"chmod 700 {migrated.root}" in outcome.out


def test_an_interrupted_switch_is_found_and_repaired(migrated, run):
    for content in ('{"backend": "json"}', "nonsense", None):
        flag = migrated.root / "storage.json"
        flag.unlink()
        if content is not None:
            flag.write_text(content)
            os.chmod(flag, 0o600)
        assert problems(run("doctor", "--json")) == {"backend.flag_wrong": "migrator verify --repair"}
        assert "backend.flag_wrong" in [note.code for note in verify(migrated.root).notes]
        assert len(repaired(run).json["repaired"]) == 1
        assert migrated.flag() == "sqlite"


def test_hybrid_mode_does_not_contradict_the_authority(migrated, run):
    (migrated.root / "storage.json").write_text('{"backend": "hybrid"}')
    os.chmod(migrated.root / "storage.json", 0o600)
    assert repaired(run).json["repaired"] == []
    assert migrated.flag() == "hybrid"


def test_in_hybrid_mode_the_files_that_follow_are_not_pending(migrated, run):
    assert run("backend", "hybrid", "--progress", "none").code == 0
    with open_storage(migrated.root) as store:
        store.create_session(ENGINE, cast(WorktreeSession, chat("new")))
        store.get_all_sessions(ENGINE)
    outcome = run("doctor", "--json")
    assert outcome.code == 0
    assert levels(outcome)["hybrid.stores_equal"] == "ok"
    assert levels(outcome)["source.migrated"] == "ok"


def test_leftovers_of_interrupted_runs_are_found_and_removed(migrated, run):
    left = ["sessions.db.staging", ".storage.json.123.migrator-tmp"]
    folders = [".rehearsal-x", ".rollback-123", "backups/.incomplete-x"]
    for name in left:
        (migrated.root / name).write_text("")
    for name in folders:
        (migrated.root / name).mkdir()
        (migrated.root / name / "file").write_text("")
    outcome = run("doctor", "--json")
    reported = [finding["message"] for finding in outcome.json["findings"] if finding["code"] == "file.leftover"]
    assert all(any(name in message for message in reported) for name in left + folders)
    notes = run("verify", "--progress", "none", "--json").json["notes"]
    assert all(any(name in note for note in notes) for name in left + folders)
    assert repaired(run).code == 0
    assert not any((migrated.root / name).exists() for name in left + folders)
    assert run("doctor").code == 0


def test_what_a_running_migrator_builds_is_not_a_leftover(migrated, run):
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
    assert "file.open_to_others" in problems(run("doctor", "--json"))
    assert "file.open_to_others" in [note.code for note in verify(migrated.root).notes]
    assert len(repaired(run).json["repaired"]) == 5
    assert {stat.S_IMODE(file.stat().st_mode) for file in ours} == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(theirs.stat().st_mode) == 0o644  # the app's own


def test_unknown_files_in_the_backups_are_reported_and_left_alone(migrated, run):
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


def test_a_damaged_copy_of_a_file_that_has_changed_is_set_aside(migrated, run):
    copy = only_backup(migrated) / "sessions" / migrated.file_of(ENGINE).name
    copy.write_bytes(b"[]")
    migrated.write(ENGINE, [chat("changed")])
    outcome = repaired(run)
    assert outcome.code == 0
    assert len(outcome.json["repaired"]) == 2
    assert copy.with_name(f"{copy.name}.damaged").read_bytes() == b"[]"
    assert run("backups", "verify").code == 0
    assert run("migrate").code == 3  # without a base


def test_copies_on_a_disk_that_is_not_mounted_are_not_forgotten(migrated, run):
    backups = migrated.root / "backups"
    elsewhere = backups.rename(migrated.root.with_name("disk"))
    backups.symlink_to(elsewhere.with_name("unmounted"))
    repaired(run)
    backups.unlink()
    backups.symlink_to(elsewhere)
    assert run("verify").code == 0
    assert migrated.query("SELECT count(*) FROM migration_ledger WHERE backup IS NULL") == [(0,)]


def test_a_backup_that_is_gone_altogether_is_made_again_with_its_listing(migrated, run):
    folder = only_backup(migrated)
    shutil.rmtree(folder)
    outcome = repaired(run)
    assert outcome.code == 0
    assert only_backup(migrated) == folder
    assert run("backups", "verify").code == 0
    assert json.loads((folder / "manifest.json").read_bytes())["files"][0]["source"].startswith("sessions/")


def test_a_truncated_manifest_is_rewritten_from_the_ledger(migrated, run):
    (only_backup(migrated) / "manifest.json").write_text('{"format": 1, "fi')
    assert broken(run)
    assert len(repaired(run).json["repaired"]) == 1
    assert run("backups", "verify").code == 0


def test_a_manifest_is_not_made_up_for_unknown_files(migrated, run):
    folder = only_backup(migrated)
    (folder / "manifest.json").write_text("{")
    (folder / "unknown.json").touch(mode=0o600)
    assert repaired(run).json["repaired"] == []
    assert (folder / "manifest.json").read_text() == "{"


def test_an_index_that_does_not_match_its_table_is_rebuilt(migrated, run):
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
    assert broken(run) == ["database.index_wrong"]
    outcome = repaired(run)
    assert outcome.code == 0
    [text] = outcome.json["repaired"]
    assert "idx_sessions_status" in text


def test_nothing_to_repair_changes_nothing(migrated, run):
    before = migrated.listing()
    outcome = repaired(run)
    assert (outcome.code, outcome.json["repaired"], outcome.json["status"]) == (0, [], "clean")
    assert migrated.listing() == before


def test_a_repair_before_any_migration_has_nothing_to_do(scene, run):
    outcome = repaired(run)
    assert (outcome.code, outcome.json["status"]) == (0, "nothing_to_verify")


@pytest.mark.parametrize("seed", range(12))
def test_whatever_bytes_of_the_database_change_there_is_a_message(scene, run, seed):
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


def test_a_database_whose_error_message_is_not_text_is_damaged(migrated, run):
    content = migrated.database.read_bytes().replace(
        b"CREATE INDEX idx_sessions_type", b"CREATE INDE\xe1 idx_sessions_type"
    )
    migrated.database.write_bytes(content)
    outcome = run("quarantine", "list", "--json")
    assert outcome.code == 1
    assert outcome.json["problems"][0]["code"].startswith("database.")


def test_many_findings_of_a_kind_are_one_with_one_command(scene, run):
    for name in ("one", "two", "three", "four", "five"):
        scene.write(f"/home/dev/{name}", [chat(name, workspace=f"/home/dev/{name}")])
    run("migrate", "--progress", "none")
    shutil.rmtree(scene.root / "backups")
    outcome = run("doctor", "--json")
    codes = [f["code"] for f in outcome.json["findings"] if f["level"] == "problem"]
    assert sorted(codes) == ["backup.file_missing"] * 5 + ["backup.missing"]
    printed = run("doctor").out
    assert printed.count("run:") == 2  # one command for each kind
    assert "2 problems" in printed
    assert repaired(run).code == 0
    assert run("doctor").code == 0


def test_one_command_is_for_all_paths():
    def finding(path: str) -> Finding:
        return problem("permissions", f"{path}!", command("chmod", "u+rw", path), code="file.permission_denied")

    (few,) = summed(finding(f"/a/{number}.json") for number in range(5))
    assert few.command == "chmod u+rw /a/0.json /a/1.json /a/2.json /a/3.json /a/4.json"
    (many,) = summed(finding(f"/a/{number}.json") for number in range(500))
    assert many.command == "chmod -R u+rw /a"
    assert "499" in many.message


def test_a_full_disk_is_a_problem_even_if_nothing_is_left_to_migrate(migrated, run, fill_disk):
    fill_disk()
    assert list(problems(run("doctor", "--json"))) == ["disk.full"]


def test_an_unfinished_search_index_is_named(migrated, run):
    migrated.change("UPDATE search_index SET state = 'building'")
    outcome = run("doctor", "--json")
    assert (outcome.code, levels(outcome)["search_index.unfinished"]) == (0, "note")


@pytest.mark.parametrize("harm", ["written", "gone"])
def test_a_rolled_back_database_that_holds_what_no_file_has_is_a_problem(migrated, run, harm):
    run("rollback", "--progress", "none")
    if harm == "written":
        migrated.change("UPDATE sessions SET task = 'newer' WHERE id = 'a'")
    else:
        migrated.file_of(ENGINE).unlink()
    assert problems(run("doctor", "--json")) == {"session.written_after_rollback": "migrator migrate"}


def test_what_could_not_be_repaired_is_named_with_its_cause_and_not_with_the_repair(migrated, run):
    folder = only_backup(migrated)
    shutil.rmtree(folder / "sessions")
    (folder / "sessions").write_text("in the way")
    os.chmod(folder / "sessions", 0o600)
    outcome = run("verify", "--repair", "--progress", "none", "--json")
    assert outcome.code == 1
    hints = [problem["hint"] for problem in outcome.json["problems"] if problem["code"] == "backup.file_missing"]
    assert len(hints) == 2
    assert all(str(folder / "sessions") in hint and "verify --repair'" not in hint for hint in hints)


def test_after_hybrid_mode_its_journal_is_not_reported_any_more(migrated, run):
    run("backend", "hybrid", "--progress", "none")
    assert "Hybrid mode" in run("backend").out
    run("backend", "sqlite", "--progress", "none")
    assert "Hybrid mode" not in run("backend").out
    assert "hybrid mode" not in run("doctor").out


def test_a_lost_database_is_called_that_by_every_command(migrated, run):
    migrated.database.unlink()
    for line in (
        "migrate", "rollback", "report", "export --to x", "quarantine list", "quarantine show 1",
        "quarantine retry --all",
        "quarantine dismiss --all", "deletions list", "deletions confirm --all", "schema status", "schema apply",
        "search-index build", "backups prune --keep 1",
    ):  # fmt: skip
        outcome = run(*line.split(), "--json")
        assert (outcome.code, outcome.codes) == (1, ["database.lost"]), line
