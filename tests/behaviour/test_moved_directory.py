"""After a data directory was moved, every path that is shown is where the thing is now."""

import json
from pathlib import Path

from migrator import migrate, rollback
from migrator.backups.copy_files import CopyTask, _copy
from tests.support.command_line import Migrator
from tests.support.scene import Scene, chat

ENGINE, LOOM = "/home/dev/engine", "/home/dev/loom"


def test_paths_are_where_things_are_now(scene: Scene, tmp_path: Path, migrator: Migrator) -> None:
    scene.write(ENGINE, [chat("a")])
    scene.write_bytes(LOOM, b'[{"id": "torn')
    (scene.root / "sessions" / "0123456789abcdef.json").mkdir()
    migrate(scene.root)
    old, moved = str(scene.root), scene.root.rename(tmp_path / "moved")
    (backup,) = moved.joinpath("backups").iterdir()
    for command in ("status", "migrate", "report", "verify", "doctor", "backups list", "sessions list", "rollback"):
        for options in ((), ("--json",)):
            outcome = migrator("--data-dir", moved, *command.split(), *options)
            assert old not in outcome.printed, command
    for command in ("status", "report"):
        found = migrator("--data-dir", moved, command, "--json").json
        assert found["backup_path" if command == "status" else "backup"] == str(backup)
    assert rollback(moved, dry_run=True).backup_path == str(backup)
    assert [run["backup"] for run in found["runs"]] == [str(backup)]
    assert json.dumps(found).count(str(backup)) >= 2


def test_a_recorded_error_names_the_file_as_the_ledger_does(tmp_path: Path) -> None:
    task = CopyTask("sessions/gone.json", str(tmp_path / "sessions" / "gone.json"), "copy.json", 0, None)
    error = _copy(str(tmp_path), task)[3]
    assert error is not None
    assert error.code == "file.missing"
    assert str(tmp_path) not in error
    assert task.name in error
