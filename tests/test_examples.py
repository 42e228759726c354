"""The example programs of docs/examples run."""

import subprocess
import sys
from pathlib import Path

import pytest

import migrator
from migrator.data_dir import resolve_data_dir
from migrator.migration.lock import exclusive
from tests.command_line import alone, scene
from tests.scene import CHECKOUT, Scene, chat, hash_of

__all__ = ["alone", "scene"]

EXAMPLES = CHECKOUT / "docs" / "examples"
PROGRAM = [sys.executable, "-m", "migrator"]


def run(name: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, EXAMPLES / name, *arguments]
    done = subprocess.run(words, cwd=CHECKOUT, capture_output=True, encoding="utf-8", timeout=60, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    return done


def test_at_start_up_the_sidecar_migrates_and_the_app_shows_it(scene: Scene) -> None:
    scene.write("/a", [chat("s-1")])
    done = run("start_up.py", scene.root, *PROGRAM)
    assert "verify       100%" in done.stdout
    assert "Your history is ready." in done.stdout
    assert done.returncode == 0


def test_at_start_up_the_app_shows_what_needs_the_user(scene: Scene) -> None:
    scene.write("/a", [chat("s-1"), {"id": "no session"}])
    done = run("start_up.py", scene.root, *PROGRAM)
    assert "session at index 1" in done.stdout
    assert "1 sessions need a look" in done.stdout
    assert done.returncode == 0


def test_at_start_up_the_app_waits_for_another_one(scene: Scene) -> None:
    scene.write("/a", [chat("s-1")])
    with exclusive(resolve_data_dir(scene.root)):
        assert run("start_up.py", scene.root, *PROGRAM).returncode == 1


def test_at_start_up_nothing_is_migrated_again_after_a_rollback(scene: Scene) -> None:
    scene.write("/a", [chat("s-1")])
    migrator.migrate(scene.root)
    migrator.rollback(scene.root)
    assert run("start_up.py", scene.root, *PROGRAM).stdout == ""
    assert not migrator.needs_migration(scene.root)


@pytest.mark.parametrize("program", ["raise SystemExit(1)", "import os; os.abort()"])
def test_at_start_up_the_app_goes_on_without_a_sidecar_that_works(program: str, scene: Scene) -> None:
    assert "interrupted" in run("start_up.py", scene.root, sys.executable, "-c", program).stdout


def test_a_python_program_migrates_reads_and_writes(scene: Scene) -> None:
    scene.write("/a", [chat("s-1")])
    done = run("embedded.py", scene.root, "/a")
    assert done.stdout == "Hello\n"
    assert done.returncode == 0
    assert scene.documents(hash_of("/a"))[0]["chatHistory"][-1]["content"] == "Hello"
