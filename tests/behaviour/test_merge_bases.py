"""The base of a merge: what both sides really had, session by session; and merging when the copies are gone."""

import json
import shutil

import pytest

from tests.support.command_line import Migrator, Outcome
from tests.support.scene import Document, Scene, app_json, chat, hash_of

WORKSPACE = "/home/dev/engine"
HASH = hash_of(WORKSPACE)


def work(session_id: str, task: str = "version 1") -> Document:
    return chat(session_id, task=task)


def run(scene: Scene, migrator: Migrator, *arguments: str) -> Outcome:
    return migrator("--data-dir", scene.root, *arguments)


def migrate(scene: Scene, migrator: Migrator, *arguments: str) -> Outcome:
    return run(scene, migrator, "migrate", "--json", *arguments)


def merge(scene: Scene, migrator: Migrator, documents: list[Document]) -> Outcome:
    scene.write(WORKSPACE, documents)
    return migrate(scene, migrator)


def edit(scene: Scene, session_id: str, task: str = "in SQLite") -> None:
    scene.change("UPDATE sessions SET task = ? WHERE id = ?", task, session_id)


def stored(scene: Scene) -> dict[str, str]:
    return {document["id"]: document["task"] for document in scene.documents(HASH)}


@pytest.fixture
def migrated(scene: Scene, migrator: Migrator) -> Scene:
    """A database with the sessions a, b, c and d of one file, all as version 1."""
    scene.write(WORKSPACE, [work(name) for name in "abcd"])
    assert run(scene, migrator, "migrate").code == 0
    return scene


@pytest.mark.parametrize("times", [1, 2])
def test_a_blank_file_changes_no_base(times: int, migrated: Scene, migrator: Migrator) -> None:
    for number in range(times):
        migrated.write_bytes(WORKSPACE, b"\n" * number)  # an old build truncates the file before it writes
        assert migrate(migrated, migrator).code == 0
    assert merge(migrated, migrator, [work("a"), work("b", "version 2"), work("c"), work("d")]).code == 0
    assert stored(migrated)["b"] == "version 2"
    assert migrated.conflicts() == []


def test_what_was_changed_in_sqlite_stays_changed_after_a_blank_file(migrated: Scene, migrator: Migrator) -> None:
    edit(migrated, "a")
    migrated.write_bytes(WORKSPACE, b"")
    migrate(migrated, migrator)
    assert merge(migrated, migrator, [work("a"), work("b", "version 2"), work("c"), work("d")]).code == 0
    assert stored(migrated) == {"a": "in SQLite", "b": "version 2", "c": "version 1", "d": "version 1"}


def test_a_session_behind_the_tear_of_a_salvaged_file_keeps_its_base(migrated: Scene, migrator: Migrator) -> None:
    changed = app_json([work("a", "version 2"), *(work(name) for name in "bcd")])
    migrated.write_bytes(WORKSPACE, changed[: len(changed) * 3 // 5])
    assert migrate(migrated, migrator, "--salvage").code == 3
    assert stored(migrated)["a"] == "version 2"
    for tear in ("", "version 3"):  # what the torn file shows has a new base, the others keep theirs
        outcome = merge(
            migrated, migrator, [work("a", tear or "version 2"), work("b"), work("c"), work("d", f"d{tear}")]
        )
        assert outcome.code == 0
        assert stored(migrated) == {"a": tear or "version 2", "b": "version 1", "c": "version 1", "d": f"d{tear}"}
    assert migrated.conflicts() == []


def test_a_session_of_an_invalid_element_keeps_its_base(migrated: Scene, migrator: Migrator) -> None:
    merge(migrated, migrator, [work("a"), work("b") | {"status": 5}, work("c"), work("d")])
    assert merge(migrated, migrator, [work("a"), work("b", "version 2"), work("c"), work("d")]).code == 0
    assert stored(migrated)["b"] == "version 2"
    assert migrated.query("SELECT count(*) FROM quarantine") == [(0,)]


def test_what_a_file_proved_to_be_deleted_is_new_when_it_comes_back(migrated: Scene, migrator: Migrator) -> None:
    merge(migrated, migrator, [work("a"), work("b") | {"status": 5}, work("c")])  # b is hidden, d is deleted
    assert "d" not in stored(migrated)
    merge(migrated, migrator, [work("a"), work("b"), work("c"), work("d")])
    assert set(stored(migrated)) == set("abcd")


def test_the_copies_of_a_base_are_not_pruned(migrated: Scene, migrator: Migrator) -> None:
    migrated.write_bytes(WORKSPACE, b"")
    migrate(migrated, migrator)
    run(migrated, migrator, "backups", "prune", "--keep", "1")
    assert merge(migrated, migrator, [work("a"), work("b", "version 2"), work("c"), work("d")]).code == 0
    [(bases,)] = migrated.query("SELECT bases FROM migration_ledger")
    assert bases is None  # this file shows everything


def test_a_stale_write_of_an_old_build_in_hybrid_mode_deletes_nothing(scene: Scene, migrator: Migrator) -> None:
    scene.write(WORKSPACE, [work("a")])
    run(scene, migrator, "backend", "hybrid")
    stale = json.loads(scene.file_of(WORKSPACE).read_bytes())
    import migrator as library

    with library.open_storage(scene.root) as store:
        store.create_session(WORKSPACE, work("b"))  # type: ignore[arg-type]
    scene.write(WORKSPACE, [*stale, work("c")])
    assert migrate(scene, migrator).code == 0
    assert set(stored(scene)) == set("abc")


# The copies are gone.


def damage_copies(scene: Scene, how: str) -> None:
    if how == "all removed":
        shutil.rmtree(scene.root / "backups")
        return
    [copy] = (scene.root / "backups").glob("*/sessions/*.json")
    if how == "missing":
        copy.unlink()
    else:
        copy.write_bytes(copy.read_bytes().replace(b"version", b"Version"))


@pytest.mark.parametrize("how", ["all removed", "missing", "damaged"])
def test_without_its_base_a_file_is_merged_and_nothing_is_deleted(
    how: str, migrated: Scene, migrator: Migrator
) -> None:
    damage_copies(migrated, how)
    edit(migrated, "a")
    migrated.write("/home/dev/other", [chat("other", workspace="/home/dev/other")])
    outcome = merge(migrated, migrator, [work("a"), work("b"), work("c", "in the file"), work("e")])
    assert outcome.code == 3
    assert f"backup.file_{how.removeprefix('all ').replace('removed', 'missing')}" in outcome.codes
    assert stored(migrated) == {
        "a": "in SQLite", "b": "version 1", "c": "version 1", "d": "version 1", "e": "version 1",
    }  # fmt: skip
    assert sorted((one["id"], one["task"]) for one in migrated.conflicts()) == [
        ("a", "version 1"),
        ("c", "in the file"),
    ]
    assert [document["id"] for document in migrated.documents(hash_of("/home/dev/other"))] == ["other"]
    # From now on there is a base again.
    assert merge(migrated, migrator, [work("a"), work("b", "version 2"), work("c", "in the file"), work("e")]).code == 0
    assert stored(migrated)["b"] == "version 2"


@pytest.mark.parametrize("command", [("rollback",), ("backend", "json"), ("backend", "hybrid")])
def test_a_lost_base_stops_no_command(command: tuple[str, ...], migrated: Scene, migrator: Migrator) -> None:
    damage_copies(migrated, "all removed")
    migrated.write(WORKSPACE, [work("a"), work("e")])
    outcome = run(migrated, migrator, *command, "--json")
    assert outcome.code == 3
    written = {session["id"] for session in json.loads(migrated.file_of(WORKSPACE).read_bytes())}
    assert written == set("abcde")


def test_a_blank_file_without_its_base_does_not_become_the_base(migrated: Scene, migrator: Migrator) -> None:
    damage_copies(migrated, "all removed")
    migrated.write_bytes(WORKSPACE, b"")
    assert migrate(migrated, migrator).code == 3
    outcome = merge(migrated, migrator, [work("a"), work("b", "version 2")])
    assert "backup.file_missing" in outcome.codes
    assert set(stored(migrated)) == set("abcd")
    assert [one["task"] for one in migrated.conflicts()] == ["version 2"]


def test_repair_leaves_no_backup_that_is_broken_for_ever(migrated: Scene, migrator: Migrator) -> None:
    for name in ("w1", "w2"):
        migrated.write(f"/home/dev/{name}", [chat(name, workspace=f"/home/dev/{name}")])
    migrate(migrated, migrator)
    shutil.rmtree(migrated.root / "backups")
    migrated.file_of("/home/dev/w2").unlink()
    migrated.write(WORKSPACE, [work("a"), work("e")])
    run(migrated, migrator, "verify", "--repair")
    assert run(migrated, migrator, "backups", "verify").code == 0
    assert "backup.file_missing" not in run(migrated, migrator, "verify", "--json").codes
    assert migrate(migrated, migrator).code == 3
    assert run(migrated, migrator, "verify", "--json").code == 0
    assert set(stored(migrated)) == set("abcde")
