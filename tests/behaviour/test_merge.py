"""Merging a file that an old build changed after its migration with what the app changed in SQLite."""

import json
import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from migrator.cli.app import run
from migrator.database.rows import derived_key
from tests.support.command_line import Migrator, Outcome
from tests.support.scene import Document, Scene, app_inserts, app_json, chat, hash_of, serialized

WORKSPACE = "/home/dev/engine"
HASH = hash_of(WORKSPACE)


def work(session_id: str, task: str = "as migrated") -> Document:
    return chat(session_id, task=task)


@pytest.fixture
def migrated(scene: Scene, migrator: Migrator) -> Scene:
    """A database with the sessions a, b and c of one file, all as migrated."""
    scene.write(WORKSPACE, [work("a"), work("b"), work("c")])
    assert migrator("--data-dir", scene.root, "migrate").code == 0
    return scene


def edit(scene: Scene, session_id: str, task: str = "in SQLite") -> None:
    scene.change("UPDATE sessions SET task = ? WHERE id = ?", task, session_id)


def delete(scene: Scene, session_id: str) -> None:
    scene.change("DELETE FROM sessions WHERE id = ?", session_id)


def stored(scene: Scene) -> list[tuple[str, str]]:
    return [(document["id"], document["task"]) for document in scene.documents(HASH)]


def merge(scene: Scene, migrator: Migrator, documents: list[Any]) -> Outcome:
    scene.write(WORKSPACE, documents)
    return migrator("--data-dir", scene.root, "migrate", "--json")


def test_what_the_file_did_not_change_keeps_sqlites_version(migrated: Scene, migrator: Migrator) -> None:
    edit(migrated, "a")
    delete(migrated, "b")
    outcome = merge(migrated, migrator, [work("a"), work("b"), work("c"), work("d")])
    assert outcome.code == 0
    assert stored(migrated) == [("a", "in SQLite"), ("c", "as migrated"), ("d", "as migrated")]


def test_a_conflict_says_what_it_is(migrated: Scene, migrator: Migrator) -> None:
    edit(migrated, "a")
    merge(migrated, migrator, [work("a", "in the file"), work("b"), work("c")])
    [(problems,)] = migrated.query("SELECT problems FROM quarantine")
    [problem] = json.loads(problems)
    assert (problem["code"], problem["pointer"]) == ("session.conflict", "")


def test_the_same_change_on_both_sides_is_not_a_conflict(migrated: Scene, migrator: Migrator) -> None:
    edit(migrated, "b", "the same")
    outcome = merge(migrated, migrator, [work("a"), work("b", "the same"), work("c")])
    assert outcome.code == 0
    assert stored(migrated) == [("a", "as migrated"), ("b", "the same"), ("c", "as migrated")]
    assert migrated.conflicts() == []


def test_the_same_deletion_on_both_sides_is_not_a_conflict(migrated: Scene, migrator: Migrator) -> None:
    delete(migrated, "b")
    outcome = merge(migrated, migrator, [work("a"), work("c")])
    assert outcome.code == 0
    assert stored(migrated) == [("a", "as migrated"), ("c", "as migrated")]


def test_the_same_new_session_on_both_sides_is_stored_once(migrated: Scene, migrator: Migrator) -> None:
    new = work("d")
    migrated.change(
        """
        INSERT INTO sessions (id, workspace_id, type, task, status, created_at, updated_at)
        SELECT 'd', id, 'competition', 'as migrated', 'running', ?, ? FROM workspaces
        """,
        new["createdAt"],
        new["updatedAt"],
    )
    new |= {"instances": [], "chatHistory": []}
    outcome = merge(migrated, migrator, [work("a"), work("b"), work("c"), new])
    assert outcome.code == 0
    assert [session_id for session_id, _ in stored(migrated)] == ["a", "b", "c", "d"]
    assert migrated.conflicts() == []


def test_a_session_deleted_in_the_file_is_deleted(migrated: Scene, migrator: Migrator) -> None:
    outcome = merge(migrated, migrator, [work("a"), work("c")])
    assert outcome.code == 0
    assert stored(migrated) == [("a", "as migrated"), ("c", "as migrated")]
    assert migrated.query("SELECT count(*) FROM chat_messages WHERE session_id = 'b'") == [(0,)]


def test_a_new_session_in_the_file_comes_last(migrated: Scene, migrator: Migrator) -> None:
    outcome = merge(migrated, migrator, [work("new"), work("a"), work("b"), work("c")])
    assert outcome.code == 0
    assert [session_id for session_id, _ in stored(migrated)] == ["a", "b", "c", "new"]


def test_a_new_session_with_the_id_of_another_workspaces_session_gets_a_derived_key(
    migrated: Scene, migrator: Migrator
) -> None:
    migrated.write("/home/bob/loom", [chat("d", workspace="/home/bob/loom")])
    migrator("--data-dir", migrated.root, "migrate")
    merge(migrated, migrator, [work("a"), work("b"), work("c"), work("d", "in the file")])
    assert migrated.query("SELECT id FROM sessions WHERE task = 'in the file'") == [(derived_key("d", HASH, 3),)]


def test_a_new_invalid_element_comes_last(migrated: Scene, migrator: Migrator) -> None:
    merge(migrated, migrator, [{"id": "x", "type": 7}, work("a"), work("b"), work("c")])
    assert migrated.query("SELECT position FROM quarantine") == [(3,)]


def test_a_session_changed_in_the_file_is_replaced_at_the_same_position(migrated: Scene, migrator: Migrator) -> None:
    changed = work("b", "in the file")
    outcome = merge(migrated, migrator, [work("a"), changed, work("c")])
    assert outcome.code == 0
    assert outcome.json["workspaces"][0]["status"] == "merged"
    assert [serialized(document) for document in migrated.documents(HASH)] == [
        serialized(document) for document in (work("a"), changed, work("c"))
    ]


def test_a_session_changed_in_the_file_and_deleted_there_later_is_deleted(migrated: Scene, migrator: Migrator) -> None:
    merge(migrated, migrator, [work("a", "in the file"), work("b"), work("c"), work("d")])
    merge(migrated, migrator, [work("b"), work("c")])
    assert [name for name, _ in stored(migrated)] == ["b", "c"]


def test_a_session_deleted_in_the_file_and_changed_in_sqlite_stays(migrated: Scene, migrator: Migrator) -> None:
    edit(migrated, "b")
    merge(migrated, migrator, [work("a"), work("c")])
    assert stored(migrated) == [("a", "as migrated"), ("b", "in SQLite"), ("c", "as migrated")]


def test_a_session_changed_on_both_sides_stays_and_the_other_goes_to_quarantine(
    migrated: Scene, migrator: Migrator
) -> None:
    edit(migrated, "b")
    theirs = work("b", "in the file")
    outcome = merge(migrated, migrator, [work("a"), theirs, work("c")])
    assert outcome.code == 3
    assert [problem["code"] for problem in outcome.json["problems"]] == ["session.conflict"]
    assert stored(migrated) == [("a", "as migrated"), ("b", "in SQLite"), ("c", "as migrated")]
    assert [serialized(document) for document in migrated.conflicts()] == [serialized(theirs)]


def test_a_conflict_keeps_the_version_that_both_sides_started_from(migrated: Scene, migrator: Migrator) -> None:
    edit(migrated, "b")
    merge(migrated, migrator, [work("a"), work("b", "in the file"), work("c")])
    [(base,)] = migrated.query("SELECT base FROM quarantine")
    assert serialized(json.loads(base)) == serialized(work("b"))


def test_a_conflict_of_the_second_session_of_an_id_keeps_the_base_of_the_second(
    scene: Scene, migrator: Migrator
) -> None:
    scene.write(WORKSPACE, [work("a", "one"), work("a", "two")])
    migrator("--data-dir", scene.root, "migrate")
    scene.change("UPDATE sessions SET task = 'in SQLite' WHERE position = 1")
    assert merge(scene, migrator, [work("a", "one"), work("a", "in the file")]).code == 3
    [(base,)] = scene.query("SELECT base FROM quarantine")
    assert json.loads(base)["task"] == "two"


def test_conflicts_come_last_in_their_order(migrated: Scene, migrator: Migrator) -> None:
    edit(migrated, "a")
    edit(migrated, "b")
    merge(migrated, migrator, [work("a", "in the file"), work("b", "in the file"), work("c")])
    assert migrated.query("SELECT position FROM quarantine ORDER BY position") == [(3,), (4,)]


def test_a_session_deleted_in_sqlite_and_changed_in_the_file_goes_to_quarantine(
    migrated: Scene, migrator: Migrator
) -> None:
    delete(migrated, "b")
    theirs = work("b", "in the file")
    outcome = merge(migrated, migrator, [work("a"), theirs, work("c")])
    assert outcome.code == 3
    assert stored(migrated) == [("a", "as migrated"), ("c", "as migrated")]
    assert [serialized(document) for document in migrated.conflicts()] == [serialized(theirs)]


def test_a_conflict_is_reported_once(migrated: Scene, migrator: Migrator) -> None:
    edit(migrated, "b")
    documents = [work("a"), work("b", "in the file"), work("c")]
    merge(migrated, migrator, documents)
    assert merge(migrated, migrator, documents).json["status"] == "nothing_to_do"
    merge(migrated, migrator, [*documents, work("d")])
    assert len(migrated.conflicts()) == 1


def test_of_two_sessions_with_one_id_the_edited_one_is_replaced(scene: Scene, migrator: Migrator) -> None:
    first, second = work("twin", "first"), work("twin", "second")
    scene.write(WORKSPACE, [first, second, work("c")])
    migrator("--data-dir", scene.root, "migrate")
    outcome = merge(scene, migrator, [first, second | {"task": "second, edited"}, work("c")])
    assert outcome.code == 0
    assert stored(scene) == [("twin", "first"), ("twin", "second, edited"), ("c", "as migrated")]


def test_of_two_sessions_with_one_id_the_one_edited_only_in_sqlite_stays(scene: Scene, migrator: Migrator) -> None:
    first, second = work("twin", "first"), work("twin", "second")
    scene.write(WORKSPACE, [first, second])
    migrator("--data-dir", scene.root, "migrate")
    scene.change("UPDATE sessions SET task = 'second, in SQLite' WHERE task = 'second'")
    merge(scene, migrator, [first | {"task": "first, in the file"}, second])
    assert stored(scene) == [("twin", "first, in the file"), ("twin", "second, in SQLite")]


def test_a_session_that_became_invalid_in_the_file_stays_in_sqlite(migrated: Scene, migrator: Migrator) -> None:
    broken = work("b") | {"chatHistory": 7}
    outcome = merge(migrated, migrator, [work("a"), broken, work("c")])
    assert outcome.code == 3
    assert stored(migrated) == [("a", "as migrated"), ("b", "as migrated"), ("c", "as migrated")]
    [(raw,)] = migrated.query("SELECT raw FROM quarantine WHERE reason = 'invalid'")
    assert json.loads(raw) == broken


def test_if_it_is_unclear_which_session_became_invalid_none_counts_as_deleted(
    migrated: Scene, migrator: Migrator
) -> None:
    merge(migrated, migrator, [work("a"), 7, work("c")])
    assert [session_id for session_id, _ in stored(migrated)] == ["a", "b", "c"]


def test_an_element_that_was_always_invalid_does_not_prevent_deletions(scene: Scene, migrator: Migrator) -> None:
    scene.write(WORKSPACE, [work("a"), 7, work("b")])
    migrator("--data-dir", scene.root, "migrate")
    merge(scene, migrator, [work("a"), 7])
    assert [session_id for session_id, _ in stored(scene)] == ["a"]


def test_an_invalid_session_that_was_fixed_leaves_quarantine(scene: Scene, migrator: Migrator) -> None:
    scene.write(WORKSPACE, [work("a"), work("b") | {"chatHistory": 7}])
    migrator("--data-dir", scene.root, "migrate")
    outcome = merge(scene, migrator, [work("a"), work("b")])
    assert outcome.code == 0
    assert [session_id for session_id, _ in stored(scene)] == ["a", "b"]
    assert scene.query("SELECT count(*) FROM quarantine") == [(0,)]


def twins(scene: Scene, migrator: Migrator) -> list[Document]:
    documents = [work("twin", "first"), work("twin", "second"), work("c")]
    scene.write(WORKSPACE, documents)
    migrator("--data-dir", scene.root, "migrate")
    return documents


def test_the_second_session_of_an_id_is_not_mistaken_for_the_first_that_became_invalid(
    scene: Scene, migrator: Migrator
) -> None:
    first, second, c = twins(scene, migrator)
    assert merge(scene, migrator, [first | {"status": 5}, second, c]).code == 3
    assert stored(scene) == [("twin", "first"), ("twin", "second"), ("c", "as migrated")]


def test_an_invalid_twin_counts_as_the_twin_at_its_position(scene: Scene, migrator: Migrator) -> None:
    first, second, c = twins(scene, migrator)
    merge(scene, migrator, [first | {"status": 5}, second | {"task": "second, edited"}, c])
    assert stored(scene) == [("twin", "first"), ("twin", "second, edited"), ("c", "as migrated")]


def test_an_invalid_element_without_an_id_may_be_a_twin(scene: Scene, migrator: Migrator) -> None:
    _, second, c = twins(scene, migrator)
    merge(scene, migrator, [7, second | {"task": "second, edited"}, c])
    assert stored(scene) == [("twin", "first"), ("twin", "second, edited"), ("c", "as migrated")]


def test_an_invalid_twin_at_the_second_position_counts_as_the_second(scene: Scene, migrator: Migrator) -> None:
    first, second, c = twins(scene, migrator)
    merge(scene, migrator, [first | {"task": "first, edited"}, second | {"status": 5}, c])
    assert stored(scene) == [("twin", "first, edited"), ("twin", "second"), ("c", "as migrated")]


def test_an_invalid_element_fixed_in_sqlite_that_is_in_the_file_twice_now_is_new_once(
    scene: Scene, migrator: Migrator
) -> None:
    broken = {"id": "x", "type": 7}
    scene.write(WORKSPACE, [work("a"), broken])
    migrator("--data-dir", scene.root, "migrate")
    scene.change("DELETE FROM quarantine")
    merge(scene, migrator, [work("a"), broken, broken, work("b")])
    assert scene.query("SELECT count(*) FROM quarantine") == [(1,)]


def test_an_invalid_element_of_another_id_does_not_count_as_a_twin(scene: Scene, migrator: Migrator) -> None:
    _, second, c = twins(scene, migrator)
    merge(scene, migrator, [c | {"status": 5}, second | {"task": "edited"}])
    assert scene.query("SELECT position, task FROM sessions ORDER BY position") == [(0, "edited"), (2, "as migrated")]


def test_the_second_session_of_an_id_is_not_mistaken_for_the_first_in_a_truncated_file(
    scene: Scene, migrator: Migrator
) -> None:
    _, second, c = twins(scene, migrator)
    content = app_json([second, c])
    scene.write_bytes(WORKSPACE, content[: content.rindex(b'"task"')])
    migrator("--data-dir", scene.root, "migrate", "--salvage")
    assert stored(scene) == [("twin", "first"), ("twin", "second"), ("c", "as migrated")]


def test_a_twin_deleted_in_sqlite_and_the_other_changed_in_the_file_do_not_conflict(
    scene: Scene, migrator: Migrator
) -> None:
    first, second, c = twins(scene, migrator)
    scene.change("DELETE FROM sessions WHERE task = 'first'")
    assert merge(scene, migrator, [first, second | {"task": "second, edited"}, c]).code == 0
    assert stored(scene) == [("twin", "second, edited"), ("c", "as migrated")]


def test_an_invalid_element_stays_in_quarantine_if_the_base_had_a_valid_session_of_its_id(
    scene: Scene, migrator: Migrator
) -> None:
    scene.write(WORKSPACE, [work("a") | {"status": 5}, work("a")])
    migrator("--data-dir", scene.root, "migrate")
    merge(scene, migrator, [work("a"), work("b")])
    assert scene.query("SELECT reason FROM quarantine") == [("invalid",)]


def test_an_id_that_an_invalid_element_only_mentions_does_not_release_it_from_quarantine(
    scene: Scene, migrator: Migrator
) -> None:
    scene.write(WORKSPACE, [work("a") | {"status": 5, "chatHistory": [{"id": "b"}]}])
    migrator("--data-dir", scene.root, "migrate")
    merge(scene, migrator, [work("b")])
    assert scene.query("SELECT reason FROM quarantine") == [("invalid",)]


def test_of_two_invalid_sessions_of_one_id_both_stay_in_quarantine_when_one_was_fixed(
    scene: Scene, migrator: Migrator
) -> None:
    scene.write(WORKSPACE, [work("a", "first") | {"status": 5}, work("a", "second") | {"status": 5}])
    migrator("--data-dir", scene.root, "migrate")
    merge(scene, migrator, [work("a", "second")])
    assert scene.query("SELECT count(*) FROM quarantine") == [(2,)]


def test_a_truncated_end_stays_in_quarantine_when_one_of_its_sessions_comes_back(
    scene: Scene, migrator: Migrator
) -> None:
    content = app_json([work("a"), work("b"), work("c")])
    scene.write_bytes(WORKSPACE, content[: content.index(b'"b"') + 10] + content[content.rindex(b'"task"') :])
    migrator("--data-dir", scene.root, "migrate", "--salvage")
    assert scene.query("SELECT reason FROM quarantine") == [("torn",)]
    merge(scene, migrator, [work("a"), work("b")])
    assert scene.query("SELECT reason FROM quarantine") == [("torn",)]


@pytest.mark.parametrize("content", [b"", b" \n"], ids=["empty", "blank"])
def test_a_blank_file_deletes_nothing(content: bytes, migrated: Scene, migrator: Migrator) -> None:
    migrated.write_bytes(WORKSPACE, content)
    assert migrator("--data-dir", migrated.root, "migrate").code == 0
    assert [session_id for session_id, _ in stored(migrated)] == ["a", "b", "c"]


def test_an_empty_array_deletes_every_session_once_that_is_confirmed(migrated: Scene, migrator: Migrator) -> None:
    assert merge(migrated, migrator, []).code == 3
    assert [name for name, _ in stored(migrated)] == ["a", "b", "c"]
    assert migrator("--data-dir", migrated.root, "deletions", "confirm", "--all").code == 0
    assert stored(migrated) == []


def test_a_missing_file_deletes_nothing(migrated: Scene, migrator: Migrator) -> None:
    migrated.file_of(WORKSPACE).unlink()
    assert migrator("--data-dir", migrated.root, "migrate").code == 0
    assert [session_id for session_id, _ in stored(migrated)] == ["a", "b", "c"]


def test_a_file_truncated_after_its_migration_deletes_nothing_when_it_is_salvaged(
    migrated: Scene, migrator: Migrator
) -> None:
    content = app_json([work("a", "in the file"), work("b"), work("c")])
    migrated.write_bytes(WORKSPACE, content[: content.rindex(b'"task"')])
    assert migrator("--data-dir", migrated.root, "migrate", "--salvage").code == 3
    assert stored(migrated) == [("a", "in the file"), ("b", "as migrated"), ("c", "as migrated")]


def truncate(scene: Scene) -> None:
    content = app_json([work("a"), work("b"), work("c")])
    scene.write_bytes(WORKSPACE, content[: content.rindex(b'"task"')])


def replace_with_folder(scene: Scene) -> None:
    scene.file_of(WORKSPACE).unlink()
    scene.file_of(WORKSPACE).mkdir()


@pytest.mark.parametrize("damage", [truncate, replace_with_folder])
def test_a_file_damaged_after_its_migration_is_reported_and_sqlite_keeps_everything(
    damage: Callable[[Scene], None], migrated: Scene, migrator: Migrator
) -> None:
    edit(migrated, "a")
    damage(migrated)
    outcome = migrator("--data-dir", migrated.root, "migrate", "--json")
    assert outcome.code == 3
    assert outcome.json["workspaces"][0]["status"] == "failed"
    assert stored(migrated) == [("a", "in SQLite"), ("b", "as migrated"), ("c", "as migrated")]
    again = migrator("--data-dir", migrated.root, "migrate", "--json")
    assert again.json["status"] == "nothing_to_do"
    assert again.json["workspaces"][0]["error"] == outcome.json["workspaces"][0]["error"]


def test_status_and_verify_report_a_file_damaged_after_its_migration(migrated: Scene, migrator: Migrator) -> None:
    truncate(migrated)
    migrator("--data-dir", migrated.root, "migrate")
    [workspace] = migrator("--data-dir", migrated.root, "status", "--json").json["workspaces"]
    assert (workspace["state"], workspace["sessions"]) == ("migrated", 3)
    assert "--salvage" in workspace["error"]
    verified = migrator("--data-dir", migrated.root, "verify")
    assert verified.code == 0
    assert workspace["error"] in verified.out


@pytest.mark.parametrize("damage", [truncate, replace_with_folder])
def test_a_damaged_file_that_is_fixed_is_merged_with_its_last_migrated_version(
    damage: Callable[[Scene], None], migrated: Scene, migrator: Migrator
) -> None:
    edit(migrated, "a")
    damage(migrated)
    migrator("--data-dir", migrated.root, "migrate")
    if migrated.file_of(WORKSPACE).is_dir():
        migrated.file_of(WORKSPACE).rmdir()
    outcome = merge(migrated, migrator, [work("a"), work("b", "in the file")])
    assert outcome.code == 0
    assert stored(migrated) == [("a", "in SQLite"), ("b", "in the file")]
    assert migrator("--data-dir", migrated.root, "verify").code == 0


def test_a_damaged_file_that_is_restored_has_no_error_any_more(migrated: Scene, migrator: Migrator) -> None:
    content = migrated.file_of(WORKSPACE).read_bytes()
    truncate(migrated)
    migrator("--data-dir", migrated.root, "migrate")
    migrated.write_bytes(WORKSPACE, content)
    outcome = migrator("--data-dir", migrated.root, "migrate", "--json")
    assert outcome.code == 0
    assert outcome.json["workspaces"][0]["error"] is None
    assert len(stored(migrated)) == 3


def test_a_changed_file_is_merged_in_the_shared_file_too(scene: Scene, migrator: Migrator) -> None:
    shared = scene.root / "sessions.json"
    ours, theirs = chat("a", workspace="/w"), chat("b", workspace="/v")
    shared.write_bytes(app_json([ours, theirs]))
    migrator("--data-dir", scene.root, "migrate")
    shared.write_bytes(app_json([ours, theirs | {"task": "in the file"}, chat("c", workspace="/u")]))
    assert migrator("--data-dir", scene.root, "migrate").code == 0
    assert [scene.tasks(workspace) for workspace in ("/w", "/v", "/u")] == [["Weave"], ["in the file"], ["Weave"]]


def test_a_session_is_replaced_with_all_its_parts(migrated: Scene, migrator: Migrator) -> None:
    changed = work("b")
    changed["instances"][0]["output"] = "done"
    changed["chatHistory"].append({"id": "msg-a", "role": "user", "content": "more", "timestamp": "2025"})
    merge(migrated, migrator, [work("a"), changed, work("c")])
    assert [serialized(document) for document in migrated.documents(HASH)] == [
        serialized(document) for document in (work("a"), changed, work("c"))
    ]


@pytest.mark.slow
def test_a_large_file_is_merged_while_others_bring_colliding_ids(scene: Scene, migrator: Migrator) -> None:
    def documents(workspace: str) -> list[Document]:
        many = [chat(f"s-{number}", workspace=workspace, text="x" * 2000) for number in range(400)]
        for document in many:
            document["chatHistory"] = [document["chatHistory"][0] | {"id": f"msg-{number}"} for number in range(8)]
        return many

    changed = documents("/w")
    scene.write("/w", changed)
    migrator("--data-dir", scene.root, "migrate")
    changed[7]["task"] = "in the file"
    scene.write("/w", changed)
    scene.write("/v", documents("/v"))
    assert migrator("--data-dir", scene.root, "migrate").code == 0
    assert [serialized(document) for document in scene.documents(hash_of("/w"))] == [serialized(d) for d in changed]
    assert [serialized(document) for document in scene.documents(hash_of("/v"))] == [
        serialized(d) for d in documents("/v")
    ]


# Each side makes some of these changes to some of the sessions.
CHANGES = st.dictionaries(st.sampled_from("abcdef"), st.sampled_from(["edit", "delete", "same edit"]), max_size=4)
NEW = st.lists(st.sampled_from("uvw"), max_size=2, unique=True)


def changed_file(documents: list[Document], changes: dict[str, str], new: list[str]) -> list[Document]:
    result = []
    for document in documents:
        change = changes.get(document["id"])
        if change != "delete":
            result.append(
                document | {"task": {"edit": "theirs", "same edit": "both"}.get(change or "", document["task"])}
            )
    return result + [work(session_id, f"new {session_id}") for session_id in new]


def changed_sqlite(scene: Scene, changes: dict[str, str], new: list[str]) -> None:
    for session_id, change in changes.items():
        if change == "delete":
            delete(scene, session_id)
        else:
            edit(scene, session_id, {"edit": "ours", "same edit": "both"}[change])
    for session_id in new:
        with closing(sqlite3.connect(scene.database)) as connection, connection:
            app_inserts(connection, WORKSPACE, session_id, f"created {session_id}", f"app-{session_id}")


@settings(max_examples=25)
@given(theirs=CHANGES, ours=CHANGES, new_theirs=NEW, new_ours=NEW, reorder=st.booleans())
def test_no_version_that_only_one_side_had_is_ever_lost(
    theirs: dict[str, str],
    ours: dict[str, str],
    new_theirs: list[str],
    new_ours: list[str],
    reorder: bool,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    scene = Scene(Path(tmp_path_factory.mktemp("merge")))
    base = [work(session_id) for session_id in "abcdef"]
    arguments = ["--data-dir", str(scene.root), "migrate", "--progress", "none", "--json"]
    scene.write(WORKSPACE, base)
    assert run(arguments) == 0
    changed_sqlite(scene, ours, new_ours)
    before = scene.documents(HASH)
    file = changed_file(base, theirs, new_theirs)
    scene.write(WORKSPACE, file[::-1] if reorder else file)
    code = run(arguments)

    after = scene.documents(HASH)
    known = {serialized(document) for document in base}
    kept = {serialized(document) for document in after + scene.conflicts()}
    only_one_side_had = {serialized(document) for document in before + file} - known
    assert only_one_side_had <= kept

    by_id = {document["id"]: document for document in after}
    for document in before:  # SQLite wins if it changed anything
        if serialized(document) not in known:
            assert serialized(by_id[document["id"]]) == serialized(document)
    for document in file:  # and the file if only it did
        untouched = document["id"] not in ours and document["id"] not in new_ours
        if untouched:
            assert serialized(by_id[document["id"]]) == serialized(document)
    gone = {session_id for session_id, change in theirs.items() if change == "delete" and session_id not in ours}
    assert not gone & by_id.keys()
    assert max(Counter(document["id"] for document in after).values(), default=1) == 1
    old = [document["id"] for document in after if document["id"] in "abcdef"]
    assert old == sorted(old)
    assert code == (3 if scene.conflicts() else 0)
