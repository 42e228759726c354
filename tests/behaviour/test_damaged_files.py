"""What is broken on users' disks fails, or is quarantined, alone: its neighbours migrate, and it is named."""

import os
import re
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.support.command_line import Migrator
from tests.support.scene import EXPECTED, FIXTURES, Document, Scene, chat, digests, hash_of, parsed, serialized

DAMAGED = EXPECTED["damaged"]
NEIGHBOUR = "/home/dev/engine"


@pytest.fixture
def neighbour(scene: Scene) -> Path:
    """A valid workspace next to the damaged one."""
    return scene.write(NEIGHBOUR, [chat("s-good")])


def put(scene: Scene, damage: Document) -> Path:
    target = scene.root / "sessions" / f"{DAMAGED['hash']}.json"
    shutil.copy(FIXTURES / damage["file"], target)
    return target


@pytest.mark.parametrize("damage", DAMAGED["files"], ids=lambda d: Path(d["file"]).stem)
def test_a_damaged_file_has_the_promised_outcome_and_its_neighbour_migrates(
    damage: Document, scene: Scene, neighbour: Path, migrator: Migrator
) -> None:
    target = put(scene, damage)
    before = digests([target, neighbour])
    outcome = migrator("--data-dir", scene.root, "migrate", "--json")
    report = outcome.json
    found = next(workspace for workspace in report["workspaces"] if workspace["hash"] == DAMAGED["hash"])

    assert outcome.code == (0 if damage["outcome"] == "migrates" else 3)
    assert (found["status"] == "failed") == (damage["outcome"] == "fails")
    assert (found["sessions"], found["quarantined"]) == (damage["valid"], damage["quarantined"])
    assert scene.tasks(NEIGHBOUR) == ["Weave"]
    assert digests([target, neighbour]) == before


@pytest.mark.parametrize("damage", [d for d in DAMAGED["files"] if d["message"]], ids=lambda d: Path(d["file"]).stem)
def test_the_message_names_the_file_the_session_and_what_is_wrong(
    damage: Document, scene: Scene, neighbour: Path, migrator: Migrator
) -> None:
    target = put(scene, damage)
    outcome = migrator("--data-dir", scene.root, "migrate", "--json")
    message = next(error for error in outcome.json["errors"] if DAMAGED["hash"] in error)
    assert re.search(damage["message"], message), message
    if damage["outcome"] == "fails":
        assert str(target) in message
        assert "'migrator migrate" in message  # what to do about it
    else:
        assert "session at index 1" in message
        problems = [problem for problem in outcome.json["problems"] if problem["message"] == message]
        assert [problem["code"] for problem in problems] == ["session.quarantined"]


@pytest.mark.parametrize(
    "damage", [d for d in DAMAGED["files"] if d["message"]][::6], ids=lambda d: Path(d["file"]).stem
)
def test_the_same_message_is_for_people_too(
    damage: Document, scene: Scene, neighbour: Path, migrator: Migrator
) -> None:
    put(scene, damage)
    outcome = migrator("--data-dir", scene.root, "migrate", "--progress", "none")
    assert re.search(damage["message"], outcome.out), outcome.out
    assert outcome.err == ""


@pytest.mark.parametrize(
    "damage", [d for d in DAMAGED["files"] if d["outcome"] == "quarantines"], ids=lambda d: Path(d["file"]).stem
)
def test_the_quarantined_session_is_kept_byte_for_byte_at_its_place(
    damage: Document, scene: Scene, neighbour: Path, migrator: Migrator
) -> None:
    content = put(scene, damage).read_bytes()
    migrator("--data-dir", scene.root, "migrate", "--json")
    [(position, raw)] = scene.query("SELECT position, raw FROM quarantine")
    raw = raw.encode() if isinstance(raw, str) else raw
    assert position == 1
    assert content.count(raw) == 1
    positions = scene.query(
        "SELECT position FROM sessions s JOIN workspaces w ON w.id = s.workspace_id WHERE workspace_hash = ?",
        DAMAGED["hash"],
    )
    assert sorted(positions) == [(0,), (2,)]


@pytest.mark.parametrize(
    "damage",
    [d for d in DAMAGED["files"] if d["outcome"] == "migrates" and d["valid"]],
    ids=lambda d: Path(d["file"]).stem,
)
def test_an_odd_but_valid_file_reads_back_whole(
    damage: Document, scene: Scene, neighbour: Path, migrator: Migrator
) -> None:
    target = put(scene, damage)
    migrator("--data-dir", scene.root, "migrate", "--json")
    stored = scene.documents(DAMAGED["hash"])
    assert [serialized(document) for document in stored] == [serialized(d) for d in parsed(target.read_bytes())]


def test_the_valid_neighbours_within_a_file_are_what_the_file_says(
    scene: Scene, neighbour: Path, migrator: Migrator
) -> None:
    documents = [chat(f"s-{number}", workspace="/w") for number in range(5)]
    bad: list[Any] = list(documents)
    bad[1] = bad[1] | {"chatHistory": 7}
    bad[3] = "no session at all"
    scene.write("/w", bad)
    assert migrator("--data-dir", scene.root, "migrate").code == 3
    stored = scene.documents(hash_of("/w"))
    assert [serialized(document) for document in stored] == [serialized(documents[number]) for number in (0, 2, 4)]


def directory(path: Path) -> None:
    path.mkdir()


def dangling_link(path: Path) -> None:
    path.symlink_to(path.with_name("nowhere"))


def link_to_itself(path: Path) -> None:
    path.symlink_to(path)


def pipe(path: Path) -> None:
    os.mkfifo(path)


def link_to_a_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


NO_FILES: list[tuple[Callable[[Path], None], str]] = [
    (directory, "source.not_a_file"),
    (dangling_link, "source.broken_link"),
    (link_to_itself, "source.unreadable"),
    (pipe, "source.not_a_file"),
    (link_to_a_device, "source.not_a_file"),
]


@pytest.mark.parametrize(("make", "code"), NO_FILES, ids=lambda value: getattr(value, "__name__", ""))
@pytest.mark.timeout(20)  # opening a pipe would wait for a writer for ever
def test_what_is_not_a_file_fails_alone_and_is_reported(
    make: Callable[[Path], None], code: str, scene: Scene, neighbour: Path, migrator: Migrator
) -> None:
    path = scene.file_of("/w")
    make(path)
    outcome = migrator("--data-dir", scene.root, "migrate", "--json")
    [problem] = outcome.json["problems"]
    assert outcome.code == 3
    assert problem["code"] == code
    assert str(path) in problem["message"]
    assert scene.tasks(NEIGHBOUR) == ["Weave"]


@pytest.mark.parametrize("make", [make for make, _ in NO_FILES], ids=lambda make: make.__name__)
@pytest.mark.timeout(20)
def test_what_is_not_a_file_in_place_of_the_shared_one_fails_alone(
    make: Callable[[Path], None], scene: Scene, neighbour: Path, migrator: Migrator
) -> None:
    make(scene.root / "sessions.json")
    outcome = migrator("--data-dir", scene.root, "migrate", "--json")
    assert outcome.code == 3
    assert str(scene.root / "sessions.json") in outcome.json["errors"][0]
    assert scene.tasks(NEIGHBOUR) == ["Weave"]


@pytest.mark.timeout(20)
@pytest.mark.parametrize("make", [make for make, _ in NO_FILES], ids=lambda make: make.__name__)
def test_what_is_not_a_file_in_place_of_the_mapping_is_ignored(
    make: Callable[[Path], None], scene: Scene, neighbour: Path, migrator: Migrator
) -> None:
    make(scene.root / "workspace_mapping.json")
    outcome = migrator("--data-dir", scene.root, "migrate", "--json")
    assert outcome.code == 0
    assert scene.tasks(NEIGHBOUR) == ["Weave"]


@pytest.mark.parametrize(
    "name",
    [
        "backup.json",
        "0123456789ABCDEF.json",
        "0123456789abcde.json",
        "0123456789abcdef0.json",
        "\x1b[31m.json",
        "é.json",
    ],
)
def test_a_file_name_that_is_not_a_hash_fails_alone_and_is_reported(
    name: str, scene: Scene, neighbour: Path, migrator: Migrator
) -> None:
    (scene.root / "sessions" / name).write_bytes(neighbour.read_bytes())
    outcome = migrator("--data-dir", scene.root, "migrate", "--json")
    [problem] = outcome.json["problems"]
    assert outcome.code == 3
    assert problem["code"] == "source.invalid_name"
    assert name in problem["message"]
    assert scene.query("SELECT count(*) FROM sessions") == [(1,)]


def test_a_name_that_is_not_even_text_fails_alone(scene: Scene, neighbour: Path, migrator: Migrator) -> None:
    path = os.fsencode(scene.root / "sessions") + b"/caf\xe9.json"
    try:
        with open(path, "wb") as file:
            file.write(neighbour.read_bytes())
    except OSError:
        pytest.skip("this file system takes only text for names")
    outcome = migrator("--data-dir", scene.root, "migrate")
    assert outcome.code == 3
    assert "caf\\udce9.json" in outcome.out
    assert scene.query("SELECT count(*) FROM sessions") == [(1,)]


def test_other_files_in_the_folder_are_ignored(scene: Scene, neighbour: Path, migrator: Migrator) -> None:
    for name in ("notes.txt", "0123456789abcdef.json.bak", ".0123456789abcdef.json", "0123456789abcdef.json~"):
        (neighbour.parent / name).write_text("not a session")
    outcome = migrator("--data-dir", scene.root, "migrate", "--json")
    assert outcome.code == 0
    assert len(outcome.json["workspaces"]) == 1


def refuse(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    """Refuse to read the file, as for any user but root."""
    path.chmod(0)
    allowed = os.access
    monkeypatch.setattr(os, "access", lambda p, mode, **options: str(p) != str(path) and allowed(p, mode, **options))


def test_an_unreadable_file_fails_alone_and_is_named(
    scene: Scene, neighbour: Path, migrator: Migrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = scene.write("/w", [chat("s-1", workspace="/w")])
    refuse(monkeypatch, path)
    outcome = migrator("--data-dir", scene.root, "migrate", "--json")
    [problem] = outcome.json["problems"]
    assert outcome.code == 3
    assert problem["code"] == "source.permission_denied"
    assert str(path) in problem["message"]
    assert scene.tasks(NEIGHBOUR) == ["Weave"]


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_its_read_permission_fails_alone(scene: Scene, neighbour: Path, migrator: Migrator) -> None:
    path = scene.write("/w", [chat("s-1", workspace="/w")])
    path.chmod(0)
    outcome = migrator("--data-dir", scene.root, "migrate", "--json")
    assert outcome.code == 3
    assert str(path) in outcome.json["errors"][0]


def test_a_file_that_was_unreadable_is_migrated_once_it_can_be_read(
    scene: Scene, neighbour: Path, migrator: Migrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = scene.write("/w", [chat("s-1", workspace="/w")])
    with monkeypatch.context() as patch:
        refuse(patch, path)
        assert migrator("--data-dir", scene.root, "migrate").code == 3
    path.chmod(0o600)
    assert migrator("--data-dir", scene.root, "migrate").code == 0
    assert scene.tasks("/w") == ["Weave"]


def test_a_file_that_goes_bad_while_it_is_read_fails_alone(
    scene: Scene, neighbour: Path, migrator: Migrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = scene.write("/w", [chat("s-1", workspace="/w")])
    really = os.open

    def failing(file: Any, *arguments: Any, **options: Any) -> Any:
        if str(file) == str(path):
            raise OSError(5, "Input/output error")
        return really(file, *arguments, **options)

    monkeypatch.setattr(os, "open", failing)
    outcome = migrator("--data-dir", scene.root, "migrate", "--json")
    monkeypatch.undo()
    [error] = outcome.json["errors"]
    assert outcome.code == 3
    assert str(path) in error
    assert "Input/output error" in error
    assert scene.tasks(NEIGHBOUR) == ["Weave"]


def test_a_file_in_place_of_the_folder_stops_the_run_with_a_message(scene: Scene, migrator: Migrator) -> None:
    (scene.root / "sessions").write_text("no folder")
    outcome = migrator("--data-dir", scene.root, "migrate")
    assert outcome.code == 1
    assert f"Cannot list {scene.root / 'sessions'}" in outcome.err
    assert not scene.database.exists()


def test_a_file_in_place_of_the_data_directory_stops_the_run_with_a_message(tmp_path: Path, migrator: Migrator) -> None:
    path = tmp_path / "file"
    path.write_text("no folder")
    outcome = migrator("--data-dir", path, "migrate")
    assert outcome.code == 1
    assert str(path) in outcome.err


def test_texts_that_could_drive_a_terminal_never_reach_it(scene: Scene, migrator: Migrator) -> None:
    workspace = "/home/\x1b]0;owned\x07/\u202eexe"
    document = chat("s-\x1b[2J", workspace=workspace, status="\x1b[31mred")
    document["instances"][0]["status"] = "\x1b[5mblink"
    invalid = document | {"totalDuration": "\x1b[31mred"}
    scene.write(workspace, [document, invalid, chat("s-2", workspace=workspace)])
    outcomes = [
        migrator("--data-dir", scene.root, command, *options)
        for command, *options in (["migrate"], ["migrate"], ["status"], ["verify"], ["migrate", "--json"])
    ]
    assert [outcome.code for outcome in outcomes] == [3, 0, 0, 0, 0]
    shown = "".join(outcome.out + outcome.err for outcome in outcomes)
    assert "\\x1b]0;owned\\x07" in shown
    assert not {"\x1b", "\x07", "\u202e"} & set(shown)


def test_the_database_keeps_such_texts_as_they_are(scene: Scene, migrator: Migrator) -> None:
    document = chat(
        "s-1",
        workspace="/w",
        text="\x1b[31mred\x00\x1b[0m \ud83d\ude80".encode("utf-16", "surrogatepass").decode("utf-16"),
    )
    scene.write("/w", [document])
    assert migrator("--data-dir", scene.root, "migrate").code == 0
    with closing(sqlite3.connect(scene.database)) as connection:
        [(content,)] = connection.execute("SELECT content FROM chat_messages")
    assert content == "\x1b[31mred\x00\x1b[0m 🚀"
