"""Nothing that is written in a file or a table leads out of the data directory, and nothing is read without an end."""

import itertools
import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from migrator.authority import read_flag
from migrator.backups.catalog import verify_backups
from migrator.backups.restore import restore_backup
from migrator.errors import BackupError, RollbackFailed, StorageIOError
from migrator.export.rollback import run_rollback
from migrator.export.to_folder import export
from migrator.files.reading import contents
from migrator.inventory.location import resolve_data_dir
from migrator.inventory.source_files import place_of_source, workspace_file_name
from migrator.migration.run import run_migration
from migrator.quarantine.items import export_quarantine
from migrator.verification.run import verify
from tests.support.scene import Scene, app_inserts, chat, hash_of

ENGINE = "/home/dev/engine"
NAMES = [
    "../outside.json",
    "sessions/../../outside.json",
    "sessions/sub/x.json",
    "/etc/passwd",
    "/tmp/../outside/.ait42/sessions.json",
    "sessions\\..\\x.json",
    "sessions/a\0.json",
    "storage.json",
    "sessions.db",
    "backups/x.json",
    "sessions/",
    "sessions/x.txt",
    "",
    ".",
    "..",
]


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    scene = Scene(tmp_path / "home" / ".ait42")
    scene.write(ENGINE, [chat("a"), {"no": "session"}])
    return scene


@pytest.fixture(autouse=True)
def nothing_outside(tmp_path: Path, scene: Scene) -> Iterator[None]:
    """Whatever a test does, it leaves no new files outside the data directory but its own."""
    yield
    outside = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if not path.is_relative_to(scene.root)}
    assert outside <= {"home", "outside", "out", "outside/victim"} | {name for name in outside if name[:4] == "out/"}


@pytest.fixture
def migrated(scene: Scene) -> Scene:
    run_migration(resolve_data_dir(scene.root))
    return scene


@pytest.mark.parametrize("name", NAMES)
def test_a_name_in_the_ledger_that_is_not_one_of_the_apps_files_is_refused(scene, name):
    with pytest.raises(StorageIOError) as refused:
        place_of_source(resolve_data_dir(scene.root), name)
    assert refused.value.code == "source.foreign"


@pytest.mark.parametrize(
    "name", ["sessions.json", f"sessions/{hash_of(ENGINE)}.json", "/home/dev/engine/.ait42/sessions.json"]
)
def test_the_apps_own_names_lead_to_their_places(scene, name):
    place = place_of_source(resolve_data_dir(scene.root), name)
    assert place == (Path(name) if name.startswith("/") else scene.root / name)


@pytest.mark.parametrize("name", ["../../x", "", "a" * 15, "A" * 16, "/etc/passwd", "a" * 16 + "/../x", "\0" * 16])
def test_an_invalid_hash_has_no_file_name(name):
    with pytest.raises(StorageIOError) as refused:
        workspace_file_name(name)
    assert refused.value.code == "workspace.invalid_hash"


def test_a_rollback_writes_nowhere_that_the_ledger_was_made_to_say(migrated, tmp_path):
    victim = tmp_path / "outside" / "victim"
    victim.parent.mkdir()
    victim.write_text("precious")
    migrated.change("UPDATE migration_ledger SET source = '../../outside/victim'")
    with pytest.raises(RollbackFailed) as failed:
        run_rollback(resolve_data_dir(migrated.root))
    assert getattr(failed.value.__cause__, "code", None) == "source.foreign"
    assert victim.read_text() == "precious"
    assert migrated.status() == "completed"


def test_neither_a_rollback_nor_an_export_writes_for_a_workspace_whose_hash_is_a_path(migrated, tmp_path):
    with closing(sqlite3.connect(migrated.database)) as app, app:
        app_inserts(app, "/elsewhere", "born", "task", "m")
        app.execute("UPDATE workspaces SET workspace_hash = '../../../outside' WHERE workspace_path = '/elsewhere'")
    with pytest.raises(RollbackFailed) as failed:
        run_rollback(resolve_data_dir(migrated.root))
    assert getattr(failed.value.__cause__, "code", None) == "workspace.invalid_hash"
    with pytest.raises(StorageIOError) as refused:
        export(resolve_data_dir(migrated.root), tmp_path / "out")
    assert refused.value.code == "workspace.invalid_hash"


def test_a_backup_copy_that_the_ledger_says_is_a_device_is_not_copied_without_an_end(migrated):
    migrated.change("UPDATE migration_ledger SET backup = '../../../../../../../dev/zero'")
    migrated.file_of(ENGINE).unlink()
    report = run_rollback(resolve_data_dir(migrated.root))
    assert [file.restored for file in report.workspaces] == ["export"]
    assert any("missing or damaged" in warning for warning in report.warnings)


def test_a_listing_that_leads_out_of_its_backup_restores_nothing(migrated):
    run_rollback(resolve_data_dir(migrated.root))
    (folder,) = (path for path in (migrated.root / "backups").iterdir() if (path / "sessions").exists())
    manifest = json.loads((folder / "manifest.json").read_bytes())
    for member, name in (("file", "../../../../outside"), ("source", "../../outside"), ("source", "/outside")):
        damaged: dict[str, Any] = manifest | {"files": [manifest["files"][0] | {member: name}]}
        (folder / "manifest.json").write_text(json.dumps(damaged))
        with pytest.raises(BackupError):
            restore_backup(resolve_data_dir(migrated.root), folder.name, overwrite_newer_work=True)


def test_a_folder_of_the_app_that_is_a_link_elsewhere_gets_nothing_restored(migrated, tmp_path):
    run_rollback(resolve_data_dir(migrated.root))
    (folder,) = (path for path in (migrated.root / "backups").iterdir() if (path / "sessions").exists())
    (tmp_path / "outside").mkdir()
    for file in (migrated.root / "sessions").iterdir():
        file.unlink()
    (migrated.root / "sessions").rmdir()
    (migrated.root / "sessions").symlink_to(tmp_path / "outside")
    with pytest.raises(BackupError) as raised:
        restore_backup(resolve_data_dir(migrated.root), folder.name, overwrite_newer_work=True)
    assert raised.value.code == "backup.path_outside"


@pytest.mark.parametrize("path", ["../../../outside", "/etc", "\0", "", "x" * 5_000, "\ud800"])
def test_a_mapping_to_a_path_with_another_hash_is_ignored(scene, path):
    mapping = {hash_of(ENGINE): path}
    (scene.root / "workspace_mapping.json").write_text(json.dumps(mapping))
    report = run_migration(resolve_data_dir(scene.root))
    assert [workspace.path for workspace in report.workspaces] == [ENGINE]
    assert "workspace.invalid_mapping" in {warning.code for warning in report.warnings}


def test_what_is_taken_out_of_quarantine_is_named_by_its_number_alone(migrated, tmp_path):
    migrated.change("UPDATE quarantine SET workspace_hash = '../../x', reason = 'torn'")
    export_quarantine(resolve_data_dir(migrated.root), tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["1.json"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *itertools.product(("storage.json", "workspace_mapping.json"), ("pipe", "device", "deep", "large")),
        *itertools.product(("sessions.json", "sessions/00000000000000aa.json"), ("pipe", "device", "deep")),
    ],
)
def test_nothing_in_the_place_of_a_file_is_read_without_end(scene, name, kind):
    place = scene.root / name
    if kind == "pipe":
        os.mkfifo(place)
    elif kind == "device":
        place.symlink_to("/dev/zero")
    elif kind == "deep":
        place.write_bytes(b"[" * 100_000 + b"]" * 100_000)
    else:
        with place.open("wb") as file:
            file.truncate(3 << 30)  # which takes no place on the disk
    report = run_migration(resolve_data_dir(scene.root))
    assert report.totals.sessions == 1
    assert verify(resolve_data_dir(scene.root)).broken == ()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
@pytest.mark.parametrize("name", ["manifest.json", "SHA256SUMS"])
def test_a_listing_that_is_a_pipe_is_damage(migrated, name):
    (folder,) = (migrated.root / "backups").iterdir()
    (folder / name).unlink()
    os.mkfifo(folder / name)
    (verified,) = verify_backups(resolve_data_dir(migrated.root)).backups
    assert verified.state == "damaged"


def test_a_flag_nested_too_deep_is_ignored(scene):
    scene.root.joinpath("storage.json").write_bytes(b'{"a":' * 50_000)
    assert read_flag(resolve_data_dir(scene.root)) is None


def test_a_small_file_is_read_and_a_large_one_is_not(tmp_path, scene):
    file = scene.root / "file"
    file.write_bytes(b"12345")
    assert contents(file, 5) == b"12345"
    with pytest.raises(OSError, match="more than 4 bytes"):
        contents(file, 4)
