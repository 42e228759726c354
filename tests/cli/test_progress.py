"""Progress, for people and for programs that embed us."""

import io
import itertools
import json
import os
import pty
import re
import subprocess
import sys
from typing import Any

import jsonschema
import pytest

from migrator.cli.progress import progress_listener
from migrator.inventory.location import resolve_data_dir
from migrator.locking import exclusive
from migrator.progress import Progress
from tests.support.command_line import Migrator, Outcome
from tests.support.scene import CHECKOUT, Scene, chat, copy_fixture


def events(err: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in err.splitlines()]


@pytest.fixture(params=["new", "salvaged", "on top", "dry run", "odd files", "only empty files", "with a folder"])
def sent(request: pytest.FixtureRequest, scene: Scene, migrator: Migrator) -> list[dict[str, object]]:
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


SCHEMA = json.loads((CHECKOUT / "schemas" / "json" / "progress-event.schema.json").read_text(encoding="utf-8"))


def require_events(events: list[dict[str, object]]) -> None:
    """Require that every event fits the schema and has no other members than those of the schema."""
    for event in events:
        jsonschema.Draft202012Validator(SCHEMA).validate(event)
        form = "migrated" if event.get("command") == "migrate" else event["event"]
        assert set(event) == set(SCHEMA["$defs"][form]["properties"])


def test_each_line_is_an_event_of_the_schema(sent: list[dict[str, object]]) -> None:
    require_events(sent)


def test_only_the_last_event_reports_how_it_ended(sent: list[dict[str, object]]) -> None:
    assert [event["event"] for event in sent].index("finished") == len(sent) - 1


def test_the_last_event_agrees_with_the_report_and_the_exit_code(scene: Scene, migrator: Migrator) -> None:
    scene.root.rmdir()
    copy_fixture(scene.root)
    done = migrator("--data-dir", scene.root, "migrate", "--json", "--progress", "jsonl")
    last = events(done.err)[-1]
    assert last.pop("event") == "finished"
    assert last.pop("command") == "migrate"
    assert last.pop("exit_code") == done.code
    assert last == {name: done.json[name] for name in last}


def test_with_nothing_to_do_the_last_event_is_the_only_one(scene: Scene, migrator: Migrator) -> None:
    sent = events(migrator("--data-dir", scene.root, "migrate", "--progress", "jsonl").err)
    require_events(sent)
    assert [event["status"] for event in sent] == ["nothing_to_do"]


@pytest.mark.parametrize("as_json", [[], ["--json"]])
def test_a_failure_is_an_event_with_its_message_and_exit_code(
    as_json: list[str], scene: Scene, migrator: Migrator
) -> None:
    scene.write("/a", [chat("s-1")])
    with exclusive(resolve_data_dir(scene.root)):
        done = migrator("--data-dir", scene.root, "migrate", "--progress", "jsonl", *as_json)
    sent = events(done.err)
    require_events(sent)
    assert [(event["status"], event["exit_code"]) for event in sent] == [("failed", 4)]
    assert codes(sent[0]) == ["migration.locked"]
    assert done.code == 4


def codes(event: dict[str, Any]) -> list[str]:
    """The codes of an event's problems."""
    return [problem["code"] for problem in event["problems"]]


def how_it_ends(done: Outcome) -> tuple[object, object, object]:
    sent = events(done.err)
    require_events(sent)
    assert [event["event"] for event in sent].count("finished") == 1
    last = sent[-1]
    assert last["exit_code"] == done.code
    return last["command"], last["status"], codes(last)


def test_every_command_with_progress_reports_how_it_ended(scene: Scene, migrator: Migrator) -> None:
    def ending(*command: str) -> tuple[object, object, object]:
        return how_it_ends(migrator("--data-dir", scene.root, *command, "--progress", "jsonl"))

    scene.write("/a", [chat("s-1")])
    assert ending("verify") == ("verify", "nothing_to_do", [])
    assert ending("backend", "sqlite") == ("backend", "completed", [])
    assert ending("backend") == ("backend", "nothing_to_do", [])
    assert ending("search-index", "build") == ("search-index build", "completed", [])
    assert ending("verify") == ("verify", "completed", [])
    scene.change("UPDATE sessions SET task = 'another'")
    assert ending("rollback") == ("rollback", "completed", [])
    assert ending("rollback") == ("rollback", "nothing_to_do", [])
    assert ending("backend", "hybrid") == ("backend", "completed", [])


def test_what_needs_the_user_is_in_the_last_event(scene: Scene, migrator: Migrator) -> None:
    scene.write("/a", [chat("s-1"), {"id": "s-2"}])
    done = migrator("--data-dir", scene.root, "backend", "sqlite", "--progress", "jsonl")
    assert how_it_ends(done)[:2] == ("backend", "completed_with_problems")
    assert codes(events(done.err)[-1])
    [copy] = (scene.root / "backups").glob("*/sessions/*.json")
    copy.write_bytes(b"[]")
    done = migrator("--data-dir", scene.root, "verify", "--progress", "jsonl")
    assert how_it_ends(done)[:2] == ("verify", "failed")
    assert events(done.err)[-1]["errors"]


@pytest.mark.parametrize("as_json", [[], ["--json"]])
@pytest.mark.parametrize(
    "command", [["rollback"], ["backend", "json"], ["backend", "sqlite"], ["search-index", "build"]]
)
def test_a_failure_of_any_command_is_an_event(
    command: list[str], as_json: list[str], scene: Scene, migrator: Migrator
) -> None:
    scene.write("/a", [chat("s-1")])
    assert migrator("--data-dir", scene.root, "migrate", "--no-search-index").code == 0
    (scene.root / "storage.json").write_text('{"backend": "json"}')
    with exclusive(resolve_data_dir(scene.root)):
        done = migrator("--data-dir", scene.root, *command, "--progress", "jsonl", *as_json)
    assert how_it_ends(done)[:2] == (" ".join(command[: 2 if command[0] == "search-index" else 1]), "failed")
    assert codes(events(done.err)[0]) == ["migration.locked"]
    assert done.code == 4
    if as_json:
        assert done.json["status"] == "failed"
        assert done.json["problems"] == events(done.err)[0]["problems"]
    else:
        assert not done.out


def test_what_is_done_never_decreases_within_a_phase_and_ends_at_the_total(sent: list[dict[str, object]]) -> None:
    sent = [event for event in sent if event["event"] == "progress"]
    assert [phase for phase, _ in itertools.groupby(sent, lambda event: event["phase"])][:3] == [
        "backup",
        "load",
        "verify",
    ]
    for phase, group in itertools.groupby(sent, lambda event: event["phase"]):
        within = list(group)
        done = [int(str(event["done"])) for event in within]
        assert done == sorted(done)
        assert {event["total"] for event in within} == {within[-1]["total"]}
        assert within[-1]["done"] == within[-1]["total"], phase


def test_every_file_is_named(scene: Scene, migrator: Migrator) -> None:
    scene.root.rmdir()
    copy_fixture(scene.root)
    sent = events(migrator("--data-dir", scene.root, "migrate", "--json", "--progress", "jsonl").err)
    files = {f"sessions/{path.name}" for path in (scene.root / "sessions").iterdir()} | {"sessions.json"}
    assert {event["workspace"] for event in sent if event.get("phase") == "load"} == files


def lines_of(capsys: pytest.CaptureFixture[str], *events: tuple[float, Progress]) -> list[str]:
    """What a log gets of these events, each at its second."""
    now = 0.0
    with progress_listener("auto", clock=lambda: now) as listener:
        for second, event in events:
            now = second
            listener(event)
    return capsys.readouterr().err.splitlines()


def test_of_work_that_is_done_at_once_a_log_gets_no_line(scene: Scene, migrator: Migrator) -> None:
    scene.write("/a", [chat("s-1")])
    assert migrator("--data-dir", scene.root, "migrate").err == ""


def test_a_log_gets_one_line_a_second_with_counts_and_none_in_the_first_two(
    capsys: pytest.CaptureFixture[str],
) -> None:
    load = [Progress("load", f"{number}.json", number * 1000, 40_000, number) for number in range(40)]
    lines = lines_of(capsys, *((event.done / 10_000, event) for event in load))
    assert lines == ["Loading: 20.0/40.0 kB, 20 sessions.", "Loading: 30.0/40.0 kB, 30 sessions."]


def test_a_log_says_when_the_app_may_start(capsys: pytest.CaptureFixture[str]) -> None:
    [line] = lines_of(
        capsys, (3, Progress("search_index", "", 500, 1000)), (3.5, Progress("search_index", "", 600, 1000))
    )
    assert line.startswith("Indexing: 0.5/1.0 kB.")
    assert "the app may start" in line


@pytest.mark.parametrize("command", ["migrate", "verify"])
def test_with_none_nothing_is_printed(command: str, scene: Scene, migrator: Migrator) -> None:
    scene.write("/a", [chat("s-1")])
    migrator("--data-dir", scene.root, "migrate")
    scene.write("/a", [chat("s-1"), chat("s-2")])
    assert migrator("--data-dir", scene.root, command, "--progress", "none").err == ""


def test_a_bar_shows_bytes_sessions_and_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(sys, "stderr", screen)
    clock = itertools.count(0.0, 0.5)
    with progress_listener("bar", clock=lambda: next(clock)) as show:
        for done in (0, 50_000, 100_000):
            show(Progress("load", "a", done, 100_000, done // 1000))
        show(Progress("verify", "a", 100_000, 100_000, 100))
        show(Progress("verify", "b", 150_000, 200_000, 150))  # more was found on the way
    bars = [line.rpartition("\r")[2] for line in screen.getvalue().split("\n")[:-1]]
    assert [bar.split()[0] for bar in bars] == ["Loading", "Verifying"]
    assert "100.0/100.0 kB" in bars[0]
    assert "100 sessions" in bars[0]
    assert "kB/s" in bars[0]
    assert "150.0/200.0 kB" in screen.getvalue()
    assert len(set(map(len, screen.getvalue().replace("\n", "\r").split("\r"))) - {0}) == 1  # each covers the last


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
