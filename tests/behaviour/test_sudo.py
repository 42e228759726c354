"""As root in another user's directory: that user can use everything that was made there."""

import os
import stat
from pathlib import Path
from typing import Any, cast

import pytest

from migrator import StorageIOError, open_storage
from migrator.files import durable, owners
from tests.support.command_line import Migrator
from tests.support.errors import raises
from tests.support.scene import Scene, chat

ENGINE, LOOM = "/home/dev/engine", "/home/dev/loom"
USER, GROUP = 12_345, 23_456
pytestmark = pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="only root may give files away")


@pytest.fixture
def theirs(scene: Scene) -> Scene:
    """A data directory of another user, whose files their group may read."""
    for workspace in (ENGINE, LOOM):
        scene.write(workspace, [chat(workspace[-4:], workspace=workspace)]).chmod(0o640)
    (scene.root / "storage.json").write_text("{}")
    for path in (scene.root, *scene.root.rglob("*")):
        os.chown(path, USER, GROUP)
    return scene


def left_to_root(folder: Path) -> list[Path]:
    """What does not belong to the user."""
    found = [(path, path.lstat()) for path in (folder, *folder.rglob("*"))]
    assert len(found) > 3
    return [path for path, status in found if (status.st_uid, status.st_gid) != (USER, GROUP)]


def test_everything_belongs_to_the_user(theirs: Scene, migrator: Migrator, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    os.chown(tmp_path / "out", USER, GROUP)
    for command in ("migrate --dry-run", "migrate", "backend hybrid"):
        assert migrator("--data-dir", theirs.root, *command.split()).code == 0, command
        assert not left_to_root(theirs.root), command
    with open_storage(theirs.root) as store:
        store.create_session(ENGINE, cast(Any, chat("later")))
        assert (theirs.root / "sessions.db-wal").exists()
        assert (theirs.root / "hybrid.db").exists()
        assert not left_to_root(theirs.root)
    assert stat.S_IMODE(theirs.file_of(ENGINE).stat().st_mode) == 0o640
    theirs.database.chmod(0o600)
    for command in ("verify --repair", "rollback", "schema revert", "migrate", f"export --to {tmp_path}/out/new"):
        assert migrator("--data-dir", theirs.root, *command.split()).code == 0, command
    (name,) = [folder.name for folder in (theirs.root / "backups").glob("*-before-revert")]
    restored = migrator("--data-dir", theirs.root, "backups", "restore", name, "--overwrite-newer-work")
    assert restored.code == 0
    assert not left_to_root(theirs.root)
    assert not left_to_root(tmp_path / "out")
    assert stat.S_IMODE(theirs.file_of(ENGINE).stat().st_mode) == 0o640
    assert {p.stat().st_mode & 0o077 for p in (theirs.root / "backups").rglob("*")} == {0}


def test_a_link_in_the_place_of_what_is_made_is_not_followed(theirs: Scene, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir(mode=0o755)
    (theirs.root / "backups").symlink_to(target)
    with pytest.raises(OSError, match=r"Not a directory|symbolic"):
        owners.hand_over_folder(theirs.root / "backups")
    (theirs.root / "file").symlink_to(tmp_path / "passwd")
    (tmp_path / "passwd").write_text("root")
    with raises(StorageIOError, "file.exists"):
        durable.write_new(theirs.root / "file", ())
    durable.replace(theirs.root / "file", [b"new"])
    assert ((tmp_path / "passwd").stat().st_uid, (tmp_path / "passwd").read_text()) == (0, "root")
    assert (theirs.root / "file").lstat().st_uid == USER
    assert target.stat().st_uid == 0


def test_the_owner_is_named(theirs: Scene, migrator: Migrator) -> None:
    found = migrator("--data-dir", theirs.root, "doctor", "--json").json["findings"]
    shown = {one["subject"]: (one["level"], one["message"]) for one in found if one["code"] == "file.other_owner"}
    assert {subject: level for subject, (level, _) in shown.items()} == {"data directory": "note"}
    assert str(USER) in shown["data directory"][1]
    names = ("storage.json", "migrator.lock", "hybrid.db")
    for name in names:
        (theirs.root / name).touch()
        os.chown(theirs.root / name, 0, 0)
    found = migrator("--data-dir", theirs.root, "doctor", "--json").json["findings"]
    messages = [one["message"] for one in found if (one["code"], one["level"]) == ("file.other_owner", "problem")]
    for name in names:
        (message,) = [message for message in messages if name in message]
        assert "'root'" in message
        assert str(USER) in message


def test_an_error_names_the_owner(theirs: Scene) -> None:
    theirs.root.chmod(0o700)
    os.seteuid(65_534)
    try:
        with raises(StorageIOError, "file.permission_denied") as caught:
            durable.write_new(theirs.root / "new", ())
    finally:
        os.seteuid(0)
    assert "belongs to the user" in caught.value.message
