"""The example programs of docs/examples run."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

import migrator
from migrator.inventory.location import resolve_data_dir
from migrator.locking import exclusive
from tests.support.scene import CHECKOUT, Scene, chat, hash_of

EXAMPLES = CHECKOUT / "docs" / "examples"
PROGRAM = [sys.executable, "-m", "migrator"]


RUSTC = shutil.which("rustc")


def run(name: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return started([sys.executable, EXAMPLES / name, *arguments])


def started(words: Sequence[str | Path]) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(words, cwd=CHECKOUT, capture_output=True, encoding="utf-8", timeout=60, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    return done


Start = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(
    scope="module", params=["py", pytest.param("rs", marks=pytest.mark.skipif(not RUSTC, reason="no rustc"))]
)
def start(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Start:
    """The start of an app, in either language."""
    program: list[str | Path] = [sys.executable, EXAMPLES / "start_up.py"]
    if request.param == "rs":
        built = tmp_path_factory.mktemp("rust") / "start_up.exe"  # as Windows requires; other systems accept it
        source = EXAMPLES / "start_up.rs"
        subprocess.run([str(RUSTC), "--edition", "2021", "-D", "warnings", "-o", built, source], check=True)
        program = [built]
    return lambda *arguments: started([*program, *arguments])


def test_at_start_up_the_sidecar_migrates_and_the_app_shows_it(start: Start, scene: Scene) -> None:
    scene.write("/a", [chat("s-1")])
    done = start(scene.root, *PROGRAM)
    assert "verify" in done.stdout
    assert "Your history is ready." in done.stdout
    assert done.returncode == 0
    assert scene.tasks("/a")


def test_at_start_up_the_app_shows_what_needs_the_user(start: Start, scene: Scene) -> None:
    scene.write("/a", [chat("s-1"), {"id": "no session"}])
    scene.write_bytes("/b", b"torn")
    done = start(scene.root, *PROGRAM)
    assert "session at index 1" in done.stdout
    assert re.search("1 sessions and 1 workspaces need a look|something needs a look", done.stdout)
    assert done.returncode == 0


def test_at_start_up_the_app_waits_for_another_one(start: Start, scene: Scene) -> None:
    scene.write("/a", [chat("s-1")])
    with exclusive(resolve_data_dir(scene.root)):
        assert start(scene.root, *PROGRAM).returncode == 1


def test_at_start_up_nothing_is_migrated_again_after_a_rollback(start: Start, scene: Scene) -> None:
    scene.write("/a", [chat("s-1")])
    migrator.migrate(scene.root)
    migrator.rollback(scene.root)
    assert start(scene.root, *PROGRAM).stdout == ""
    assert not migrator.needs_migration(scene.root)


def test_at_start_up_the_app_does_not_go_on_where_the_database_is_gone(start: Start, scene: Scene) -> None:
    scene.write("/a", [chat("s-1")])
    migrator.migrate(scene.root)
    scene.database.unlink()
    done = start(scene.root, *PROGRAM)
    assert "not where it was" in done.stdout
    assert done.returncode == 1


def test_at_start_up_a_wrong_setting_does_not_prevent_the_start(
    start: Start, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIGRATOR_DATABASE_URL", "postgres://elsewhere")
    done = start(scene.root, *PROGRAM)
    assert "could not be updated" in done.stdout
    assert "'postgres:'" in done.stdout
    assert done.returncode == 0


@pytest.mark.parametrize("program", ["raise SystemExit(1)", "import os; os.abort()"])
def test_at_start_up_the_app_goes_on_without_a_sidecar_that_works(start: Start, program: str, scene: Scene) -> None:
    assert "interrupted" in start(scene.root, sys.executable, "-c", program).stdout


@pytest.mark.parametrize("name", ["start_up.py", "embedded.py"])
def test_an_example_without_its_arguments_says_what_it_takes(name: str) -> None:
    done = run(name)
    assert "usage: " in done.stderr
    assert done.returncode == 1


def test_a_python_program_migrates_reads_and_writes(scene: Scene) -> None:
    scene.write("/a", [chat("s-1")])
    done = run("embedded.py", scene.root, "/a")
    assert done.stdout == "Hello\n"
    assert done.returncode == 0
    assert scene.documents(hash_of("/a"))[0]["chatHistory"][-1]["content"] == "Hello"


def test_a_python_program_says_that_there_are_no_sessions(scene: Scene) -> None:
    scene.write("/a", [chat("s-1")])
    done = run("embedded.py", scene.root, "/b")
    assert "/b has no sessions" in done.stderr
    assert done.returncode == 1
