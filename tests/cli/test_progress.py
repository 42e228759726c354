"""Progress, for people and for programs that embed us."""

import io
import itertools
import json
import os
import pty
import re
import subprocess
import sys

import pytest

from migrator.cli.progress import showing
from migrator.migration.report import Progress
from tests.command_line import Migrator
from tests.scene import CHECKOUT, Scene, chat, copy_fixture


def events(err: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in err.splitlines()]


@pytest.fixture(params=["new", "salvaged", "on top", "dry run", "odd files", "only empty files", "with a folder"])
def told(request: pytest.FixtureRequest, scene: Scene, migrator: Migrator) -> list[dict[str, object]]:
    """The events of a run of each kind."""
    options: list[str] = []
    if request.param == "only empty files":
        scene.write_bytes("/a", b"")
        scene.write_bytes("/b", b"[]")
    elif request.param == "odd files":
        scene.write_bytes("/a", json.dumps([chat("s-1"), chat("s-2")]).encode())
        scene.write_bytes("/b", json.dumps([chat("s-3")], indent=8).encode())
        scene.write_bytes("/c", b"[{")
    else:
        scene.root.rmdir()
        copy_fixture(scene.root)
    if request.param == "on top":
        scene.app_opens_it().close()
    if request.param == "salvaged":
        options = ["--salvage"]
    if request.param == "dry run":
        options = ["--dry-run"]
    if request.param == "with a folder":
        scene.file_of("/folder").mkdir()
    return events(migrator("--data-dir", scene.root, "migrate", "--json", "--progress", "jsonl", *options).err)


def test_each_line_is_one_event_with_its_phase_file_and_numbers(told: list[dict[str, object]]) -> None:
    for event in told:
        assert event["event"] == "progress"
        assert event["phase"] in {"backup", "load", "verify", "publish", "search_index"}
        assert isinstance(event["workspace"], str)
        assert isinstance(event["done"], int)
        assert isinstance(event["total"], int)


def test_what_is_done_never_decreases_within_a_phase_and_ends_at_the_total(told: list[dict[str, object]]) -> None:
    assert [phase for phase, _ in itertools.groupby(told, lambda event: event["phase"])][:3] == [
        "backup",
        "load",
        "verify",
    ]
    for phase, group in itertools.groupby(told, lambda event: event["phase"]):
        within = list(group)
        done = [int(str(event["done"])) for event in within]
        assert done == sorted(done)
        assert {event["total"] for event in within} == {within[-1]["total"]}
        assert within[-1]["done"] == within[-1]["total"], phase


def test_every_file_is_named(scene: Scene, migrator: Migrator) -> None:
    scene.root.rmdir()
    copy_fixture(scene.root)
    told = events(migrator("--data-dir", scene.root, "migrate", "--json", "--progress", "jsonl").err)
    files = {f"sessions/{path.name}" for path in (scene.root / "sessions").iterdir()} | {"sessions.json"}
    assert {event["workspace"] for event in told if event["phase"] == "load"} == files


def test_for_a_log_there_is_one_line_a_file(scene: Scene, migrator: Migrator) -> None:
    first, second = scene.write("/a", [chat("s-1")]), scene.write("/b", [chat("s-2")])
    err = migrator("--data-dir", scene.root, "migrate").err
    assert err == "".join(f"Loading sessions/{name}\n" for name in sorted((first.name, second.name)))


@pytest.mark.parametrize("command", ["migrate", "verify"])
def test_none_is_none(command: str, scene: Scene, migrator: Migrator) -> None:
    scene.write("/a", [chat("s-1")])
    migrator("--data-dir", scene.root, "migrate")
    scene.write("/a", [chat("s-1"), chat("s-2")])
    assert migrator("--data-dir", scene.root, command, "--progress", "none").err == ""


def test_a_bar_shows_bytes_sessions_and_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(sys, "stderr", screen)
    with showing("bar") as show:
        for done in (0, 50_000, 100_000):
            show(Progress("load", "a", done, 100_000, done // 1000))
        show(Progress("verify", "a", 100_000, 100_000, 100))
    assert "Loading" in screen.getvalue()
    assert "Verifying" in screen.getvalue()
    assert "100.0/100.0 kB" in screen.getvalue()
    assert "100 sessions" in screen.getvalue()


@pytest.mark.skipif(os.name == "nt", reason="this system has no pseudo terminals")
def test_on_a_terminal_there_is_a_bar(scene: Scene) -> None:
    scene.write("/a", [chat("s-1")])
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "migrator", "--data-dir", str(scene.root), "migrate"],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        stderr=theirs,
        env=os.environ | {"TERM": "xterm", "COLUMNS": "100"},
    ) as process:
        process.communicate(timeout=60)
    os.close(theirs)
    shown = os.read(ours, 65536).decode(errors="replace")  # it may end within a character
    os.close(ours)
    assert process.returncode == 0
    assert re.search(r"Loading.*kB|Loading.*bytes", shown)
