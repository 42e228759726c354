"""Files in ``sessions/`` with other names than the app's: they are reported, and ``--adopt`` adds what they have."""

import json
import os
from pathlib import Path

import pytest

from tests.support.command_line import Migrator
from tests.support.scene import Document, Scene, app_json, chat, hash_of, parsed

ENGINE = "/home/dev/engine"
LOOM = "/home/bob/loom"
COPY = f"{hash_of(ENGINE)} (conflicted copy 2025-11-11).json"


def put(scene: Scene, name: str, documents: list[Document]) -> Path:
    path = scene.root / "sessions" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(app_json(documents))
    return path


def unknown(session_id: str) -> Document:
    return chat(session_id) | {"instances": []}


def reported(scene: Scene, migrator: Migrator) -> list[str]:
    return list(migrator("--data-dir", scene.root, "status", "--json").json["warnings"])


def ids(scene: Scene, workspace: str) -> list[str]:
    return [document["id"] for document in scene.documents(hash_of(workspace))]


def in_file(path: Path) -> list[str]:
    return [document["id"] for document in parsed(path.read_bytes())]


@pytest.fixture
def strange(scene: Scene) -> Scene:
    """A workspace's file, and a conflict copy with a session of its own, an equal one and one that differs."""
    scene.write(ENGINE, [chat("a"), chat("b")])
    put(scene, COPY, [chat("a"), chat("b", text="other"), chat("c")])
    return scene


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        (COPY, app_json([chat("a")]), "source.invalid_name"),
        (f"{hash_of(ENGINE)}.json.before-rollback", app_json([chat("a")]), "source.invalid_name"),
        (f"{hash_of(ENGINE)[:-1]}.sync-conflict.json", app_json([chat("a")]), "source.invalid_name"),
        (f"._{hash_of(ENGINE)}.json", b"\0\5\x16\7\0", "source.unknown_file"),
        ("notes.txt", b"Remember the milk", "source.unknown_file"),
    ],
)
def test_a_name_that_is_no_hash_is_reported_and_stops_nothing(
    name: str, content: bytes, code: str, scene: Scene, migrator: Migrator, tmp_path: Path
) -> None:
    scene.write(ENGINE, [chat("a")])
    (scene.root / "sessions" / name).write_bytes(content)
    at = ("--data-dir", scene.root)
    run = migrator(*at, "migrate", "--json").json
    assert [name in text for text in (*run["errors"], *run["warnings"])] == [True]
    assert (code == "source.invalid_name") == bool(run["errors"])
    [text] = reported(scene, migrator)
    assert name in text
    assert any(found["code"] == code for found in migrator(*at, "doctor", "--json").json["findings"])
    assert any(name in text for text in migrator(*at, "verify", "--json").json["notes"])
    for command in (["export", "--to", tmp_path / "out"], ["verify"], ["rollback"], ["migrate", "--dry-run"]):
        assert migrator(*at, *command).code in (0, 3)


@pytest.mark.parametrize("begin", [[], ["migrate"], ["backend hybrid"], ["migrate", "rollback"]])
def test_an_adopted_file_only_adds(begin: list[str], strange: Scene, migrator: Migrator) -> None:
    at, copy = ("--data-dir", strange.root), strange.root / "sessions" / COPY
    for command in begin:
        migrator(*at, *command.split())
    rehearsed = migrator(*at, "migrate", "--dry-run", "--adopt", copy, "--json").json["totals"]
    report = migrator(*at, "migrate", "--adopt", copy, "--json")
    assert report.code == 3  # for the session that differs
    assert report.json["totals"] == rehearsed
    [workspace] = report.json["workspaces"]
    assert (workspace["sessions"], workspace["quarantined"]) == (3, 1)
    assert ids(strange, ENGINE) == ["a", "b", "c"]
    assert [conflict["id"] for conflict in strange.conflicts()] == ["b"]
    assert reported(strange, migrator) == []
    if begin == ["backend hybrid"]:
        assert in_file(strange.file_of(ENGINE)) == ["a", "b", "c"]
    [entry] = strange.query(
        "SELECT status, session_count, backup FROM migration_ledger WHERE source LIKE '%conflicted%'"
    )
    assert entry[:2] == ("merged", 1)
    assert (strange.root / entry[2]).read_bytes() == copy.read_bytes()
    verified = migrator(*at, "verify", "--json")
    assert (verified.code, verified.json["sessions"]) == (0, 3)

    assert migrator(*at, "migrate", "--adopt", copy, "--json").code == 0  # all of it is there
    assert ids(strange, ENGINE) == ["a", "b", "c"]
    assert len(strange.conflicts()) == 1

    before = copy.read_bytes()
    assert migrator(*at, "rollback").code == 3  # for the conflict
    assert in_file(strange.file_of(ENGINE)) == ["a", "b", "c"]
    assert copy.read_bytes() == before
    assert reported(strange, migrator) == []
    migrator(*at, "migrate")
    assert ids(strange, ENGINE) == ["a", "b", "c"]
    assert reported(strange, migrator) == []
    copy.write_bytes(app_json([chat("a"), chat("d")]))
    assert len(reported(strange, migrator)) == 1


def test_its_workspace_is_found_by_its_worktrees_or_given(scene: Scene, migrator: Migrator) -> None:
    at = ("--data-dir", scene.root)
    shown = put(scene, "backup of loom.json", [chat("l", workspace=LOOM), unknown("m")])
    several = put(scene, "both.json", [chat("e"), chat("n", workspace=LOOM)])
    nowhere = put(scene, "unknown.json", [unknown("x")])
    refused = migrator(*at, "migrate", "--adopt", nowhere, "--json")
    assert (refused.code, refused.codes) == (2, ["option.adopt_workspace_unknown"])
    assert not scene.database.exists()
    for file in (shown, several):
        assert migrator(*at, "migrate", "--adopt", file).code in (0, 3)  # the others are still reported
    assert migrator(*at, "migrate", "--adopt", nowhere, "--workspace", ENGINE).code == 0
    assert (ids(scene, LOOM), ids(scene, ENGINE)) == (["l", "m", "n"], ["e", "x"])
    assert migrator(*at, "rollback").code == 0
    assert in_file(scene.file_of(LOOM)) == ["l", "m", "n"]


def test_what_cannot_be_adopted_is_refused_before_anything_is_done(strange: Scene, migrator: Migrator) -> None:
    at = ("--data-dir", strange.root)
    for file, code in (
        (strange.file_of(ENGINE), "option.adopt_own_file"),
        (strange.root / "nothing.json", "option.adopt_unreadable"),
        (strange.root / "sessions", "option.adopt_unreadable"),
    ):
        refused = migrator(*at, "migrate", "--adopt", file, "--json")
        assert (refused.code, refused.codes) == (2, [code])
    assert not strange.database.exists()


def test_invalid_elements_of_an_adopted_file_are_quarantined_once_and_go_back_next_to_the_file(
    strange: Scene, migrator: Migrator, tmp_path: Path
) -> None:
    at, elsewhere = ("--data-dir", strange.root), tmp_path / COPY
    elsewhere.write_bytes(json.dumps([{"id": "broken"}, chat("c")]).encode())
    for _ in range(2):
        migrator(*at, "migrate", "--adopt", elsewhere)
        [item] = migrator(*at, "quarantine", "list", "--json").json["items"]
        assert item["source"] == os.fspath(elsewhere)
    migrator(*at, "rollback")
    [side] = (strange.root / "sessions").glob("*.quarantined")
    assert json.loads(side.read_bytes()) == [{"id": "broken"}]
    migrator(*at, "migrate")
    items = migrator(*at, "quarantine", "list", "--json").json["items"]
    assert [item["source"] for item in items if item["reason"] == "invalid"] == [os.fspath(elsewhere)]
    assert migrator(*at, "verify").code == 0


def test_many_strangers_are_counted(scene: Scene, migrator: Migrator) -> None:
    scene.write(ENGINE, [chat("a")])
    for number in range(25):
        put(scene, f"copy {number}.json", [])
    texts = reported(scene, migrator)
    assert len(texts) == 21
    assert texts[-1].startswith("5 more")
