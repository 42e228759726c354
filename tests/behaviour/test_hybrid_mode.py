"""Migrations in hybrid mode: what the stores wrote to the files is not a change; what others wrote is."""

import json

import pytest

from migrator import open_storage
from tests.support.command_line import Migrator, Outcome
from tests.support.scene import Document, Scene, app_json, chat, hash_of, parsed
from tests.support.strategies import message, session

ENGINE = "/home/dev/engine"


@pytest.fixture
def hybrid(scene: Scene, migrator: Migrator) -> Scene:
    """Hybrid mode, with the sessions a and b of one workspace."""
    scene.write(ENGINE, [chat("a"), chat("b")])
    migrator("--data-dir", scene.root, "migrate")
    return begin(scene, migrator)


def begin(scene: Scene, migrator: Migrator) -> Scene:
    assert migrator("--data-dir", scene.root, "backend", "hybrid").code == 0
    return scene


def merge(scene: Scene, migrator: Migrator) -> Outcome:
    return migrator("--data-dir", scene.root, "migrate")


def in_file(scene: Scene) -> list[Document]:
    found: list[Document] = parsed(scene.file_of(ENGINE).read_bytes())
    return found


def tasks_in_file(scene: Scene) -> list[str]:
    return [document["task"] for document in in_file(scene)]


def set_task(scene: Scene, session_id: str, task: str) -> None:
    """Change a session in the file, as an old build does."""
    scene.write(ENGINE, [one | {"task": task} if one["id"] == session_id else one for one in in_file(scene)])


def test_what_is_in_quarantine_stays_there_when_hybrid_mode_ends(scene: Scene, migrator: Migrator) -> None:
    scene.write(ENGINE, [chat("a") | {"status": 5}, chat("a")])
    migrator("--data-dir", scene.root, "migrate")
    begin(scene, migrator)
    assert migrator("--data-dir", scene.root, "backend", "sqlite").code == 0
    assert scene.query("SELECT reason FROM quarantine") == [("invalid",)]


def test_what_is_in_quarantine_stays_there_when_a_session_of_its_id_is_made_in_hybrid_mode(
    scene: Scene, migrator: Migrator
) -> None:
    scene.write(ENGINE, [chat("a") | {"status": 5}])
    migrator("--data-dir", scene.root, "migrate")
    begin(scene, migrator)
    with open_storage(scene.root) as both:
        both.create_session(ENGINE, session(id="a", task="another"))
    assert migrator("--data-dir", scene.root, "backend", "sqlite").code == 0
    assert scene.query("SELECT reason FROM quarantine") == [("invalid",)]
    assert scene.tasks(ENGINE) == ["another"]


def in_conflict(scene: Scene, migrator: Migrator) -> None:
    scene.write(ENGINE, [chat("a")])
    migrator("--data-dir", scene.root, "migrate")
    scene.change("UPDATE sessions SET task = 'in SQLite'")
    scene.write(ENGINE, [chat("a", task="in the file")])
    assert merge(scene, migrator).code == 3


def test_the_version_chosen_in_hybrid_mode_stays(scene: Scene, migrator: Migrator) -> None:
    in_conflict(scene, migrator)
    begin(scene, migrator)
    assert tasks_in_file(scene) == ["in SQLite"]
    assert migrator("--data-dir", scene.root, "quarantine", "retry", "1", "--take", "theirs").code == 0
    merge(scene, migrator)
    assert scene.tasks(ENGINE) == tasks_in_file(scene) == ["in the file"]
    [kept] = scene.root.glob("backups/*-quarantine-1/ours.json")
    assert json.loads(kept.read_bytes())["task"] == "in SQLite"


def test_what_an_old_build_wrote_in_hybrid_mode_survives_a_retry(scene: Scene, migrator: Migrator) -> None:
    in_conflict(scene, migrator)
    begin(scene, migrator)
    scene.write(ENGINE, [*in_file(scene), chat("new", task="by an old build")])
    assert migrator("--data-dir", scene.root, "quarantine", "retry", "1", "--take", "theirs").code == 0
    assert scene.tasks(ENGINE) == tasks_in_file(scene) == ["in the file", "by an old build"]
    assert [path.name for path in scene.root.glob("sessions/*")] == [scene.file_of(ENGINE).name]


def test_a_repair_does_not_overwrite_what_an_old_build_wrote(hybrid: Scene, migrator: Migrator) -> None:
    whole = hybrid.file_of(ENGINE).read_bytes()
    hybrid.write_bytes(ENGINE, whole[:-40])  # an old build is writing
    with open_storage(hybrid.root) as both:
        both.create_session(ENGINE, session(id="ours", task="by the store"))
    hybrid.write(ENGINE, [chat("a"), chat("b"), chat("theirs", task="by an old build")])
    with open_storage(hybrid.root) as both:
        both.get_all_sessions(ENGINE)
    assert merge(hybrid, migrator).code == 0
    assert sorted(hybrid.tasks(ENGINE)) == ["Weave", "Weave", "by an old build", "by the store"]
    assert tasks_in_file(hybrid) == hybrid.tasks(ENGINE)
    assert migrator("--data-dir", hybrid.root, "backend", "--json").json["trial"]["pending_repairs"] == 0


def test_reading_does_not_overwrite_what_an_old_build_wrote(hybrid: Scene, migrator: Migrator) -> None:
    set_task(hybrid, "a", "by an old build")
    with open_storage(hybrid.root) as both:
        for _ in range(3):  # finds a difference and would repair it
            both.get_all_sessions(ENGINE)
    merge(hybrid, migrator)
    assert hybrid.tasks(ENGINE) == ["by an old build", "Weave"]


def test_writing_does_not_overwrite_what_an_old_build_wrote(hybrid: Scene, migrator: Migrator) -> None:
    set_task(hybrid, "a", "by an old build")
    with open_storage(hybrid.root) as both:
        for number in range(3):
            both.append_chat_message(ENGINE, "b", message(id=f"m-{number}"))
    assert merge(hybrid, migrator).code == 0
    assert hybrid.tasks(ENGINE) == tasks_in_file(hybrid) == ["by an old build", "Weave"]
    assert len(in_file(hybrid)[1]["chatHistory"]) == 4


def test_a_version_that_only_the_store_wrote_to_the_file_is_not_a_change(hybrid: Scene, migrator: Migrator) -> None:
    with open_storage(hybrid.root) as both:
        both.update_session(ENGINE, session(id="a", task="by the store"))
    hybrid.change("UPDATE sessions SET task = 'by SQL' WHERE id = 'a'")
    assert merge(hybrid, migrator).code == 0
    assert hybrid.tasks(ENGINE) == ["by SQL", "Weave"]


def test_a_change_by_an_old_build_in_hybrid_mode_is_compared_with_the_version_it_started_from(
    scene: Scene, migrator: Migrator
) -> None:
    scene.write(ENGINE, [chat("a"), chat("b")])
    migrator("--data-dir", scene.root, "migrate")
    with open_storage(scene.root) as store:
        store.update_session(ENGINE, session(id="a", task="by the store"))
        store.create_session(ENGINE, session(id="created"))
    begin(scene, migrator)
    assert [one["id"] for one in in_file(scene)] == ["a", "b", "created"]
    scene.write(ENGINE, [in_file(scene)[0] | {"task": "by an old build"}])
    assert merge(scene, migrator).code == 0
    assert scene.tasks(ENGINE) == ["by an old build"]


def test_a_file_damaged_in_hybrid_mode_is_salvaged_and_then_rewritten(hybrid: Scene, migrator: Migrator) -> None:
    content = app_json([chat("new"), chat("a"), chat("b")])
    hybrid.write_bytes(ENGINE, content[:-40])
    assert migrator("--data-dir", hybrid.root, "migrate", "--salvage").code == 3
    with open_storage(hybrid.root) as both:
        both.append_chat_message(ENGINE, "a", message())
    merge(hybrid, migrator)
    assert [one["id"] for one in in_file(hybrid)] == ["a", "b", "new"]
    assert hybrid.query("SELECT reason FROM quarantine") == [("torn",)]


def test_hybrid_mode_does_not_write_older_files(scene: Scene, migrator: Migrator) -> None:
    shared = scene.root / "sessions.json"
    shared.write_bytes(app_json([chat("a"), chat("b") | {"status": 5}]))
    migrator("--data-dir", scene.root, "migrate")
    before = shared.read_bytes()
    begin(scene, migrator)
    assert shared.read_bytes() == before
    assert [one["id"] for one in in_file(scene)] == ["a"]
    assert migrator("--data-dir", scene.root, "backend", "json").code == 0
    assert shared.read_bytes() == before


def test_sessions_of_the_shared_file_are_not_new_when_an_old_build_changes_the_workspaces_file_in_hybrid_mode(
    scene: Scene, migrator: Migrator
) -> None:
    (scene.root / "sessions.json").write_bytes(app_json([chat("shared")]))
    scene.write(ENGINE, [chat("own")])
    migrator("--data-dir", scene.root, "migrate")
    begin(scene, migrator)
    with open_storage(scene.root) as both:
        both.update_session(ENGINE, session(id="shared", task="by the store"))
    set_task(scene, "own", "by an old build")
    scene.write(ENGINE, [*in_file(scene), chat("new")])
    assert merge(scene, migrator).code == 0
    assert sorted((one["id"], one["task"]) for one in scene.documents(hash_of(ENGINE))) == [
        ("new", "Weave"),
        ("own", "by an old build"),
        ("shared", "by the store"),
    ]
    assert scene.conflicts() == []
