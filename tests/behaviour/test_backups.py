"""Backups are verified, restored only where that is allowed, and pruned only if they are not needed."""

import errno
import hashlib
import json
import os
import shutil
import sqlite3
import stat
import subprocess
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from migrator.backups.database_copy import back_up_database
from migrator.database.connection import opened, waiting
from migrator.errors import StorageIOError
from migrator.files import durable
from migrator.files.os_errors import os_errors
from migrator.inventory.location import resolve_data_dir
from migrator.locking import exclusive
from migrator.migration.execute import Execution
from tests.support.command_line import Migrator
from tests.support.scene import Scene, chat, hash_of, parsed

ENGINE, LOOM = "/home/dev/engine", "/home/bob/loom"


@pytest.fixture
def run(scene: Scene, migrator: Migrator) -> Migrator:
    return lambda *arguments: migrator("--data-dir", scene.root, *arguments)


@pytest.fixture
def migrated(scene: Scene, run: Migrator) -> Scene:
    scene.write(ENGINE, [chat("a")])
    scene.write(LOOM, [chat("b", workspace=LOOM)])
    assert run("migrate", "--progress", "none").code == 0
    return scene


@pytest.fixture
def rolled_back(migrated: Scene, run: Migrator) -> Scene:
    """After a rollback: the JSON files are authoritative, and the backup of the migration exists."""
    assert run("rollback", "--progress", "none").code == 0
    return migrated


def only_backup(scene: Scene) -> Path:
    (folder,) = (scene.root / "backups").iterdir()
    return folder


def manifest(folder: Path) -> Any:
    return json.loads((folder / "manifest.json").read_bytes())


def rewrite(folder: Path, **changes: Any) -> None:
    """Change the manifest's first file, and let SHA256SUMS agree."""
    content = manifest(folder)
    content["files"][0] |= changes
    (folder / "manifest.json").write_text(json.dumps(content))
    sums = "".join(f"{file['sha256']}  {file['file']}\n" for file in content["files"])
    (folder / "SHA256SUMS").write_text(sums)


def made_up_backup(scene: Scene, name: str, content: bytes = b"[]", sequence: int | None = None) -> Path:
    """A whole backup of ``sessions.json``; an older one unless it has a sequence number."""
    folder = scene.root / "backups" / name
    folder.mkdir(parents=True)
    (folder / "sessions.json").write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    entry = {"source": "sessions.json", "file": "sessions.json", "size": len(content), "sha256": digest, "mtime_ns": 0}
    number = {} if sequence is None else {"sequence": sequence}
    content_of = number | {"format": 1, "created_at": name[:16], "files": [entry]}
    (folder / "manifest.json").write_text(json.dumps(content_of))
    (folder / "SHA256SUMS").write_text(f"{digest}  sessions.json\n")
    return folder


def database_backup(scene: Scene, why: str = "test") -> Path:
    with opened(scene.database) as connection:
        return back_up_database(connection, scene.database, scene.root / "backups", why).parent


def flip_a_bit(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def test_the_copy_of_the_database_has_nothing_else_in_its_folder(rolled_back, run, monkeypatch):
    monkeypatch.setattr("migrator.backups.manifest.stamp", lambda: "20260101T000000Z")  # everything in one second
    assert run("migrate", "--progress", "none").code == 0
    (copy,) = (rolled_back.root / "backups").glob("*-database-rolled-back")
    assert sorted(path.name for path in copy.iterdir()) == ["SHA256SUMS", "manifest.json", "sessions.db"]
    assert run("backups", "verify").code == 0


def test_copies_that_an_earlier_backup_has_are_gone_before_anything_is_published(rolled_back, run, monkeypatch):
    publish, found = Execution.publish, []

    def looked_at(self, staged):
        found.extend((rolled_back.root / "backups").glob(".incomplete-*"))
        return publish(self, staged)

    monkeypatch.setattr(Execution, "publish", looked_at)
    assert run("migrate", "--progress", "none").code == 0
    assert len([path for path in (rolled_back.root / "backups").iterdir() if "database" not in path.name]) == 1
    assert found == []


def test_copies_that_an_earlier_backup_has_are_not_even_synced(rolled_back, run, monkeypatch):
    monkeypatch.setattr("migrator.files.durable.sync_files", lambda *_: pytest.fail("they were synced"))
    monkeypatch.setattr("migrator.backups.create.write_listing", lambda *_: pytest.fail("they were listed"))
    assert run("migrate", "--progress", "none").code == 0


def test_a_backup_gets_its_name_when_every_copy_is_synced(scene, run, monkeypatch):
    rename, sync_folder = durable.rename_folder, durable.sync_folder
    synced: list[Path] = []
    folders: list[Path] = []

    def named(working, final):
        copies = set((working / "sessions").iterdir())
        assert copies == set(synced)
        assert working / "sessions" in folders  # behind the copies: it was made, and empty, before
        rename(working, final)

    def noting(folder):
        if synced:
            folders.append(Path(folder))
        sync_folder(folder)

    monkeypatch.setattr(durable, "sync_folder", noting)

    monkeypatch.setattr(durable, "sync_files", lambda folder, names: synced.extend(folder / name for name in names))
    monkeypatch.setattr(durable, "rename_folder", named)
    for workspace in ("/a", "/b"):
        scene.write(workspace, [chat(workspace)])
    assert run("migrate", "--progress", "none").code == 0
    assert len(synced) == 2


def test_a_listing_that_can_not_be_written_fails_the_run(scene, run, monkeypatch):
    def full(folder, *_):
        with os_errors("write", folder / "manifest.json"):
            raise OSError(errno.ENOSPC, "No space left on device")

    scene.write("/a", [chat("a")])
    monkeypatch.setattr("migrator.backups.create.write_listing", full)
    reported = run("migrate", "--progress", "none")
    assert reported.code == 1
    assert "manifest.json: No space left on device" in " ".join(reported.err.split())
    assert [*(scene.root / "backups").iterdir()] == []
    assert not scene.database.exists()


def test_a_damaged_listing_is_not_used_again(rolled_back, run):
    (folder,) = (rolled_back.root / "backups").iterdir()
    (folder / "manifest.json").write_bytes((folder / "manifest.json").read_bytes()[:40])
    assert run("migrate", "--progress", "none").code == 0
    used = {Path(name).parts[1] for (name,) in rolled_back.query("SELECT backup FROM migration_ledger")}
    assert len(used) == 1
    assert folder.name not in used


def test_attempts_that_fail_do_not_fill_the_disk(rolled_back, run, monkeypatch):
    before = sorted((rolled_back.root / "backups").iterdir())
    for module in ("migration.publish", "admin.schema_steps"):
        monkeypatch.setattr(f"migrator.{module}.opened", partial(opened, timeout=0))
    with closing(sqlite3.connect(rolled_back.database, isolation_level=None)) as app:
        app.execute("BEGIN IMMEDIATE")
        assert run("migrate", "--progress", "none").code == 1
        assert run("schema", "revert").code == 1
    assert sorted((rolled_back.root / "backups").iterdir()) == before


def test_the_same_database_is_not_copied_twice(migrated):
    assert database_backup(migrated, "one") == database_backup(migrated, "two")


def test_a_copy_that_was_damaged_since_is_not_taken_for_the_same(migrated):
    first = database_backup(migrated, "one")
    flip_a_bit(first / "sessions.db")
    assert database_backup(migrated, "two") != first


def test_a_failure_that_copied_nothing_leaves_no_empty_backup(scene, run):
    file = scene.file_of(ENGINE)
    file.mkdir(parents=True)
    outcome = run("migrate", "--progress", "none", "--json")
    assert outcome.code == 3
    assert outcome.json["backup_path"] is None
    assert not list((scene.root / "backups").glob("[0-9]*"))


@pytest.mark.parametrize(
    ("moment", "said"),
    [
        ("made", "Input/output error"),
        pytest.param(
            "written",
            "No space left on device",
            marks=pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here"),
        ),
    ],
)
def test_a_copy_that_cannot_be_made_ends_the_run_and_does_not_fail_its_file(scene, run, monkeypatch, moment, said):
    really = durable._create

    def fails(target: Any) -> int:
        if Path(target).name != scene.file_of(ENGINE).name:
            return really(target)
        if moment == "made":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return os.open("/dev/full", os.O_WRONLY)

    scene.write(ENGINE, [chat("a")])
    before = scene.file_of(ENGINE).read_bytes()
    monkeypatch.setattr(durable, "_create", fails)
    outcome = run("migrate", "--progress", "none")
    assert outcome.code == 1
    assert said in outcome.err
    assert not scene.database.exists()
    assert scene.file_of(ENGINE).read_bytes() == before


def test_list_shows_kind_number_and_size(migrated, run):
    database_backup(migrated)
    files, database = run("backups", "list", "--json").json["backups"]
    assert (files["kind"], files["files"], files["state"]) == ("files", 2, "unknown")
    assert files["bytes"] == sum(file.stat().st_size for file in (migrated.root / "sessions").iterdir())
    assert (database["kind"], database["files"]) == ("database", 1)
    text = run("backups", "list").out
    assert files["name"] in text
    assert database["name"] in text


def test_list_says_so_where_there_are_none(scene, run):
    assert run("backups", "list").out == "There are no backups.\n"
    assert run("backups", "verify").code == 0


def test_list_shows_damage_that_needs_no_hashing(migrated, run):
    missing = next((only_backup(migrated) / "sessions").iterdir())
    missing.unlink()
    (listed,) = run("backups", "list", "--json").json["backups"]
    assert listed["state"] == "damaged"
    assert missing.name in listed["error"]


def test_a_whole_backup_verifies_and_sha256sum_agrees(migrated, run):
    outcome = run("backups", "verify", "--json")
    assert outcome.code == 0
    assert [backup["state"] for backup in outcome.json["backups"]] == ["whole"]
    if shutil.which("sha256sum"):
        subprocess.run(["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd=only_backup(migrated), check=True)


def test_a_database_backup_verifies_too(migrated, run):
    folder = database_backup(migrated)
    assert run("backups", "verify", folder.name).code == 0
    flip_a_bit(folder / "sessions.db")
    assert run("backups", "verify", folder.name).code == 1


def test_verify_reports_each_file_that_is_missing_changed_or_unknown(migrated, run):
    folder = only_backup(migrated)
    first, second = sorted((folder / "sessions").iterdir())
    first.unlink()
    flip_a_bit(second)
    (folder / "stray.txt").write_text("")
    outcome = run("backups", "verify", "--json")
    assert outcome.code == 1
    assert outcome.codes == ["backup.file_missing", "backup.file_damaged", "backup.unknown_file"]
    problems = outcome.json["backups"][0]["problems"]
    for problem, name in zip(problems, (first.name, second.name, "stray.txt"), strict=True):
        assert name in problem


def test_verify_takes_a_link_for_no_copy(migrated, run):
    copy = next((only_backup(migrated) / "sessions").iterdir())
    content = copy.read_bytes()
    (migrated.root / "elsewhere").write_bytes(content)
    copy.unlink()
    copy.symlink_to(migrated.root / "elsewhere")
    outcome = run("backups", "verify", "--json")
    assert outcome.code == 1
    assert outcome.codes == ["backup.file_is_link"]


def test_checksums_that_disagree_with_the_manifest_are_reported(migrated, run):
    (only_backup(migrated) / "SHA256SUMS").write_text("")
    outcome = run("backups", "verify", "--json")
    assert outcome.code == 1
    assert outcome.codes == ["backup.checksums_differ"]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b'{"format": 1, "created_at": "2025', "backup.manifest_damaged"),
        (b"", "backup.manifest_damaged"),
        (b"\xff\x00", "backup.manifest_damaged"),
        (b"[" * 10**5, "backup.manifest_damaged"),
        (b"[]", "backup.manifest_damaged"),
        (b"{}", "backup.manifest_damaged"),
        (b'{"created_at": "x", "files": {}}', "backup.manifest_damaged"),
        (b'{"created_at": "x", "files": [1]}', "backup.manifest_damaged"),
        (b'{"created_at": "x", "files": [{"file": 1}]}', "backup.manifest_damaged"),
        (b'{"created_at": "x", "files": [{"file": "a", "sha256": "b"}]}', "backup.manifest_damaged"),
        (b'{"created_at": "x", "files": [{"file": "../a", "sha256": "b"}]}', "backup.manifest_damaged"),
        (b'{"format": 2, "created_at": "x", "files": []}', "backup.newer_format"),
    ],
)
def test_an_invalid_manifest_is_reported_by_every_command(rolled_back, run, content, code):
    folder = only_backup(rolled_back)
    (folder / "manifest.json").write_bytes(content)
    assert run("backups", "list").code == 0
    outcome = run("backups", "verify", "--json")
    assert (outcome.code, outcome.codes) == (1, [code])
    before = rolled_back.listing()
    outcome = run("backups", "restore", folder.name, "--json")
    assert (outcome.code, outcome.codes) == (1, [code])
    assert rolled_back.listing() == before


def test_a_folder_without_a_manifest_is_reported(rolled_back, run):
    folder = only_backup(rolled_back)
    (folder / "manifest.json").unlink()
    outcome = run("backups", "restore", folder.name, "--json")
    assert (outcome.code, outcome.codes) == (1, ["backup.manifest_missing"])


@pytest.mark.parametrize("name", ["missing", "../sessions", ".", "20250101T000000Z-x/.."])
def test_a_name_that_is_not_a_backup_is_reported(rolled_back, run, name):
    for command in ("verify", "restore"):
        outcome = run("backups", command, name, "--json")
        assert (outcome.code, outcome.codes) == (1, ["backup.not_found"])
        assert "'migrator backups list'" in outcome.err


def test_a_backup_may_be_named_by_its_whole_path(rolled_back, run):
    assert run("backups", "verify", only_backup(rolled_back)).code == 0


def test_restore_puts_lost_files_back(rolled_back, run):
    before = rolled_back.file_of(ENGINE).read_bytes()
    shutil.rmtree(rolled_back.root / "sessions")
    outcome = run("backups", "restore", only_backup(rolled_back).name, "--json")
    assert outcome.code == 0
    assert [file["status"] for file in outcome.json["files"]] == ["restored", "restored"]
    assert rolled_back.file_of(ENGINE).read_bytes() == before
    assert stat.S_IMODE(rolled_back.file_of(ENGINE).stat().st_mode) == 0o600


def test_restore_over_the_same_files_changes_nothing(rolled_back, run):
    before = rolled_back.listing()
    outcome = run("backups", "restore", only_backup(rolled_back).name, "--json")
    assert outcome.code == 0
    assert {file["status"] for file in outcome.json["files"]} == {"unchanged"}
    assert rolled_back.listing() == before


def test_restore_refuses_while_sqlite_is_authoritative_and_names_the_command(migrated, run):
    migrated.file_of(ENGINE).unlink()
    outcome = run("backups", "restore", only_backup(migrated).name, "--overwrite-newer-work", "--json")
    assert (outcome.code, outcome.codes) == (1, ["store.not_authoritative"])
    assert "'migrator rollback'" in outcome.err
    assert not migrated.file_of(ENGINE).exists()


def test_restore_refuses_to_take_the_place_of_newer_work_of_any_file(rolled_back, run):
    rolled_back.file_of(ENGINE).unlink()
    rolled_back.write(LOOM, [chat("newer", workspace=LOOM)])
    before = rolled_back.listing()
    outcome = run("backups", "restore", only_backup(rolled_back).name, "--json")
    assert (outcome.code, outcome.codes) == (1, ["backup.newer_work"])
    assert "--overwrite-newer-work" in outcome.err
    assert rolled_back.listing() == before


def test_with_the_option_newer_work_is_kept_under_another_name(rolled_back, run):
    newer = rolled_back.write(LOOM, [chat("newer", workspace=LOOM)]).read_bytes()
    outcome = run("backups", "restore", only_backup(rolled_back).name, "--overwrite-newer-work", "--json")
    assert outcome.code == 0
    (kept,) = [file["kept_beside"] for file in outcome.json["files"] if file["kept_beside"]]
    assert Path(kept).read_bytes() == newer
    assert [document["id"] for document in parsed(rolled_back.file_of(LOOM).read_bytes())] == ["b"]


def test_the_flag_can_not_be_shortened(rolled_back, run):
    assert run("backups", "restore", only_backup(rolled_back).name, "--overwrite").code == 2


def test_one_damaged_copy_keeps_all_from_being_restored(rolled_back, run):
    folder = only_backup(rolled_back)
    shutil.rmtree(rolled_back.root / "sessions")
    flip_a_bit(max((folder / "sessions").iterdir()))
    outcome = run("backups", "restore", folder.name, "--json")
    assert (outcome.code, outcome.codes) == (1, ["backup.damaged"])
    assert not (rolled_back.root / "sessions").exists()


def test_a_link_or_a_folder_in_the_way_is_refused(rolled_back, run):
    file, elsewhere = rolled_back.file_of(ENGINE), rolled_back.root / "elsewhere"
    file.rename(elsewhere)
    file.symlink_to(elsewhere)
    outcome = run("backups", "restore", only_backup(rolled_back).name, "--overwrite-newer-work", "--json")
    assert (outcome.code, outcome.codes) == (1, ["file.in_the_way"])
    file.unlink()
    file.mkdir()
    assert run("backups", "restore", only_backup(rolled_back).name, "--json").codes == ["file.in_the_way"]


def test_a_sessions_folder_that_leads_elsewhere_is_refused(rolled_back, run, tmp_path):
    shutil.move(rolled_back.root / "sessions", tmp_path / "elsewhere")
    (rolled_back.root / "sessions").symlink_to(tmp_path / "elsewhere")
    outcome = run("backups", "restore", only_backup(rolled_back).name, "--overwrite-newer-work", "--json")
    assert (outcome.code, outcome.codes) == (1, ["backup.path_outside"])


@pytest.mark.parametrize(
    "source",
    ["/tmp/evil.json", "../evil.json", "sessions/../../evil.json", "sessions/evil.json", "storage.json", "", None],
)
def test_a_manifest_that_points_elsewhere_is_refused(rolled_back, run, source):
    folder = only_backup(rolled_back)
    rewrite(folder, source=source)
    before = rolled_back.listing()
    outcome = run("backups", "restore", folder.name, "--overwrite-newer-work", "--json")
    assert (outcome.code, outcome.codes) == (1, ["backup.path_outside"])
    assert rolled_back.listing() == before


def test_an_older_file_goes_back_into_its_workspace_and_nowhere_else(scene, run, tmp_path):
    workspace = tmp_path / "engine"
    older = workspace / ".ait42" / "sessions.json"
    older.parent.mkdir(parents=True)
    older.write_text(json.dumps([chat("a", workspace=str(workspace))]))
    content = older.read_bytes()
    assert run("migrate", "--workspace", workspace, "--progress", "none").code == 0
    assert run("rollback", "--progress", "none").code == 0
    folder = only_backup(scene)
    older.unlink()
    assert run("backups", "restore", folder.name).code == 0
    assert older.read_bytes() == content
    for elsewhere in (
        tmp_path / "other" / ".ait42" / "sessions.json",
        workspace / "x" / ".." / ".ait42" / "sessions.json",
    ):
        rewrite(folder, source=str(elsewhere))
        assert run("backups", "restore", folder.name).code == 1
    assert not (tmp_path / "other").exists()


def test_the_database_comes_back_as_it_was_and_what_was_there_is_kept(migrated, run):
    folder = database_backup(migrated)
    migrated.change("UPDATE sessions SET task = 'newer'")
    refused = run("backups", "restore", folder.name, "--json")
    assert (refused.code, refused.codes) == (1, ["backup.newer_work"])
    assert "--overwrite-newer-work" in refused.err
    assert migrated.tasks(ENGINE) == ["newer"]
    outcome = run("backups", "restore", folder.name, "--overwrite-newer-work", "--json")
    assert outcome.code == 0
    assert migrated.tasks(ENGINE) == ["Weave"]
    kept = Path(outcome.json["files"][0]["kept_beside"])
    assert migrated.query("SELECT DISTINCT task FROM sessions", database=kept) == [("newer",)]
    assert run("verify", "--progress", "none").code == 0


def test_the_database_comes_back_under_a_program_that_has_it_open(migrated, run):
    folder = database_backup(migrated)
    with closing(sqlite3.connect(migrated.database, isolation_level=None)) as app:
        app.execute("UPDATE sessions SET task = 'newer'")
        assert run("backups", "restore", folder.name, "--overwrite-newer-work").code == 0
        assert app.execute("SELECT DISTINCT task FROM sessions").fetchall() == [("Weave",)]
        app.execute("UPDATE sessions SET task = 'newest'")
    assert migrated.query("PRAGMA integrity_check") == [("ok",)]


def with_small_pages(path: Path) -> None:
    """The database with pages of the size that the app's own has."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in ("PRAGMA journal_mode = DELETE", "PRAGMA page_size = 4096", "VACUUM"):
            connection.execute(statement)
        assert connection.execute("PRAGMA page_size").fetchone() == (4096,)


def test_the_database_comes_back_over_one_with_pages_of_another_size(migrated, run):
    folder = database_backup(migrated)
    with_small_pages(migrated.database)
    migrated.change("UPDATE sessions SET task = 'newer'")
    assert run("backups", "restore", folder.name, "--overwrite-newer-work").code == 0
    assert migrated.tasks(ENGINE) == ["Weave"]
    assert migrated.query("PRAGMA integrity_check") == [("ok",)]


def test_with_pages_of_another_size_a_program_that_has_it_open_has_to_close_it(migrated, run):
    folder = database_backup(migrated)
    with_small_pages(migrated.database)
    migrated.change("UPDATE sessions SET task = 'newer'")
    with opened(migrated.database) as app:
        app.execute("SELECT * FROM sessions").fetchall()
        outcome = run("backups", "restore", folder.name, "--overwrite-newer-work", "--json")
    assert (outcome.code, outcome.codes) == (1, ["database.locked"])
    assert migrated.tasks(ENGINE) == ["newer"]


def test_a_database_that_stays_locked_is_not_restored_over(migrated, run, monkeypatch):
    monkeypatch.setattr("migrator.backups.restore_database.BUSY_TIMEOUT", 0.2)
    folder = database_backup(migrated)
    with closing(sqlite3.connect(migrated.database, isolation_level=None)) as app:
        app.execute("BEGIN IMMEDIATE")
        app.execute("UPDATE sessions SET task = 'newer'")
        with waiting(0.1):
            outcome = run("backups", "restore", folder.name, "--overwrite-newer-work", "--json")
        app.execute("COMMIT")
    assert (outcome.code, outcome.codes) == (1, ["database.locked"])
    assert migrated.tasks(ENGINE) == ["newer"]


def test_a_database_that_is_destroyed_is_replaced_and_kept(migrated, run):
    folder = database_backup(migrated)
    migrated.database.write_bytes(b"no database at all" * 100)
    outcome = run("backups", "restore", folder.name, "--overwrite-newer-work", "--json")
    assert outcome.code == 0
    assert Path(outcome.json["files"][0]["kept_beside"]).read_bytes().startswith(b"no database")
    assert migrated.tasks(ENGINE) == ["Weave"]


def test_a_database_that_is_gone_comes_back_only_by_the_flag_and_without_its_old_log(migrated, run):
    folder = database_backup(migrated)
    with closing(sqlite3.connect(migrated.database, isolation_level=None)) as app:
        app.execute("UPDATE sessions SET task = 'newer'")
        log = migrated.root / "sessions.db-wal"
        shutil.copy(log, migrated.root / "log")
    migrated.database.unlink()
    shutil.move(migrated.root / "log", log)
    (migrated.root / "storage.json").unlink()  # with the flag, SQLite would be authoritative and missing
    outcome = run("backups", "restore", folder.name, "--json")
    assert (outcome.code, outcome.codes) == (1, ["backup.would_switch_store"])
    assert "--overwrite-newer-work" in outcome.err
    assert run("backups", "restore", folder.name, "--overwrite-newer-work").code == 0
    assert migrated.tasks(ENGINE) == ["Weave"]
    assert migrated.query("PRAGMA integrity_check") == [("ok",)]
    assert [file for file in migrated.root.iterdir() if "before-restore" in file.name]


def test_files_are_not_restored_while_the_authoritative_database_is_missing(migrated, run):
    folder = only_backup(migrated)
    migrated.database.unlink()
    migrated.write(ENGINE, [chat("older")])
    outcome = run("backups", "restore", folder.name, "--overwrite-newer-work", "--json")
    assert (outcome.code, outcome.codes) == (1, ["database.lost"])


def test_the_flag_follows_the_database_that_was_restored(migrated, run):
    folder = database_backup(migrated)
    assert run("rollback", "--progress", "none").code == 0
    assert migrated.flag() == "json"
    assert run("backups", "restore", folder.name, "--overwrite-newer-work").code == 0
    assert (migrated.status(), migrated.flag()) == ("completed", "sqlite")


def test_the_backup_of_another_database_is_refused(migrated, run):
    folder = database_backup(migrated)
    content = manifest(folder)
    other = migrated.root / "elsewhere" / "sessions.db"
    other.parent.mkdir()
    shutil.copy(migrated.database, other)
    content["database"] = str(other)
    (folder / "manifest.json").write_text(json.dumps(content))
    outcome = run("backups", "restore", folder.name, "--overwrite-newer-work", "--json")
    assert (outcome.code, outcome.codes) == (1, ["backup.other_database"])
    assert "--database" in outcome.err


def test_a_copy_of_a_database_of_another_name_is_refused_with_its_place(migrated, run):
    folder = database_backup(migrated)
    content = manifest(folder) | {"database": "/gone/history.db"}
    os.rename(folder / "sessions.db", folder / "history.db")
    (folder / "manifest.json").write_text(json.dumps(content))
    (folder / "SHA256SUMS").write_text(f"{content['sha256']}  history.db\n")
    outcome = run("backups", "restore", folder.name, "--overwrite-newer-work", "--json")
    assert (outcome.code, outcome.codes) == (1, ["backup.other_database"])
    assert str(folder / "history.db") in outcome.err


def test_the_database_comes_back_in_a_data_directory_that_was_moved(migrated, migrator):
    folder = database_backup(migrated)
    moved = migrated.root.with_name("moved")
    os.rename(migrated.root, moved)
    (moved / "sessions.db").write_bytes(b"destroyed" * 1000)
    outcome = migrator("--data-dir", moved, "backups", "restore", folder.name, "--overwrite-newer-work")
    assert outcome.code == 0, outcome.err
    assert Scene(moved).tasks(ENGINE) == ["Weave"]
    assert not migrated.root.exists()


def test_a_restore_to_another_place_does_not_hide_the_authoritative_database(migrated, migrator, tmp_path):
    folder, elsewhere = database_backup(migrated), tmp_path / "elsewhere" / "sessions.db"
    before = migrated.listing()
    for command in (("backups", "restore", folder.name, "--overwrite-newer-work"), ("migrate",), ("rollback",)):
        outcome = migrator("--data-dir", migrated.root, "--database", elsewhere, *command, "--json")
        assert (outcome.code, outcome.codes) == (1, ["store.other_database"])
        assert str(migrated.database) in outcome.err
    assert migrated.listing() == before
    assert not elsewhere.exists()


def test_a_database_from_the_future_is_not_restored_over(migrated, run):
    folder = database_backup(migrated)
    migrated.change("UPDATE migration_metadata SET schema_version = 99")
    before = migrated.listing()
    outcome = run("backups", "restore", folder.name, "--overwrite-newer-work", "--json")
    assert (outcome.code, outcome.codes) == (1, ["schema.newer"])
    assert migrated.listing() == before


def test_a_database_from_the_future_is_not_restored(migrated, run):
    folder = database_backup(migrated)
    with closing(sqlite3.connect(folder / "sessions.db")) as copy, copy:
        copy.execute("PRAGMA journal_mode = DELETE")
        copy.execute("UPDATE migration_metadata SET schema_version = 99")
    content = manifest(folder)
    digest = hashlib.sha256((folder / "sessions.db").read_bytes()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(content | {"sha256": digest}))
    (folder / "SHA256SUMS").write_text(f"{digest}  sessions.db\n")
    migrated.database.unlink()
    outcome = run("backups", "restore", folder.name, "--overwrite-newer-work", "--json")
    assert (outcome.code, outcome.codes) == (1, ["schema.newer"])
    assert not migrated.database.exists()


def test_versions_of_a_session_have_no_place_to_go_back_to(migrated, run):
    scene = migrated
    scene.change("UPDATE sessions SET task = 'in SQLite' WHERE id = 'a'")
    scene.write(ENGINE, [chat("a", task="in the file")])
    run("migrate", "--progress", "none")
    assert run("quarantine", "retry", "1", "--take", "ours").code == 0
    (name,) = [b["name"] for b in run("backups", "list", "--json").json["backups"] if b["kind"] == "versions"]
    assert run("backups", "verify", name).code == 0
    assert run("backups", "restore", name, "--json").codes == ["backup.not_restorable"]
    assert name in run("backups", "prune", "--keep", "1", "--json").json["kept"]


def test_prune_keeps_the_newest_and_says_what_it_removed(scene, run):
    names = [f"2025010{day}T000000Z-0000000{day}" for day in range(1, 5)]
    for name in names:
        made_up_backup(scene, name)
    outcome = run("backups", "prune", "--keep", "2", "--json")
    assert outcome.code == 0
    assert outcome.json["removed"] == [names[1], names[0]]
    assert sorted(path.name for path in (scene.root / "backups").iterdir()) == names[2:]


def test_the_newest_backup_is_the_last_one_made_even_if_the_clock_went_back(migrated, run):
    first = only_backup(migrated)
    renamed = first.rename(first.with_name("99990101T000000Z-x"))
    assert manifest(renamed)["sequence"] == 1
    migrated.change("UPDATE migration_ledger SET backup = NULL, bases = NULL")
    migrated.change("UPDATE migration_metadata SET json_backup_path = NULL")
    later = database_backup(migrated).name
    listed = [backup["name"] for backup in run("backups", "list", "--json").json["backups"]]
    assert listed == [renamed.name, later]
    assert run("backups", "prune", "--keep", "1", "--json").json["removed"] == [renamed.name]


def test_of_backups_without_a_sequence_number_those_that_are_needed_count_as_newer(migrated, run):
    needed = only_backup(migrated)
    content = manifest(needed)
    del content["sequence"]
    (needed / "manifest.json").write_text(json.dumps(content))
    made_up_backup(migrated, "99990101T000000Z-x")
    assert run("backups", "prune", "--keep", "1", "--json").json["removed"] == ["99990101T000000Z-x"]


def test_prune_only_reports_in_a_dry_run(scene, run):
    for day in range(1, 4):
        made_up_backup(scene, f"2025010{day}T000000Z-x")
    before = scene.listing()
    outcome = run("backups", "prune", "--keep", "1", "--dry-run")
    assert outcome.code == 0
    assert "20250101T000000Z-x" in outcome.out
    assert scene.listing() == before


def test_prune_keeps_what_a_later_merge_needs(migrated, run):
    needed = only_backup(migrated).name
    for day in range(1, 4):
        made_up_backup(migrated, f"9999010{day}T000000Z-x", sequence=day + 1)
    outcome = run("backups", "prune", "--keep", "1", "--json")
    assert outcome.json["removed"] == ["99990102T000000Z-x", "99990101T000000Z-x"]
    assert needed in outcome.json["kept"]
    migrated.write(ENGINE, [chat("a"), chat("new")])
    assert run("migrate", "--progress", "none").code == 0
    assert [document["id"] for document in migrated.documents(hash_of(ENGINE))] == ["a", "new"]


def test_prune_keeps_the_copies_of_every_file_that_the_ledger_knows(migrated, run):
    first = only_backup(migrated).name
    migrated.write(ENGINE, [chat("a"), chat("new")])
    run("migrate", "--progress", "none")
    made_up_backup(migrated, "99990101T000000Z-x", sequence=99)
    for keep in ("1", "2"):
        outcome = run("backups", "prune", "--keep", keep, "--json")
        assert outcome.json["removed"] == []
        assert "sessions/" in outcome.json["kept"][first]  # it still is the base for the other workspace
    assert outcome.json["kept"]["99990101T000000Z-x"] == "it is one of the 2 newest"


def test_prune_leaves_what_it_can_not_read_and_does_not_count_it(scene, run):
    damaged = made_up_backup(scene, "20250103T000000Z-x")
    (damaged / "manifest.json").write_text("{")
    whole = made_up_backup(scene, "20250102T000000Z-x")
    made_up_backup(scene, "20250101T000000Z-x")
    outcome = run("backups", "prune", "--keep", "1", "--json")
    assert outcome.json["removed"] == ["20250101T000000Z-x"]
    assert set(outcome.json["kept"]) == {damaged.name, whole.name}


def test_prune_removes_nothing_while_it_is_unknown_what_is_needed(migrated, run):
    for day in range(1, 3):
        made_up_backup(migrated, f"2025010{day}T000000Z-x")
    migrated.database.write_bytes(b"no database at all" * 100)
    before = migrated.listing()
    assert run("backups", "prune", "--keep", "1").code == 1
    assert migrated.listing() == before


def test_prune_to_nothing_is_wrong_usage(scene, run):
    assert run("backups", "prune", "--keep", "0").code == 2


def test_a_backup_half_removed_by_a_killed_prune_is_not_a_backup_any_more(scene, run):
    folder = made_up_backup(scene, "20250101T000000Z-x")
    folder.rename(folder.with_name(f".incomplete-{folder.name}"))
    assert run("backups", "list", "--json").json == {"backups": []}
    assert run("verify", "--repair", "--progress", "none").code == 0
    assert list((scene.root / "backups").iterdir()) == []


def test_restore_and_prune_do_not_wait_for_the_lock(rolled_back, run):
    with exclusive(resolve_data_dir(rolled_back.root)):
        for arguments in (["restore", only_backup(rolled_back).name], ["prune", "--keep", "1"]):
            assert run("backups", *arguments).code == 4


def test_nothing_is_written_where_the_disk_is_full(rolled_back, run, monkeypatch):
    rolled_back.file_of(ENGINE).unlink()
    before = rolled_back.listing()

    def full(*_: Any) -> None:
        raise OSError(28, os.strerror(28))

    with monkeypatch.context() as patch:
        patch.setattr("migrator.files.durable.os.fsync", full)
        outcome = run("backups", "restore", only_backup(rolled_back).name, "--json")
    assert (outcome.code, outcome.codes) == (1, ["disk.full"])
    assert rolled_back.listing() == before


def test_a_restore_that_fails_at_one_file_restores_none(rolled_back, run, monkeypatch):
    folder = only_backup(rolled_back)
    for workspace in (ENGINE, LOOM):
        rolled_back.write(workspace, [chat("newer", workspace=workspace)])
    before = rolled_back.listing()
    write_new, calls = durable.write_new, []

    def fails_at_the_second(path: Path, chunks: Any) -> None:
        calls.append(path)
        write_new(path, chunks)
        if len(calls) == 2:
            raise StorageIOError(f"Cannot write {path}: the disk is full.")

    with monkeypatch.context() as patch:
        patch.setattr("migrator.files.durable.write_new", fails_at_the_second)
        assert run("backups", "restore", folder.name, "--overwrite-newer-work").code == 1
    assert rolled_back.listing() == before


def test_a_restore_that_was_interrupted_says_what_it_did_and_is_finished_by_the_next(rolled_back, run, monkeypatch):
    folder = only_backup(rolled_back)
    first, second = sorted(path.name for path in (rolled_back.root / "sessions").iterdir())
    shutil.rmtree(rolled_back.root / "sessions")
    link_new = durable.link_new

    def fails_at_the_second(source: Path, target: Path) -> bool | None:
        if target.name == second:
            raise StorageIOError(f"Cannot replace {target}: it is broken.")
        return link_new(source, target)

    with monkeypatch.context() as patch:
        patch.setattr("migrator.files.durable.link_new", fails_at_the_second)
        outcome = run("backups", "restore", folder.name, "--json")
    assert (outcome.code, outcome.codes) == (1, ["file.refused"])
    assert str(rolled_back.root / "sessions" / first) in outcome.json["problems"][0]["hint"]
    assert [path.name for path in (rolled_back.root / "sessions").iterdir()] == [first]
    outcome = run("backups", "restore", folder.name, "--json")
    assert outcome.code == 0
    assert sorted(file["status"] for file in outcome.json["files"]) == ["restored", "unchanged"]


def test_a_file_that_changes_after_the_look_at_it_is_not_overwritten_unseen(rolled_back, run, monkeypatch):
    folder = only_backup(rolled_back)
    first, second = sorted((ENGINE, LOOM), key=hash_of)
    rolled_back.file_of(first).unlink()
    make_private_folder = durable.make_private_folder

    def app_writes(path: Path) -> None:
        make_private_folder(path)
        rolled_back.write(second, [chat("newest", workspace=second)])

    monkeypatch.setattr("migrator.files.durable.make_private_folder", app_writes)
    outcome = run("backups", "restore", folder.name, "--json")
    assert (outcome.code, outcome.codes) == (1, ["file.changed_meanwhile"])
    assert [document["id"] for document in parsed(rolled_back.file_of(second).read_bytes())] == ["newest"]
