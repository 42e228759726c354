"""Migrating after a rollback: what SQLite has of files that are truncated, blank, missing or incomplete is kept."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.command_line import Migrator, Outcome
from tests.support.scene import Document, Scene, app_json, chat, hash_of

HOME, OTHER = "/home/dev/engine", "/home/dev/other"
DAMAGE: dict[str, Callable[[Path], object]] = {
    "truncated": lambda file: file.write_bytes(file.read_bytes()[:150]),
    "blank": lambda file: file.write_bytes(b""),
    "missing": Path.unlink,
}


def work(session_id: str, task: str = "version 1", workspace: str = HOME) -> Document:
    return chat(session_id, task=task, workspace=workspace)


def run(scene: Scene, migrator: Migrator, *arguments: str) -> Outcome:
    return migrator("--data-dir", scene.root, *arguments)


def stored(scene: Scene, workspace: str = HOME) -> dict[str, str]:
    return {document["id"]: document["task"] for document in scene.documents(hash_of(workspace))}


@pytest.fixture
def rolled_back(scene: Scene, migrator: Migrator) -> Scene:
    """The sessions a, b and c, of which b was changed in SQLite, rolled back; and another workspace."""
    scene.write(HOME, [work(name) for name in "abc"])
    scene.write(OTHER, [work("o", workspace=OTHER)])
    assert run(scene, migrator, "migrate").code == 0
    scene.change("UPDATE sessions SET task = 'version 2' WHERE id = 'b'")
    assert run(scene, migrator, "rollback").code == 0
    return scene


ALL = {"a": "version 1", "b": "version 2", "c": "version 1"}


@pytest.mark.parametrize("how", DAMAGE)
def test_what_sqlite_has_of_a_damaged_file_is_kept(how: str, rolled_back: Scene, migrator: Migrator) -> None:
    whole = rolled_back.file_of(HOME).read_bytes()
    DAMAGE[how](rolled_back.file_of(HOME))
    outcome = run(rolled_back, migrator, "migrate", "--json")
    assert outcome.code == 3
    assert "source." in " ".join(outcome.codes)
    assert any("3 sessions" in problem["message"] for problem in outcome.json["problems"])
    assert stored(rolled_back) == ALL
    assert list(stored(rolled_back, OTHER)) == ["o"]
    # The base is what the rollback wrote: when the file comes back with a change, there is no conflict.
    changed = json.loads(whole)
    changed[1]["task"] = "version 3"
    rolled_back.write(HOME, changed)
    assert run(rolled_back, migrator, "migrate").code == 0
    assert stored(rolled_back) == {**ALL, "b": "version 3"}
    assert rolled_back.conflicts() == []


def test_a_salvaged_file_drops_nothing_of_what_it_does_not_show(rolled_back: Scene, migrator: Migrator) -> None:
    whole = json.loads(rolled_back.file_of(HOME).read_bytes())
    whole[0]["task"] = "version 9"
    content = app_json(whole)
    rolled_back.write_bytes(HOME, content[: len(content) * 2 // 3])
    assert run(rolled_back, migrator, "migrate", "--salvage").code == 3
    assert stored(rolled_back) == {**ALL, "a": "version 9"}


def test_a_session_whose_element_is_invalid_now_is_kept(rolled_back: Scene, migrator: Migrator) -> None:
    whole = json.loads(rolled_back.file_of(HOME).read_bytes())
    whole[1]["status"] = 5
    rolled_back.write(HOME, whole)
    assert run(rolled_back, migrator, "migrate").code == 3
    assert stored(rolled_back) == ALL
    assert rolled_back.query("SELECT reason FROM quarantine") == [("invalid",)]


def test_deletions_in_a_file_after_a_rollback_are_guarded_as_before(rolled_back: Scene, migrator: Migrator) -> None:
    rolled_back.write(HOME, [work("a"), work("b", "version 2")])
    outcome = run(rolled_back, migrator, "migrate", "--json")
    assert outcome.code == 0
    assert [(one["session_id"], one["held"]) for one in outcome.json["deletions"]] == [("c", False)]
    assert rolled_back.query("SELECT reason FROM quarantine") == [("deleted",)]
    run(rolled_back, migrator, "rollback")
    rolled_back.write(HOME, [work("n")])  # begun anew
    assert run(rolled_back, migrator, "migrate").code == 3
    assert set(stored(rolled_back)) == set("abn")


@pytest.mark.parametrize("command", [["migrate"], ["backend", "sqlite"], ["backend", "hybrid"]])
def test_without_any_file_sqlite_comes_back(command: list[str], rolled_back: Scene, migrator: Migrator) -> None:
    for workspace in (HOME, OTHER):
        rolled_back.file_of(workspace).unlink()
    assert run(rolled_back, migrator, *command).code == 3
    assert stored(rolled_back) == ALL
    assert run(rolled_back, migrator, "rollback").code == 0
    tasks = {one["id"]: one["task"] for one in json.loads(rolled_back.file_of(HOME).read_bytes())}
    assert tasks == ALL


@pytest.mark.parametrize("how", DAMAGE)
def test_sessions_that_only_sqlite_had_are_kept_too(how: str, scene: Scene, migrator: Migrator) -> None:
    scene.write(OTHER, [work("o", workspace=OTHER)])
    run(scene, migrator, "migrate")
    import migrator as library

    with library.open_storage(scene.root) as store:
        store.create_session(HOME, work("a"))  # type: ignore[arg-type]
    run(scene, migrator, "rollback")
    DAMAGE[how](scene.file_of(HOME))
    assert run(scene, migrator, "migrate").code == 3
    assert stored(scene) == {"a": "version 1"}
    assert run(scene, migrator, "rollback").code in (0, 3)
    assert [one["id"] for one in json.loads(scene.file_of(HOME).read_bytes())] == ["a"]


@pytest.mark.parametrize("how", DAMAGE)
def test_writes_to_sqlite_after_the_rollback_are_kept_too(how: str, rolled_back: Scene, migrator: Migrator) -> None:
    rolled_back.change("UPDATE sessions SET task = 'late' WHERE id = 'a'")
    DAMAGE[how](rolled_back.file_of(HOME))
    assert run(rolled_back, migrator, "migrate").code == 3
    assert stored(rolled_back) == {**ALL, "a": "late"}


def test_the_shared_and_older_files_are_kept_too(scene: Scene, migrator: Migrator, tmp_path: Path) -> None:
    workspace = tmp_path / "w"
    older = workspace / ".ait42" / "sessions.json"
    older.parent.mkdir(parents=True)
    older.write_bytes(app_json([work("older", workspace=str(workspace))]))
    shared = scene.root / "sessions.json"
    shared.write_bytes(app_json([work("shared", workspace=OTHER)]))
    scene.write(HOME, [work("a")])
    run(scene, migrator, "migrate", "--workspace", str(workspace))
    run(scene, migrator, "rollback")
    older.unlink()
    shared.unlink()
    assert run(scene, migrator, "migrate").code == 3
    assert list(stored(scene, str(workspace))) == ["older"]
    assert list(stored(scene, OTHER)) == ["shared"]


def test_a_dry_run_names_no_copy_of_the_database_for_it_is_gone(rolled_back: Scene, migrator: Migrator) -> None:
    named = "-database-rolled-back"
    assert named not in run(rolled_back, migrator, "migrate", "--dry-run").err
    assert named in run(rolled_back, migrator, "migrate").err
