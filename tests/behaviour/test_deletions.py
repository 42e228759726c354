"""Sessions that a file lost: counted, named, kept in quarantine; and held where they are too many to be deleted."""

import json
from pathlib import Path
from typing import Any

import pytest

import migrator
from migrator.inventory.deletions import is_held
from tests.support.command_line import Migrator, Outcome
from tests.support.scene import Document, Scene, chat, hash_of, parsed

WORKSPACE = "/home/dev/engine"
HASH = hash_of(WORKSPACE)
SIX = "abcdef"


def work(session_id: str, task: str = "as migrated") -> Document:
    return chat(session_id, task=task)


class Data:
    """A migrated data directory, and the program run on it."""

    def __init__(self, scene: Scene, call: Migrator) -> None:
        self.scene, self._call = scene, call
        self.write(SIX)
        assert self.run("migrate").code == 0

    def run(self, *arguments: str | Path) -> Outcome:
        return self._call("--data-dir", self.scene.root, *arguments)

    def write(self, ids: str, task: str = "as migrated") -> None:
        self.scene.write(WORKSPACE, [work(one, task) for one in ids])

    def merge(self, ids: str) -> Outcome:
        self.write(ids)
        return self.run("migrate", "--json")

    def ids(self) -> str:
        """The sessions in SQLite."""
        return "".join(document["id"] for document in self.scene.documents(HASH))

    def in_file(self) -> str:
        return "".join(document["id"] for document in parsed(self.scene.file_of(WORKSPACE).read_bytes()))

    def quarantined(self) -> dict[str, int]:
        rows = self.scene.query("SELECT raw, id FROM quarantine WHERE reason = 'deleted' ORDER BY id")
        return {json.loads(raw)["id"]: number for raw, number in rows}

    def held(self) -> list[str]:
        return [item["id"] for item in self.run("deletions", "list", "--json").json["items"]]


@pytest.fixture
def data(scene: Scene, migrator: Migrator) -> Data:
    return Data(scene, migrator)


def codes(messages: list[dict[str, Any]]) -> list[str]:
    return [message["code"] for message in messages]


@pytest.mark.parametrize(
    ("taken", "of", "held"),
    [(1, 1, False), (2, 2, True), (1, 2, False), (4, 5, False), (5, 9, True), (5, 10, False), (6, 11, True)],
)
def test_all_of_two_or_most_of_five_are_too_many_to_be_deleted_at_once(taken: int, of: int, held: bool) -> None:
    assert is_held(taken, of) is held


def test_a_deleted_session_is_counted_named_and_kept(data: Data) -> None:
    outcome = data.merge("acdef")
    assert outcome.code == 0
    assert (data.ids(), list(data.quarantined())) == ("acdef", ["b"])
    [deletion] = outcome.json["deletions"]
    assert (deletion["session_id"], deletion["held"], deletion["item"]) == ("b", False, data.quarantined()["b"])
    assert (outcome.json["totals"]["deleted"], outcome.json["totals"]["held"]) == (1, 0)
    assert outcome.json["workspaces"][0]["deleted"] == 1
    assert "'b'" in outcome.json["warnings"][0]
    assert outcome.json["errors"] == []
    status = data.run("status", "--json").json
    assert (status["deleted"], status["quarantined"], status["workspaces"][0]["deleted"]) == (1, 0, 1)
    assert [one["session_id"] for one in status["deletions"]] == ["b"]
    receipt = data.run("report", "--json").json
    assert (receipt["runs"][-1]["deleted"], receipt["totals"]["deleted_now"], receipt["totals"]["held_now"]) == (
        1,
        1,
        0,
    )
    assert [one["session_id"] for one in receipt["deletions"]] == ["b"]


def test_a_deleted_session_can_be_put_back_at_its_place(data: Data) -> None:
    data.merge("acdef")
    assert data.run("quarantine", "retry", "--all").code == 0
    assert data.ids() == "acdef"  # --all leaves deleted sessions where they are
    assert data.run("quarantine", "retry", "--all", "--reason", "deleted").code == 0
    assert data.ids() == SIX
    assert data.quarantined() == {}
    assert data.run("migrate").code == 0
    data.merge("acdefx")
    assert data.ids() == f"{SIX}x"  # the file that still lacks it does not delete it again
    assert data.run("verify").code == 0


def test_a_deleted_session_is_no_problem_and_goes_into_no_file(data: Data, tmp_path: Path) -> None:
    data.merge("acdef")
    assert data.run("migrate").code == 0
    assert data.run("verify").code == 0
    findings = data.run("doctor", "--json").json["findings"]
    assert [one for one in findings if one["subject"] == "quarantine" and one["level"] == "problem"] == []
    exported = data.run("export", "--to", tmp_path / "out", "--json")
    assert (exported.code, exported.json["workspaces"][0]["quarantined"]) == (0, 0)
    assert data.run("rollback", "--json").code == 0
    assert data.in_file() == "acdef"
    assert data.run("migrate").code == 0
    assert list(data.quarantined()) == ["b"]
    assert data.run("quarantine", "retry", str(data.quarantined()["b"])).code == 0
    assert "b" in data.ids()


def test_a_session_that_comes_back_leaves_the_quarantine(data: Data) -> None:
    data.merge("acdef")
    data.merge(SIX)
    assert sorted(data.ids()) == [*SIX]
    assert data.quarantined() == {}


def test_another_version_that_comes_back_leaves_the_deleted_one_in_quarantine(data: Data) -> None:
    data.merge("acdef")
    data.scene.write(WORKSPACE, [*(work(one) for one in "acdef"), work("b", "another")])
    data.run("migrate")
    assert (list(data.quarantined()), sorted(data.ids())) == (["b"], [*SIX])


def test_a_file_begun_anew_deletes_nothing_until_that_is_confirmed(data: Data) -> None:
    outcome = data.merge("x")
    assert outcome.code == 3
    assert data.ids() == f"{SIX}x"
    assert (outcome.json["totals"]["held"], outcome.json["workspaces"][0]["held"]) == (6, 6)
    assert codes(outcome.json["problems"]) == ["session.deletion_held"]
    assert data.held() == [*SIX]
    assert data.run("migrate").code == 0  # nothing has changed since
    assert data.merge("xy").code == 0  # the file still lacks them
    assert data.held() == [*SIX]
    status = data.run("status", "--json").json
    assert (status["held"], status["deleted"], status["workspaces"][0]["held"]) == (6, 0, 6)
    assert data.run("report", "--json").json["totals"]["held_now"] == 6
    assert data.run("verify").code == 0


def test_what_is_confirmed_goes_to_quarantine(data: Data) -> None:
    data.merge("x")
    decided = data.run("deletions", "confirm", "a", "b", "--json")
    assert decided.code == 0
    assert [(one["id"], one["result"]) for one in decided.json["items"]] == [("a", "deleted"), ("b", "deleted")]
    assert (data.ids(), data.held(), list(data.quarantined())) == ("cdefx", [*"cdef"], ["a", "b"])
    assert data.run("deletions", "confirm", "--all").code == 0
    assert (data.ids(), data.held(), [*data.quarantined()]) == ("x", [], [*SIX])
    assert data.run("quarantine", "retry", str(data.quarantined()["c"])).code == 0
    assert data.ids() == "cx"


def test_what_is_declined_stays_and_is_not_asked_again(data: Data) -> None:
    data.merge("x")
    assert data.run("deletions", "decline", "--all").code == 0
    assert (data.ids(), data.held()) == (f"{SIX}x", [])
    assert data.merge("xy").code == 0
    assert (data.ids(), data.held()) == (f"{SIX}xy", [])
    assert data.run("rollback").code == 0
    assert data.in_file() == f"{SIX}xy"


def test_a_rollback_writes_what_is_held(data: Data) -> None:
    data.write("x")
    outcome = data.run("rollback", "--json")  # it merges the file first
    assert outcome.code == 3
    assert data.in_file() == f"{SIX}x"
    assert data.held() == []
    assert data.run("migrate").code == 0
    assert data.ids() == f"{SIX}x"


def test_a_held_session_that_changes_is_not_held_any_more(data: Data) -> None:
    data.merge("x")
    data.scene.change("UPDATE sessions SET task = 'in SQLite' WHERE id = 'a'")
    data.scene.change("DELETE FROM sessions WHERE id = 'b'")
    assert data.held() == [*"cdef"]
    data.merge("xy")
    assert data.run("deletions", "confirm", "--all").code == 0
    assert data.ids() == "axy"
    assert data.run("deletions", "confirm", "a").code == 1


def test_a_held_session_that_comes_back_is_not_held_any_more(data: Data) -> None:
    data.merge("x")
    data.scene.write(WORKSPACE, [work("x"), work("a"), work("b", "in the file")])
    assert data.run("migrate").code == 0
    assert data.held() == [*"cdef"]
    assert (data.scene.tasks(WORKSPACE).count("in the file"), data.scene.conflicts()) == (1, [])


def test_what_both_sides_deleted_does_not_count(data: Data) -> None:
    for one in "cdef":
        data.scene.change("DELETE FROM sessions WHERE id = ?", one)
    assert data.merge("b").code == 0  # one of two
    assert (data.ids(), [*data.quarantined()]) == ("b", ["a"])


def test_the_search_index_follows(data: Data) -> None:
    data.scene.write(WORKSPACE, [work(one, f"word{one}") for one in SIX])
    data.run("migrate")

    def found(one: str) -> int:
        return len(data.run("sessions", "search", f"word{one}", "--json").json["sessions"])

    data.merge("x")
    assert found("a") == 1  # held
    data.run("deletions", "confirm", "a")
    assert (found("a"), found("b")) == (0, 1)
    data.run("quarantine", "retry", "--all", "--reason", "deleted")
    assert found("a") == 1
    assert data.run("verify").code == 0


def test_hybrid_mode_holds_and_decides_in_both_stores(data: Data) -> None:
    assert data.run("backend", "hybrid").code == 0
    outcome = data.merge("x")
    assert outcome.code == 3
    assert (data.ids(), data.held()) == (f"{SIX}x", [*SIX])
    assert data.run("deletions", "confirm", "a").code == 0
    assert data.run("deletions", "decline", "b").code == 0
    assert data.held() == [*"cdef"]
    assert data.run("deletions", "confirm", "--all").code == 0
    assert sorted(data.in_file()) == sorted(data.ids()) == [*"bx"]
    assert data.run("quarantine", "retry", str(data.quarantined()["a"])).code == 0
    assert sorted(data.in_file()) == sorted(data.ids()) == [*"abx"]
    assert data.run("migrate").code == 0
    assert data.run("verify").code == 0


def prune(data: Data, *more: str) -> tuple[list[str], dict[str, str]]:
    """Remove what may be removed: the newest backup is an empty one."""
    newest = data.scene.root / "backups" / "99990101T000000Z-x"
    newest.mkdir(exist_ok=True)
    (newest / "manifest.json").write_text('{"sequence": 99, "format": 1, "created_at": "9999", "files": []}')
    pruned = data.run("backups", "prune", "--keep", "1", *more, "--json")
    assert pruned.code == 0
    return pruned.json["removed"], pruned.json["kept"]


def test_prune_keeps_what_is_nowhere_else_and_names_it(data: Data) -> None:
    first = data.run("backups", "list", "--json").json["backups"][0]["name"]
    data.scene.change("DELETE FROM sessions WHERE id = 'b'")
    data.write("acdef")
    data.run("migrate")
    removed, kept = prune(data)
    assert removed == []
    assert "'b'" in kept[first]
    removed, kept = prune(data, "--discard-last-copies")
    assert removed == [first]


def test_prune_removes_what_is_held_or_in_quarantine(data: Data) -> None:
    first = data.run("backups", "list", "--json").json["backups"][0]["name"]
    data.merge("x")
    data.run("deletions", "confirm", "a")
    assert prune(data)[0] == [first]
    assert (data.ids(), [*data.quarantined()]) == ("bcdefx", ["a"])


def test_prune_looks_into_copies_of_databases(data: Data) -> None:
    data.run("rollback")
    data.run("migrate")
    [copy] = [one["name"] for one in data.run("backups", "list", "--json").json["backups"] if one["kind"] == "database"]
    data.scene.change("DELETE FROM sessions WHERE id = 'b'")
    data.write("acdefx")
    data.run("migrate")
    before = data.scene.listing()
    _, kept = prune(data, "--dry-run")
    assert "'b'" in kept[copy]
    assert {*data.scene.listing()} - {*before} == {
        "backups/99990101T000000Z-x",
        "backups/99990101T000000Z-x/manifest.json",
    }


def test_prune_knows_a_truncated_session_by_its_id(data: Data) -> None:
    whole = data.scene.file_of(WORKSPACE).read_bytes()
    data.scene.write_bytes(WORKSPACE, whole[:-300])
    data.run("migrate")
    data.merge(f"{SIX}x")
    data.merge(f"{SIX}xy")
    assert len(prune(data)[0]) == 3


@pytest.mark.parametrize("decision", ["confirm", "decline"])
def test_wrong_calls_change_nothing(data: Data, decision: str) -> None:
    data.merge("x")
    assert data.run("deletions", decision).code == 2
    assert data.run("deletions", decision, "a", "--all").code == 2
    failed = data.run("deletions", decision, "a", "nothing", "--json")
    assert (failed.code, codes(failed.json["problems"])) == (1, ["session.not_held"])
    assert data.held() == [*SIX]


def test_a_program_decides_as_the_commands_do(data: Data) -> None:
    data.merge("x")
    held = migrator.list_deletions(data.scene.root)
    assert [item.id for item in held.items] == [*SIX]
    assert held.items[0].messages == 1
    confirmed = migrator.confirm_deletions(["a"], data.scene.root)
    assert [(item.session_id, item.result) for item in confirmed.items] == [("a", "deleted")]
    declined = migrator.decline_deletions(None, data.scene.root)
    assert {item.result for item in declined.items} == {"kept"}
    assert (data.ids(), data.held()) == ("bcdefx", [])
    with pytest.raises(migrator.MigratorError) as refused:
        migrator.confirm_deletions(["b"], data.scene.root)
    assert refused.value.code == "session.not_held"


def test_the_doctor_names_what_waits_without_a_problem(data: Data) -> None:
    data.merge("x")
    data.run("deletions", "confirm", "a")
    findings = data.run("doctor", "--json").json["findings"]
    found = [(one["code"], one["level"]) for one in findings if one["subject"] == "deletions"]
    assert found == [("session.deletion_held", "note"), ("quarantine.deleted_remain", "note")]


def test_a_schema_with_deleted_sessions_is_not_reverted(data: Data) -> None:
    data.merge("acdef")
    assert data.run("rollback").code == 0
    refused = data.run("schema", "revert", "--json")
    assert codes(refused.json["problems"]) == ["schema.holds_deleted"]
