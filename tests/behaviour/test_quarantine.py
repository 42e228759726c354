"""What is in quarantine can be seen, and finds its way back to its place, through the command line."""

import json
import os
import sqlite3
import stat
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from migrator import open_storage
from migrator.database.connection import waiting
from tests.support.command_line import Migrator
from tests.support.scene import Scene, app_json, chat, hash_of, parsed, serialized

ENGINE = "/home/dev/engine"
HASH = hash_of(ENGINE)


def broken(session_id: str = "b", **members: Any) -> dict[str, Any]:
    """A session that lacks its task."""
    document = chat(session_id, **members)
    del document["task"]
    return document


@pytest.fixture
def run(scene: Scene, migrator: Migrator) -> Migrator:
    return lambda *arguments: migrator("--data-dir", scene.root, *arguments)


@pytest.fixture
def one_broken(scene: Scene, run: Migrator) -> Scene:
    """Three sessions migrated, the one in the middle in quarantine as number 1."""
    scene.write(ENGINE, [chat("a"), broken(), chat("c")])
    assert run("migrate", "--progress", "none").code == 3
    return scene


@pytest.fixture
def conflict(scene: Scene, run: Migrator) -> Scene:
    """A session that the app changed in SQLite and an old build in the file: the file's version is number 1."""
    scene.write(ENGINE, [chat("a"), chat("s", text="base"), chat("z")])
    run("migrate", "--progress", "none")
    scene.change("UPDATE sessions SET task = 'in SQLite' WHERE id = 's'")
    scene.write(ENGINE, [chat("a"), chat("s", text="base", task="in the file"), chat("z")])
    assert run("migrate", "--progress", "none").code == 3
    return scene


def ids(scene: Scene, workspace: str = ENGINE) -> list[str]:
    return [document["id"] for document in scene.documents(hash_of(workspace))]


def write(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def test_list_shows_where_an_item_is_from_and_its_first_problem(one_broken, run):
    (item,) = run("quarantine", "list", "--json").json["items"]
    assert item["id"] == 1
    assert item["source"] == f"sessions/{HASH}.json"
    assert (item["workspace_hash"], item["workspace_path"], item["position"]) == (HASH, ENGINE, 1)
    assert item["reason"] == "invalid"
    assert item["problem"]["pointer"] == "/task"
    assert item["problem"]["code"] == "document.required"
    assert item["problem_count"] == 1
    shown = run("quarantine", "list").out
    assert f"sessions/{HASH}.json, index 1" in shown
    assert "/task: " in shown


def test_list_says_so_when_nothing_is_in_quarantine(scene, run):
    scene.write(ENGINE, [chat("a")])
    run("migrate", "--progress", "none")
    assert run("quarantine", "list").out == "The quarantine is empty.\n"
    assert run("quarantine", "list", "--json").json == {"items": []}


def test_every_command_says_how_to_create_a_missing_database(run, tmp_path):
    for arguments in (["list"], ["show", "1"], ["retry", "1"], ["export", "--to", str(tmp_path / "out")]):
        outcome = run("quarantine", *arguments, "--json")
        assert (outcome.code, outcome.codes) == (1, ["database.missing"])
        assert "'migrator migrate'" in outcome.err
    assert not (tmp_path / "out").exists()


def test_show_prints_every_problem_and_the_whole_text(scene, run):
    document = broken(status=7)
    scene.write(ENGINE, [document])
    run("migrate", "--progress", "none")
    shown = run("quarantine", "show", "1", "--json").json
    assert [problem["pointer"] for problem in shown["problems"]] == ["/task", "/status"]
    assert json.loads(shown["raw"]) == document
    assert shown["raw_is_utf8"] is True
    text = run("quarantine", "show", "1").out
    assert "/task" in text
    assert "/status" in text
    assert '"id": "b"' in text


def test_show_spells_out_what_could_drive_the_terminal_and_json_does_not_change_it(scene, run):
    raw = b'[{"id": "\x1b[31m\x07\xc2\x9b"}]'
    scene.write_bytes(ENGINE, raw)
    run("migrate", "--progress", "none")
    text = run("quarantine", "show", "1").out
    assert "\\x1b[31m\\x07\\x9b" in text
    assert "\x07" not in text
    assert run("quarantine", "show", "1", "--json").json["raw"].encode() == raw[1:-1]


def test_show_replaces_bytes_that_are_not_text_and_says_so(scene, run):
    scene.write_bytes(ENGINE, b'[{"id": "\xff"}]')
    run("migrate", "--progress", "none")
    assert '{"id": "\ufffd"}' in run("quarantine", "show", "1").out
    shown = run("quarantine", "show", "1", "--json").json
    assert shown["raw_is_utf8"] is False
    assert shown["raw_base64"] == "eyJpZCI6ICL/In0="


def test_show_of_a_number_that_is_not_there_names_the_way_to_find_one(one_broken, run):
    outcome = run("quarantine", "show", "99", "--json")
    assert (outcome.code, outcome.codes) == (1, ["quarantine.not_found"])
    assert "'migrator quarantine list'" in outcome.err
    assert run("quarantine", "show", str(10**30)).code == 2


def test_show_prints_a_record_that_was_changed_by_hand_as_it_is(one_broken, run):
    one_broken.change("UPDATE quarantine SET problems = 'no list'")
    (problem,) = run("quarantine", "show", "1", "--json").json["problems"]
    assert problem["found"] == "no list"


def test_retry_of_what_is_still_invalid_says_why_and_changes_nothing(one_broken, run):
    before = one_broken.listing()
    outcome = run("quarantine", "retry", "1", "--json")
    assert outcome.code == 3
    (item,) = outcome.json["items"]
    assert item["result"] == "still_invalid"
    assert [problem["pointer"] for problem in item["problems"]] == ["/task"]
    assert one_broken.listing().keys() == before.keys()
    assert ids(one_broken) == ["a", "c"]
    assert one_broken.query("SELECT count(*) FROM quarantine") == [(1,)]
    assert "/task" in run("quarantine", "retry", "1").out


def test_retry_of_what_has_become_valid_puts_it_back(one_broken, run):
    fixed = chat("b")
    one_broken.change("UPDATE quarantine SET raw = ?", json.dumps(fixed))
    outcome = run("quarantine", "retry", "--all", "--json")
    assert outcome.code == 0
    assert outcome.json["items"][0]["result"] == "restored"
    assert ids(one_broken) == ["a", "b", "c"]
    assert one_broken.query("SELECT count(*) FROM quarantine") == [(0,)]


def test_a_corrected_session_takes_the_old_place_and_keeps_its_file(one_broken, run, tmp_path):
    fixed = chat("b", task="fixed", surprise=[1.0, None])
    outcome = run("quarantine", "retry", "1", "--edited", write(tmp_path / "new.json", fixed))
    assert outcome.code == 0
    stored = one_broken.documents(HASH)
    assert [document["id"] for document in stored] == ["a", "b", "c"]
    assert serialized(stored[1]) == serialized(fixed)
    assert one_broken.query("SELECT position, source_id FROM sessions WHERE id = 'b'") == [(1, 1)]
    assert one_broken.query("SELECT count(*) FROM quarantine") == [(0,)]
    assert one_broken.query("SELECT quarantined FROM migration_ledger") == [(1,)]  # what the file had


def test_an_array_of_corrected_sessions_goes_in_as_a_whole_in_its_order(one_broken, run, tmp_path):
    edited = write(tmp_path / "new.json", [chat("b2"), chat("b1"), chat("b2")])
    assert run("quarantine", "retry", "1", "--edited", edited).code == 0
    assert ids(one_broken) == ["a", "b2", "b1", "b2", "c"]


def test_one_bad_session_among_the_corrected_keeps_all_out(one_broken, run, tmp_path):
    edited = write(tmp_path / "new.json", [chat("b1"), broken("b2")])
    outcome = run("quarantine", "retry", "1", "--edited", edited, "--json")
    assert outcome.code == 3
    assert outcome.json["items"][0]["problems"][0]["pointer"] == "/1/task"
    assert ids(one_broken) == ["a", "c"]
    assert one_broken.query("SELECT count(*) FROM quarantine") == [(1,)]


@pytest.mark.parametrize(
    "content", [b"", b"nonsense", b"[", b"[]", b'[{"id": 1}', b"\xff", b'{"a": 1, "a": 2}', b"[" * 10**5]
)
def test_an_edited_file_that_is_not_a_session_is_refused_with_the_reason(one_broken, run, tmp_path, content):
    edited = tmp_path / "new.json"
    edited.write_bytes(content)
    outcome = run("quarantine", "retry", "1", "--edited", edited, "--json")
    assert outcome.code == 3
    assert outcome.json["items"][0]["problems"]
    assert "--salvage" not in outcome.out
    assert ids(one_broken) == ["a", "c"]


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"[{}", "truncated: the file ends before its closing ']' at byte 3, after 1 complete session"),
        (b"[\0", "the file is not UTF-8 text; it may be UTF-16 or binary data"),
    ],
)
def test_what_is_wrong_with_an_edited_array_reads_as_a_sentence(one_broken, run, tmp_path, content, found):
    edited = tmp_path / "new.json"
    edited.write_bytes(content)
    assert found in run("quarantine", "retry", "1", "--edited", edited).out


def test_an_edited_file_may_begin_with_a_byte_order_mark(one_broken, run, tmp_path):
    edited = tmp_path / "new.json"
    edited.write_text(f"\ufeff\n{json.dumps(chat('b'))}\n", encoding="utf-8")
    assert run("quarantine", "retry", "1", "--edited", edited).code == 0
    assert ids(one_broken) == ["a", "b", "c"]


def test_an_edited_file_that_is_not_there_is_named(one_broken, run, tmp_path):
    outcome = run("quarantine", "retry", "1", "--edited", tmp_path / "missing.json")
    assert outcome.code == 1
    assert "missing.json" in outcome.err


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["1", "--all"],
        ["--all", "--edited", "x"],
        ["1", "2", "--edited", "x"],
        ["1", "--edited", "x", "--take", "ours"],
    ],
)
def test_arguments_that_cannot_be_combined_are_wrong_usage(one_broken, run, arguments):
    outcome = run("quarantine", "retry", *arguments, "--json")
    assert (outcome.code, outcome.codes) == (2, ["option.conflict" if arguments else "option.missing"])


def test_taking_a_side_is_for_conflicts_alone(one_broken, run):
    assert run("quarantine", "retry", "1", "--take", "theirs").code == 2
    assert one_broken.query("SELECT count(*) FROM quarantine") == [(1,)]


def test_a_number_that_is_not_there_keeps_the_others_in_too(one_broken, run):
    one_broken.change("UPDATE quarantine SET raw = ?", json.dumps(chat("b")))
    assert run("quarantine", "retry", "1", "99").code == 1
    assert one_broken.query("SELECT count(*) FROM quarantine") == [(1,)]
    assert ids(one_broken) == ["a", "c"]


def test_a_number_named_twice_is_taken_once(one_broken, run):
    one_broken.change("UPDATE quarantine SET raw = ?", json.dumps(chat("b")))
    assert run("quarantine", "retry", "1", "1").code == 0
    assert ids(one_broken) == ["a", "b", "c"]


def test_an_id_that_is_taken_goes_in_under_another_key_and_comes_out_as_it_is(one_broken, run, tmp_path):
    assert run("quarantine", "retry", "1", "--edited", write(tmp_path / "new.json", chat("a", task="second"))).code == 0
    assert [(d["id"], d["task"]) for d in one_broken.documents(HASH)] == [
        ("a", "Weave"),
        ("a", "second"),
        ("c", "Weave"),
    ]


def test_nothing_is_retried_while_the_json_files_are_authoritative(one_broken, run, tmp_path):
    assert run("rollback", "--progress", "none").code == 3
    edited = write(tmp_path / "new.json", chat("b"))
    outcome = run("quarantine", "retry", "1", "--edited", edited, "--json")
    assert (outcome.code, outcome.codes) == (1, ["store.not_authoritative"])
    assert "'migrator migrate'" in outcome.err
    assert one_broken.query("SELECT count(*) FROM quarantine") == [(1,)]


def test_a_rollback_after_a_retry_holds_what_was_put_back_at_its_place(one_broken, run, tmp_path):
    run("quarantine", "retry", "1", "--edited", write(tmp_path / "new.json", chat("b")))
    assert run("rollback", "--progress", "none").code == 0
    assert [document["id"] for document in parsed(one_broken.file_of(ENGINE).read_bytes())] == ["a", "b", "c"]


def test_what_was_put_right_stays_so_when_an_old_build_writes_the_file_again(one_broken, run, tmp_path):
    run("quarantine", "retry", "1", "--edited", write(tmp_path / "new.json", chat("b")))
    one_broken.write(ENGINE, [chat("a"), broken(), chat("c"), chat("d"), broken("e")])
    run("migrate", "--progress", "none")
    assert ids(one_broken) == ["a", "b", "c", "d"]
    assert [json.loads(raw)["id"] for (raw,) in one_broken.query("SELECT raw FROM quarantine")] == ["e"]


def test_a_truncated_end_that_was_corrected_stays_corrected(scene, run, tmp_path):
    torn = app_json([chat("a"), chat("b")])[:-40]
    scene.write_bytes(ENGINE, torn)
    run("migrate", "--salvage", "--progress", "none")
    run("quarantine", "retry", "1", "--edited", write(tmp_path / "new.json", chat("b")))
    scene.write_bytes(ENGINE, torn.replace(b"Weave", b"Knit", 1))
    run("migrate", "--salvage", "--progress", "none")
    assert scene.tasks(ENGINE) == ["Knit", "Weave"]
    assert scene.query("SELECT count(*) FROM quarantine") == [(0,)]


def test_in_hybrid_mode_the_json_file_is_fixed_as_well(one_broken, run, tmp_path):
    assert run("backend", "hybrid", "--progress", "none").code == 0
    outcome = run("quarantine", "retry", "1", "--edited", write(tmp_path / "new.json", chat("b")), "--json")
    assert (outcome.code, outcome.json["warnings"]) == (0, [])
    assert [document["id"] for document in parsed(one_broken.file_of(ENGINE).read_bytes())] == ["a", "b", "c"]
    assert ids(one_broken) == ["a", "b", "c"]
    with open_storage(one_broken.root) as store:
        assert [document["id"] for document in store.get_all_sessions(ENGINE)] == ["a", "b", "c"]
    assert run("backend", "--json").json["trial"]["differences"] == 0


def test_a_failure_in_the_middle_leaves_everything_as_it_was(one_broken, run, tmp_path):
    one_broken.change(
        "CREATE TRIGGER full BEFORE DELETE ON quarantine BEGIN SELECT RAISE(ABORT, 'the disk is full'); END"
    )
    outcome = run("quarantine", "retry", "1", "--edited", write(tmp_path / "new.json", chat("b")))
    assert outcome.code == 1
    assert "the disk is full" in outcome.err
    assert ids(one_broken) == ["a", "c"]
    assert one_broken.query("SELECT count(*) FROM quarantine") == [(1,)]


def test_a_database_that_stays_locked_is_reported_and_not_changed(one_broken, run, tmp_path):
    with closing(sqlite3.connect(one_broken.database, isolation_level=None)) as other, waiting(0.1):
        other.execute("BEGIN IMMEDIATE")
        outcome = run("quarantine", "retry", "1", "--edited", write(tmp_path / "new.json", chat("b")), "--json")
    assert (outcome.code, outcome.codes) == (1, ["database.locked"])


def test_a_truncated_end_is_restored_only_in_a_corrected_form(scene, run, tmp_path):
    whole = app_json([chat("a"), chat("b")])
    scene.write_bytes(ENGINE, whole[:-40])
    assert run("migrate", "--salvage", "--progress", "none").code == 3
    outcome = run("quarantine", "retry", "1", "--json")
    assert outcome.code == 3
    assert outcome.json["items"][0]["result"] == "needs_edit"
    assert ids(scene) == ["a"]
    assert run("quarantine", "retry", "1", "--edited", write(tmp_path / "new.json", [chat("b"), chat("c")])).code == 0
    assert ids(scene) == ["a", "b", "c"]


def test_a_fixed_session_of_the_shared_file_goes_to_the_workspace_that_its_worktrees_show(scene, run, tmp_path):
    (scene.root / "sessions.json").write_bytes(app_json([chat("a"), broken("b"), chat("c")]))
    run("migrate", "--progress", "none")
    assert run("quarantine", "retry", "1", "--edited", write(tmp_path / "new.json", chat("b"))).code == 0
    assert ids(scene) == ["a", "b", "c"]


def test_a_conflict_is_shown_with_every_version_and_the_difference(conflict, run):
    shown = run("quarantine", "show", "1", "--json").json
    assert json.loads(shown["raw"])["task"] == "in the file"
    assert json.loads(shown["base"])["task"] == "Weave"
    assert json.loads(shown["in_sqlite"])["task"] == "in SQLite"
    assert '-    "task": "in SQLite"' in shown["diff"]
    assert '+    "task": "in the file"' in shown["diff"]
    assert '-    "task": "in SQLite"' in run("quarantine", "show", "1").out


def test_a_conflict_waits_for_a_decision(conflict, run):
    outcome = run("quarantine", "retry", "--all", "--json")
    assert outcome.code == 3
    assert outcome.json["items"][0]["result"] == "needs_choice"
    assert conflict.tasks(ENGINE) == ["Weave", "in SQLite", "Weave"]


def test_taking_theirs_replaces_the_version_in_sqlite_and_keeps_that(conflict, run):
    outcome = run("quarantine", "retry", "1", "--take", "theirs", "--json")
    assert outcome.code == 0
    (item,) = outcome.json["items"]
    assert item["result"] == "replaced"
    assert conflict.tasks(ENGINE) == ["Weave", "in the file", "Weave"]
    assert conflict.query("SELECT count(*) FROM quarantine") == [(0,)]
    kept = json.loads((Path(item["kept"]) / "ours.json").read_bytes())
    assert kept["task"] == "in SQLite"


def test_taking_ours_drops_the_version_in_quarantine_and_keeps_that(conflict, run):
    outcome = run("quarantine", "retry", "1", "--take", "ours", "--json")
    assert outcome.code == 0
    assert outcome.json["items"][0]["result"] == "dropped"
    assert conflict.tasks(ENGINE) == ["Weave", "in SQLite", "Weave"]
    assert conflict.query("SELECT count(*) FROM quarantine") == [(0,)]
    (kept,) = conflict.root.glob("backups/*/theirs.json")
    assert json.loads(kept.read_bytes())["task"] == "in the file"
    assert str(kept.parent) in outcome.out
    assert stat.S_IMODE(os.stat(kept).st_mode) == 0o600


def test_after_a_rollback_a_conflict_can_be_dropped_and_nothing_else_be_done(conflict, run):
    run("rollback", "--progress", "none")
    for arguments in (["--take", "theirs"], ["--take", "both"], []):
        outcome = run("quarantine", "retry", "1", *arguments, "--json")
        assert (outcome.code, outcome.codes) == (1, ["store.not_authoritative"])
        assert "--take ours" in outcome.err
    assert run("quarantine", "retry", "1", "--take", "ours").code == 0
    assert conflict.query("SELECT count(*) FROM quarantine") == [(0,)]
    (kept,) = conflict.root.glob("backups/*/theirs.json")
    assert json.loads(kept.read_bytes())["task"] == "in the file"


def test_after_a_rollback_dropping_all_conflicts_leaves_what_is_broken_alone(scene, run):
    scene.write(ENGINE, [chat("s"), chat("t")])
    run("migrate", "--progress", "none")
    scene.change("UPDATE sessions SET task = 'in SQLite'")
    scene.write(ENGINE, [chat("s", task="in the file"), chat("t") | {"status": 5}])
    run("migrate", "--progress", "none")
    run("rollback", "--progress", "none")
    assert run("quarantine", "retry", "--all", "--take", "ours").code == 0
    assert scene.query("SELECT reason FROM quarantine") == [("invalid",)]


def test_taking_both_adds_a_further_session_of_the_same_id(conflict, run):
    assert run("quarantine", "retry", "1", "--take", "both").code == 0
    assert conflict.tasks(ENGINE) == ["Weave", "in SQLite", "Weave", "in the file"]
    assert ids(conflict) == ["a", "s", "z", "s"]


def test_a_conflict_merged_by_hand_takes_the_place_and_keeps_both_versions(conflict, run, tmp_path):
    edited = write(tmp_path / "new.json", chat("s", task="both"))
    outcome = run("quarantine", "retry", "1", "--edited", edited, "--json")
    assert outcome.code == 0
    assert conflict.tasks(ENGINE) == ["Weave", "both", "Weave"]
    kept = Path(outcome.json["items"][0]["kept"])
    assert {json.loads((kept / name).read_bytes())["task"] for name in ("ours.json", "theirs.json")} == {
        "in SQLite",
        "in the file",
    }


def test_of_two_sessions_with_one_id_the_one_in_conflict_is_replaced(scene, run):
    scene.write(ENGINE, [chat("s", task="first"), chat("s", task="second")])
    run("migrate", "--progress", "none")
    scene.change("UPDATE sessions SET task = 'second in SQLite' WHERE task = 'second'")
    scene.write(ENGINE, [chat("s", task="first"), chat("s", task="second in the file")])
    run("migrate", "--progress", "none")
    assert json.loads(run("quarantine", "show", "1", "--json").json["in_sqlite"])["task"] == "second in SQLite"
    assert run("quarantine", "retry", "1", "--take", "theirs").code == 0
    assert scene.tasks(ENGINE) == ["first", "second in the file"]


def test_of_two_sessions_with_one_id_none_is_replaced_where_the_other_one_broke_in_the_file(scene, run):
    scene.write(ENGINE, [chat("s", task="first"), chat("s", task="second")])
    run("migrate", "--progress", "none")
    scene.change("UPDATE sessions SET task = task || ' in SQLite'")
    scene.write(ENGINE, [chat("s", task="first") | {"status": 5}, chat("s", task="second in the file")])
    run("migrate", "--progress", "none")
    (number,) = [row[0] for row in scene.query("SELECT id FROM quarantine WHERE reason = 'conflict'")]
    assert run("quarantine", "retry", number, "--take", "theirs").code == 1
    assert scene.tasks(ENGINE) == ["first in SQLite", "second in SQLite"]


def test_a_session_that_sqlite_deleted_comes_back_with_theirs(conflict, run):
    conflict.change("DELETE FROM sessions WHERE id = 's'")
    assert run("quarantine", "show", "1", "--json").json["in_sqlite"] is None
    outcome = run("quarantine", "retry", "1", "--take", "theirs", "--json")
    assert outcome.json["items"][0]["result"] == "restored"
    assert sorted(conflict.tasks(ENGINE)) == ["Weave", "Weave", "in the file"]


def test_if_it_is_unclear_which_session_is_meant_none_is_replaced(conflict, run):
    conflict.change("UPDATE quarantine SET source_id = NULL")
    for table in ("instances", "chat_messages"):
        conflict.change(f"DELETE FROM {table} WHERE session_id = 'z'")
    rescued = '{"columns": {"id": ["s#z", "s"]}}'
    conflict.change("UPDATE sessions SET id = 's#z', rescued_data = ? WHERE id = 'z'", rescued)
    outcome = run("quarantine", "retry", "1", "--take", "theirs", "--json")
    assert (outcome.code, outcome.codes) == (1, ["quarantine.ambiguous"])
    assert "--take both" in outcome.err
    assert conflict.tasks(ENGINE) == ["Weave", "in SQLite", "Weave"]
    assert run("quarantine", "show", "1", "--json").json["in_sqlite"] is None


def test_export_writes_every_item_as_it_is_private_and_overwrites_nothing(scene, run, tmp_path):
    scene.write_bytes(ENGINE, b'[{"id": "a"}, {"id": "\xff"}, {"n": NaN}]')
    run("migrate", "--progress", "none")
    target = tmp_path / "out"
    outcome = run("quarantine", "export", "--to", target, "--json")
    assert [Path(item["file"]).name for item in outcome.json["items"]] == ["1.json", "2.txt", "3.txt"]
    assert (target / "1.json").read_bytes() == b'{"id": "a"}'
    assert (target / "2.txt").read_bytes() == b'{"id": "\xff"}'
    assert {stat.S_IMODE(os.stat(file).st_mode) for file in target.iterdir()} == {0o600}
    again = run("quarantine", "export", "--to", target, "--json")
    assert (again.code, again.codes) == (1, ["file.exists"])
    assert "1.json" in again.err


def test_export_of_a_conflict_brings_the_versions_to_merge(conflict, run, tmp_path):
    assert run("quarantine", "export", "--to", tmp_path / "out").code == 0
    tasks = {file.name: json.loads(file.read_bytes())["task"] for file in (tmp_path / "out").iterdir()}
    assert tasks == {"1.json": "in the file", "1.base.json": "Weave", "1.sqlite.json": "in SQLite"}


@pytest.mark.parametrize("raw", [b'{"id": "b", "task": "precious"}', b'{"id": "b", "task": "precious \xff"}'])
def test_a_corrected_file_leaves_the_text_that_it_replaces_in_the_backups(raw, scene, run, tmp_path):
    scene.write_bytes(ENGINE, b"[" + raw + b"]")
    run("migrate", "--progress", "none")
    edited = tmp_path / "edited.json"
    edited.write_bytes(app_json([chat("other")]))
    (item,) = run("quarantine", "retry", "1", "--edited", edited, "--json").json["items"]
    assert item["result"] == "restored"
    [kept] = Path(item["kept"]).glob("original.*")
    assert kept.read_bytes() == raw
    assert kept.suffix == (".txt" if b"\xff" in raw else ".json")
    scene.write(ENGINE, [chat("other")])
    assert run("migrate").code == 0
    assert kept.read_bytes() == raw


def test_a_run_counts_what_is_listed_and_does_not_call_invalid_what_was_fixed(
    scene: Scene, migrator: Migrator, tmp_path: Path
) -> None:
    scene.write(ENGINE, [chat("a"), {"id": "invalid"}])
    scene.write("/w", [chat("c"), {"id": "other"}, {"id": "another"}])
    assert migrator("--data-dir", scene.root, "migrate").code == 3
    items = migrator("--data-dir", scene.root, "quarantine", "list", "--json").json["items"]
    [number] = [item["id"] for item in items if item["workspace_hash"] == hash_of(ENGINE)]
    (tmp_path / "fixed.json").write_text(json.dumps(chat("fixed")))
    edited = ("quarantine", "retry", str(number), "--edited", tmp_path / "fixed.json")
    assert migrator("--data-dir", scene.root, *edited).code == 0
    for documents in (None, [chat("a"), chat("new"), {"id": "invalid"}]):  # idle, then with a file that changed
        if documents:
            scene.write(ENGINE, documents)
        run = migrator("--data-dir", scene.root, "migrate", "--json")
        held = {found["hash"]: found["quarantined"] for found in run.json["workspaces"]}
        assert (run.code, run.codes) == (0, [])
        assert held == {hash_of(ENGINE): 0, hash_of("/w"): 2}
        assert run.json["totals"]["quarantined"] == 2


def test_an_item_whose_row_has_lost_its_values_is_listed(one_broken, run):
    with closing(sqlite3.connect(one_broken.database)) as damaged, damaged:
        damaged.execute("PRAGMA writable_schema = ON")
        damaged.execute("UPDATE sqlite_master SET sql = replace(sql, ' NOT NULL', '') WHERE name = 'quarantine'")
    with closing(sqlite3.connect(one_broken.database)) as damaged, damaged:
        damaged.execute("UPDATE quarantine SET reason = NULL, raw = NULL, problems = NULL")
    assert run("quarantine", "list").code == 0
    shown = run("quarantine", "show", "1", "--json")
    assert (shown.code, [problem["found"] for problem in shown.json["problems"]]) == (0, ["nothing"])
