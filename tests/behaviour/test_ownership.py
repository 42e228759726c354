"""A database belongs to one data directory: from another one it can be read, and is never changed."""

import json
import os
import shutil
from pathlib import Path
from typing import Any, cast

import pytest

from migrator import UsageError, migrate, open_storage, resolve_data_dir
from migrator.data_dir import DataDir
from migrator.database import schema
from tests.support.command_line import Migrator
from tests.support.errors import raises
from tests.support.scene import Scene, chat

ENGINE, LOOM = "/home/dev/engine", "/home/dev/loom"
FOREIGN = "database.other_data_dir"
CHANGING = (
    "migrate", "migrate --dry-run", "rollback", "rollback --dry-run", "backend json", "backend hybrid",
    "verify --repair", "schema apply", "schema revert", "quarantine retry --all", "deletions decline --all",
    "search-index build", "backups prune --keep 1",
)  # fmt: skip
LOOKING = ("status", "sessions list", "sessions search Weave", "report", "backups list", "backend", "quarantine list")


@pytest.fixture
def two(scene: Scene, tmp_path: Path) -> Scene:
    """A data directory with sessions, next to ``scene``, whose sessions are migrated."""
    scene.write(ENGINE, [chat("one")])
    migrate(scene.root)
    other = Scene(tmp_path / "two")
    other.write(LOOM, [chat("two", workspace=LOOM)])
    return other


@pytest.fixture
def elsewhere(scene: Scene, tmp_path: Path) -> Path:
    """The database of ``scene``, which is in no data directory."""
    scene.write(ENGINE, [chat("one")])
    migrate(scene.root, database=tmp_path / "disk" / "app.db")
    return tmp_path / "disk" / "app.db"


def test_from_another_directory_it_is_only_read(
    scene: Scene, two: Scene, migrator: Migrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"sqlite:{scene.database}")
    before = scene.listing(), two.listing()
    for command in CHANGING:
        outcome = migrator("--data-dir", two.root, *command.split(), "--json")
        assert (outcome.code, outcome.codes) == (2, [FOREIGN]), command
        assert str(two.database) in outcome.err, command  # a database of its own is the way out
    for command in LOOKING:
        outcome = migrator("--data-dir", two.root, *command.split())
        assert outcome.code == 0, command
        assert outcome.err.count(f"belongs to the data directory {scene.root}") == 1, command
    findings = migrator("--data-dir", two.root, "doctor", "--json").json["findings"]
    assert [finding["code"] for finding in findings if finding["level"] == "problem"] == [FOREIGN]
    verified = migrator("--data-dir", two.root, "verify", "--json")
    assert (verified.code, verified.json["sessions"], verified.json["sources"]) == (0, 1, [])
    assert any("not compared" in note for note in verified.json["notes"])
    assert "migrator migrate" not in migrator("--data-dir", two.root, "status").out
    assert "migrator rollback" not in migrator("--data-dir", two.root, "report").out
    with raises(UsageError, FOREIGN):
        open_storage(two.root)
    with open_storage(two.root, read_only=True) as store:
        assert [one["id"] for one in store.get_all_sessions(ENGINE)] == ["one"]
    two.root.joinpath("migrator.lock").unlink(missing_ok=True)
    assert (scene.listing(), two.listing()) == before


def test_the_way_out_gives_the_other_directory_its_own(
    scene: Scene, two: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As an earlier version left it: storage.json names the database of the other directory.
    (two.root / "storage.json").write_text(json.dumps({"backend": "sqlite", "database": str(scene.database)}))
    monkeypatch.setenv("DATABASE_URL", f"sqlite:{scene.database}")
    with raises(UsageError, FOREIGN):
        migrate(two.root)
    assert migrate(two.root, database=two.database).totals.sessions == 1
    places = resolve_data_dir(two.root)
    assert (places.database, [note.code for note in places.notes]) == (two.database, ["option.database_url_ignored"])
    assert migrate(two.root).status == "nothing_to_do"


def test_a_place_in_another_directory_is_not_taken_either(scene: Scene, two: Scene) -> None:
    with raises(UsageError, FOREIGN):
        migrate(two.root, database=scene.root / "new.db")
    with raises(UsageError, FOREIGN):
        migrate(two.root, database=scene.root / "folder" / "new.db")


def test_a_link_to_it_changes_nothing(scene: Scene, two: Scene) -> None:
    two.database.symlink_to(scene.database)
    with raises(UsageError, FOREIGN):
        migrate(two.root)
    link = two.root.with_name("link")
    link.symlink_to(scene.root)
    assert migrate(link).status == "nothing_to_do"
    assert migrate(scene.root, database=link / "sessions.db").status == "nothing_to_do"


def test_a_copy_of_the_directory_works(scene: Scene, two: Scene, tmp_path: Path) -> None:
    copy = Scene(tmp_path / "copy")
    shutil.copytree(scene.root, copy.root)
    assert scene.query("SELECT data_dir FROM migration_metadata") == [(os.path.realpath(scene.root),)]
    with open_storage(copy.root) as store:
        store.create_session(ENGINE, cast(Any, chat("in the copy")))
    copy.write(LOOM, [chat("two", workspace=LOOM)])
    assert migrate(copy.root).exit_code == 0
    assert len(copy.tasks(ENGINE)) == 2
    assert len(scene.tasks(ENGINE)) == 1


def test_elsewhere_it_belongs_to_the_recorded_directory(scene: Scene, elsewhere: Path, tmp_path: Path) -> None:
    other = Scene(tmp_path / "two")
    other.write(LOOM, [chat("two", workspace=LOOM)])
    with raises(UsageError, FOREIGN):
        migrate(other.root, database=elsewhere)
    with raises(UsageError, FOREIGN):
        open_storage(DataDir(other.root, elsewhere))
    scene.root.rename(tmp_path / "not mounted")  # that it is gone proves nothing
    with raises(UsageError, FOREIGN):
        migrate(other.root, database=elsewhere)


@pytest.mark.parametrize("by", ["migrate", "open_storage", "exclusive"])
def test_the_record_follows_a_directory_that_was_moved(
    scene: Scene, elsewhere: Path, tmp_path: Path, migrator: Migrator, by: str
) -> None:
    moved = scene.root.rename(tmp_path / "moved")
    assert migrator("--data-dir", moved, "status").code == 0
    assert scene.query("SELECT data_dir FROM migration_metadata", database=elsewhere) == [(str(scene.root),)]
    if by == "migrate":
        assert migrate(moved).status == "nothing_to_do"
    elif by == "open_storage":
        open_storage(moved).close()
    else:
        assert migrator("--data-dir", moved, "search-index", "build").code == 0
    assert scene.query("SELECT data_dir FROM migration_metadata", database=elsewhere) == [(str(moved),)]
    shutil.copytree(moved, scene.root)  # names the database, too; but the record is that of the other
    with raises(UsageError, FOREIGN):
        migrate(scene.root)
    assert migrate(moved).status == "nothing_to_do"


def test_a_copy_of_a_directory_does_not_get_the_database_of_the_original(
    scene: Scene, elsewhere: Path, tmp_path: Path
) -> None:
    shutil.copytree(scene.root, tmp_path / "copy")
    with raises(UsageError, FOREIGN):
        migrate(tmp_path / "copy")
    assert migrate(scene.root).status == "nothing_to_do"


@pytest.mark.parametrize("schema_version", [9, 10])
def test_before_there_was_a_record_the_last_backup_decides(
    scene: Scene, elsewhere: Path, tmp_path: Path, schema_version: int
) -> None:
    alone = Scene(elsewhere.parent)
    alone_database = elsewhere.rename(alone.database)
    if schema_version == 9:
        for step in reversed(schema.steps()[schema_version:]):
            for statement in schema.split_statements(step.down.read_text(encoding="utf-8")):
                alone.change(statement)
            alone.change(f"DELETE FROM _sqlite_migrations WHERE name = '{step.name}'")
    else:
        alone.change("UPDATE migration_metadata SET data_dir = NULL")
    alone_database.rename(elsewhere)
    other = Scene(tmp_path / "two")
    other.write(LOOM, [chat("two", workspace=LOOM)])
    with raises(UsageError, FOREIGN):
        migrate(other.root, database=elsewhere)
    assert migrate(scene.root).status == "nothing_to_do"
    open_storage(scene.root).close()  # applies the step
    scene.write(LOOM, [chat("later", workspace=LOOM)])
    migrate(scene.root)
    assert scene.query("SELECT data_dir FROM migration_metadata", database=elsewhere) == [(str(scene.root),)]


def test_a_restored_database_belongs_where_it_was(
    scene: Scene, elsewhere: Path, tmp_path: Path, migrator: Migrator
) -> None:
    for command in ("rollback", "schema revert"):
        assert migrator("--data-dir", scene.root, *command.split()).code == 0
    (name,) = [folder.name for folder in (scene.root / "backups").glob("*-database-*")]
    elsewhere.write_bytes(b"damaged" * 1000)
    Scene(tmp_path / "two").write(LOOM, [chat("two", workspace=LOOM)])
    assert migrator("--data-dir", scene.root, "backups", "restore", name, "--overwrite-newer-work").code == 0
    with raises(UsageError, FOREIGN):
        migrate(tmp_path / "two", database=elsewhere)
    assert migrate(scene.root).exit_code == 0
