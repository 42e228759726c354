"""What is in quarantine is named; a conflict shows what differs; a long message is reported once."""

import json

import pytest

from tests.support.command_line import Migrator
from tests.support.scene import Scene, app_json, chat

WORKSPACE = "/home/dev/engine"


def test_every_item_in_quarantine_is_named(scene: Scene, migrator: Migrator) -> None:
    whole = [chat("fine"), chat("not valid", task="a task", status=1), chat("no task", task=["a", "list"])]
    unreadable = app_json([chat("twice", task='with "quotes" and \\ 会議')])[1:-1].replace(
        b'"type"', b'"task": 1, "type"', 1
    )
    torn = app_json([chat("torn", task="cut")])[1:-40]
    scene.write_bytes(WORKSPACE, app_json(whole)[:-2] + b",\n" + unreadable + b",\n" + torn)
    migrator("--data-dir", scene.root, "migrate", "--salvage")
    items = migrator("--data-dir", scene.root, "quarantine", "list", "--json").json["items"]
    assert [(item["session_id"], item["task"]) for item in items] == [
        ("not valid", "a task"),
        ("no task", None),
        ("twice", 'with "quotes" and \\ 会議'),
        ("torn", "cut"),
    ]
    listed = migrator("--data-dir", scene.root, "quarantine", "list").out
    assert all(name in listed for name in ("not valid", "a task", "no task", "twice", "会議", "torn", "cut"))


@pytest.mark.parametrize("indent", [None, 2])
def test_a_conflict_shows_only_what_differs(indent: int | None, scene: Scene, migrator: Migrator) -> None:
    lines = [f"line {number}" for number in range(5000)]
    scene.write(WORKSPACE, [chat("s-1", text="\n".join(lines))])
    migrator("--data-dir", scene.root, "migrate")
    scene.change("UPDATE chat_messages SET content = replace(content, 'line 7' || char(10), 'ours' || char(10))")
    lines[7] = "theirs"
    scene.write_bytes(WORKSPACE, json.dumps([chat("s-1", text="\n".join(lines))], indent=indent).encode())
    migrator("--data-dir", scene.root, "migrate")
    shown = migrator("--data-dir", scene.root, "quarantine", "show", "1").out
    assert "s-1" in shown.splitlines()[0]
    assert [line for line in shown.splitlines() if line[0] in "+-"] == [
        "--- in SQLite", "+++ in the file", r"-ours\n", r"+theirs\n",
    ]  # fmt: skip
    assert len(shown.splitlines()) < 25


def test_of_a_large_difference_only_the_beginning_is_shown(scene: Scene, migrator: Migrator) -> None:
    scene.write(WORKSPACE, [chat("s-1", text="a")])
    migrator("--data-dir", scene.root, "migrate")
    scene.change("UPDATE chat_messages SET content = ?", "x" * 100_000)
    scene.write(WORKSPACE, [chat("s-1", text="y\n" * 100_000)])
    migrator("--data-dir", scene.root, "migrate")
    shown = migrator("--data-dir", scene.root, "quarantine", "show", "1").out
    assert 100 < len(shown.splitlines()) < 250
    assert len(shown) < 50_000


def test_why_a_file_failed_is_reported_by_the_run_and_by_status(scene: Scene, migrator: Migrator) -> None:
    scene.write_bytes(WORKSPACE, app_json([chat("s-1"), chat("s-2")])[:-10])
    scene.write("/a", [chat("s-3")])
    reason = "the file ends inside a session"
    assert reason in migrator("--data-dir", scene.root, "migrate").out
    assert reason in migrator("--data-dir", scene.root, "status").out
    for command in ("migrate", "verify", "doctor", "report", "sessions list", "sessions search none"):
        printed = migrator("--data-dir", scene.root, *command.split()).printed
        assert reason not in printed, command
        assert "status" in printed, command
