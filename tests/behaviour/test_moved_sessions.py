"""The app's own SQL moves sessions to other workspaces: going back writes each session where it is now."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.command_line import Migrator
from tests.support.scene import Document, Scene, app_json, chat, hash_of, parsed

ENGINE = "/home/dev/engine"
LOOM = "/home/bob/loom"
RENAMED = "/home/dev/engine-2"
MOVE = "UPDATE sessions SET workspace_id = (SELECT id FROM workspaces WHERE workspace_hash = ?) WHERE id = ?"
RENAME = "UPDATE workspaces SET workspace_path = ?, workspace_hash = ? WHERE workspace_hash = ?"


def ids(scene: Scene, workspace: str) -> list[str]:
    path = scene.file_of(workspace)
    return [document["id"] for document in parsed(path.read_bytes())] if path.exists() else []


@pytest.fixture
def pair(scene: Scene, migrator: Migrator) -> Scene:
    scene.write(ENGINE, [chat("a"), chat("b"), chat("c")])
    scene.write(LOOM, [chat("x", workspace=LOOM), chat("y", workspace=LOOM), chat("z", workspace=LOOM)])
    assert migrator("--data-dir", scene.root, "migrate").code == 0
    return scene


def nothing(_scene: Scene, _migrator: Migrator) -> None:
    pass


def creates_where_it_was(scene: Scene, _migrator: Migrator) -> None:
    scene.change(
        "INSERT INTO sessions (id, workspace_id, type, task, status, created_at, updated_at) "
        "SELECT 'new', id, 'debate', 't', 'running', 'c', 'u' FROM workspaces WHERE workspace_hash = ?",
        hash_of(ENGINE),
    )


def changes_both_files(scene: Scene, _migrator: Migrator) -> None:
    scene.write(ENGINE, [chat("a", task="changed"), chat("b"), chat("c"), chat("d")])
    scene.write(LOOM, [chat("x", task="changed"), chat("y", workspace=LOOM), chat("z", workspace=LOOM)])


def hybrid(scene: Scene, migrator: Migrator) -> None:
    assert migrator("--data-dir", scene.root, "backend", "hybrid").code == 0
    assert (ids(scene, ENGINE), ids(scene, LOOM)) == (["a", "c"], ["x", "y", "z", "b"])


@pytest.mark.parametrize("meanwhile", [nothing, creates_where_it_was, changes_both_files, hybrid])
def test_a_session_is_written_to_the_workspace_that_it_was_moved_to(
    meanwhile: Callable[[Scene, Migrator], None], pair: Scene, migrator: Migrator
) -> None:
    pair.change(MOVE, hash_of(LOOM), "b")
    meanwhile(pair, migrator)
    assert migrator("--data-dir", pair.root, "rollback").code == 0
    more = {"creates_where_it_was": ["new"], "changes_both_files": ["d"]}.get(meanwhile.__name__, [])
    assert ids(pair, ENGINE) == ["a", "c", *more]
    assert ids(pair, LOOM) == ["x", "y", "z", "b"]
    assert migrator("--data-dir", pair.root, "migrate").code == 0
    assert [document["id"] for document in pair.documents(hash_of(LOOM))] == ["x", "y", "z", "b"]
    assert migrator("--data-dir", pair.root, "verify").code == 0


def test_a_moved_session_that_changes_in_its_old_file_stays_where_it_is_and_the_change_is_kept(
    pair: Scene, migrator: Migrator
) -> None:
    pair.change(MOVE, hash_of(LOOM), "b")
    pair.write(ENGINE, [chat("a"), chat("b", task="changed in the file"), chat("c")])
    assert migrator("--data-dir", pair.root, "migrate").code == 3
    assert [document["task"] for document in pair.conflicts()] == ["changed in the file"]
    assert [document["id"] for document in pair.documents(hash_of(LOOM))] == ["x", "y", "z", "b"]


def test_a_moved_session_that_is_deleted_from_its_old_file_stays(pair: Scene, migrator: Migrator) -> None:
    pair.change(MOVE, hash_of(LOOM), "b")
    pair.write(ENGINE, [chat("a"), chat("c")])
    assert migrator("--data-dir", pair.root, "migrate").code == 0
    assert migrator("--data-dir", pair.root, "rollback").code == 0
    assert (ids(pair, ENGINE), ids(pair, LOOM)) == (["a", "c"], ["x", "y", "z", "b"])


def test_a_session_that_was_moved_there_and_back_is_in_its_file_once(pair: Scene, migrator: Migrator) -> None:
    for target in (LOOM, ENGINE):
        pair.change(MOVE, hash_of(target), "b")
        pair.write(LOOM, [chat("x", task=f"for {target}"), chat("y", workspace=LOOM), chat("z", workspace=LOOM)])
        assert migrator("--data-dir", pair.root, "migrate").code == 0
    assert migrator("--data-dir", pair.root, "rollback").code == 0
    assert sorted(ids(pair, ENGINE)) == ["a", "b", "c"]
    assert ids(pair, LOOM) == ["x", "y", "z"]


@pytest.mark.parametrize("in_hybrid", [False, True])
def test_the_sessions_of_a_workspace_that_was_renamed_are_in_the_file_of_its_new_path(
    in_hybrid: bool, pair: Scene, migrator: Migrator
) -> None:
    pair.change(RENAME, RENAMED, hash_of(RENAMED), hash_of(ENGINE))
    if in_hybrid:
        assert migrator("--data-dir", pair.root, "backend", "hybrid").code == 0
    assert migrator("--data-dir", pair.root, "rollback").code == 0
    assert (ids(pair, ENGINE), ids(pair, RENAMED)) == ([], ["a", "b", "c"])
    assert ids(pair, LOOM) == ["x", "y", "z"]
    assert migrator("--data-dir", pair.root, "migrate").code == 0
    assert pair.tasks(RENAMED) == [document["task"] for document in parsed(pair.file_of(RENAMED).read_bytes())]


def shared(scene: Scene, _folder: Path) -> tuple[Path, list[Document]]:
    documents = [chat("a"), chat("b"), chat("l", workspace=LOOM), chat("nowhere") | {"instances": []}]
    path = scene.root / "sessions.json"
    path.write_bytes(app_json(documents))
    return path, documents


def older(scene: Scene, folder: Path) -> tuple[Path, list[Document]]:
    documents = [chat("a", workspace=str(folder)), chat("b", workspace=str(folder))]
    path = folder / ".ait42" / "sessions.json"
    path.parent.mkdir()
    path.write_bytes(app_json(documents))
    link = folder.with_name("link")
    link.symlink_to(folder)  # a link to the folder has another hash, and the same older file
    scene.write(link, [chat("in the file of the link", workspace=str(link))])
    return path, documents


@pytest.mark.parametrize("kind", [shared, older])
def test_a_session_of_a_file_with_no_or_another_name_goes_to_the_file_of_its_workspace(
    kind: Callable[[Scene, Path], tuple[Path, list[Document]]], scene: Scene, migrator: Migrator, tmp_path: Path
) -> None:
    folder = Path(os.path.realpath(tmp_path)) / "workspace"
    folder.mkdir()
    path, documents = kind(scene, folder)
    scene.write(LOOM, [chat("x", workspace=LOOM)])
    content = path.read_bytes()
    assert migrator("--data-dir", scene.root, "migrate", "--workspace", folder).code == 0
    assert migrator("--data-dir", scene.root, "rollback").code == 0
    assert path.read_bytes() == content  # where nothing was moved
    assert migrator("--data-dir", scene.root, "migrate").code == 0
    scene.change(MOVE, hash_of(LOOM), "b")
    assert migrator("--data-dir", scene.root, "rollback").code == 0
    assert [document["id"] for document in parsed(path.read_bytes())] == [
        document["id"] for document in documents if document["id"] != "b"
    ]
    assert ids(scene, LOOM) == ["x", "b"]


def test_verify_calls_a_moved_session_a_change_at_once(pair: Scene, migrator: Migrator) -> None:
    pair.change(MOVE, hash_of(LOOM), "b")
    report = migrator("--data-dir", pair.root, "verify", "--json")
    assert report.code == 0
    differences = {
        source["source"]: source["differences"] for source in report.json["sources"] if source["differences"]
    }
    assert list(differences) == [f"sessions/{hash_of(ENGINE)}.json"]
    assert [(what, found) for what, found in differences.popitem()[1].items() if found] == [("moved", ["b"])]
