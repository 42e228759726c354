"""``quarantine dismiss`` takes items out for good; a truncated end goes by itself once its session is whole."""

import json
from pathlib import Path

import pytest

from migrator import resolve_data_dir
from migrator.quarantine.dismiss import dismiss
from tests.support.command_line import Migrator
from tests.support.scene import Scene, app_json, chat, parsed

ENGINE = "/home/dev/engine"
BROKEN = chat("b") | {"status": 5, "task": "precious"}


@pytest.fixture
def broken(scene: Scene, migrator: Migrator) -> Scene:
    scene.write(ENGINE, [chat("a"), BROKEN, chat("c")])
    assert migrator("--data-dir", scene.root, "migrate").code == 3
    return scene


def held(scene: Scene) -> list[str]:
    return [reason for (reason,) in scene.query("SELECT reason FROM quarantine ORDER BY id")]


def test_the_text_goes_to_a_folder_and_a_rollback_writes_the_file_without_it(broken: Scene, migrator: Migrator) -> None:
    [(raw,)] = broken.query("SELECT raw FROM quarantine")
    [item] = migrator("--data-dir", broken.root, "quarantine", "dismiss", "1", "--json").json["items"]
    assert (item["id"], item["reason"]) == (1, "invalid")
    kept = Path(item["file"])
    assert kept.parent == broken.root / "dismissed"
    assert kept.read_text() == raw
    assert kept.stat().st_mode & 0o077 == 0
    assert held(broken) == []
    assert migrator("--data-dir", broken.root, "migrate").code == 0
    assert held(broken) == []
    verified = migrator("--data-dir", broken.root, "verify", "--json").json
    assert (verified["status"], verified["notes"]) == ("clean", [])
    assert migrator("--data-dir", broken.root, "rollback").code == 0
    assert [document["id"] for document in parsed(broken.file_of(ENGINE).read_bytes())] == ["a", "c"]
    assert kept.exists()


def test_it_stays_out_where_its_file_changes(broken: Scene, migrator: Migrator) -> None:
    migrator("--data-dir", broken.root, "quarantine", "dismiss", "--all")
    broken.write(ENGINE, [chat("a"), BROKEN, chat("c"), chat("d")])
    assert migrator("--data-dir", broken.root, "migrate").code in (0, 3)
    assert held(broken) == []
    assert migrator("--data-dir", broken.root, "rollback").code == 0
    assert [document["id"] for document in parsed(broken.file_of(ENGINE).read_bytes())] == ["a", "c", "d"]


def test_the_text_goes_to_a_file_that_is_named_and_never_over_another(
    broken: Scene, migrator: Migrator, tmp_path: Path
) -> None:
    target = tmp_path / "b.json"
    target.write_text("mine")
    outcome = migrator("--data-dir", broken.root, "quarantine", "dismiss", "1", "--to", target, "--json")
    assert (outcome.code, outcome.codes) == (1, ["file.exists"])
    assert (held(broken), target.read_text()) == (["invalid"], "mine")
    target.unlink()
    assert migrator("--data-dir", broken.root, "quarantine", "dismiss", "1", "--to", target).code == 0
    assert json.loads(target.read_text()) == BROKEN
    assert not (broken.root / "dismissed").exists()


def test_a_text_that_is_discarded_is_kept_nowhere_but_where_it_was(broken: Scene, migrator: Migrator) -> None:
    before = {path for path in broken.root.rglob("*") if path.is_file() and b"precious" in path.read_bytes()}
    report = dismiss(resolve_data_dir(broken.root), every=True, reason="invalid", discard=True)
    assert [item.file for item in report.items] == [None]
    assert held(broken) == []
    assert {path for path in broken.root.rglob("*") if path.is_file() and b"precious" in path.read_bytes()} <= before


def test_deleted_sessions_are_taken_out_only_if_they_are_meant(scene: Scene, migrator: Migrator) -> None:
    scene.write(ENGINE, [chat("a"), chat("b", text="private"), chat("c")])
    assert migrator("--data-dir", scene.root, "migrate").code == 0
    scene.write(ENGINE, [chat("a"), chat("c")])
    migrator("--data-dir", scene.root, "migrate")
    assert held(scene) == ["deleted"]
    migrator("--data-dir", scene.root, "quarantine", "dismiss", "--all", "--discard")
    assert held(scene) == ["deleted"]
    assert migrator("--data-dir", scene.root, "rollback").code == 0
    assert (
        migrator("--data-dir", scene.root, "quarantine", "dismiss", "--all", "--reason", "deleted", "--discard").code
        == 0
    )
    assert held(scene) == []
    assert not (scene.root / "dismissed").exists()


def test_after_a_rollback_only_what_no_file_has_can_be_taken_out(broken: Scene, migrator: Migrator) -> None:
    assert migrator("--data-dir", broken.root, "rollback").code == 3
    outcome = migrator("--data-dir", broken.root, "quarantine", "dismiss", "1", "--json")
    assert (outcome.code, outcome.codes) == (1, ["store.not_authoritative"])
    assert migrator("--data-dir", broken.root, "quarantine", "dismiss", "--all", "--json").json["items"] == []
    assert held(broken) == ["invalid"]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ([], "option.missing"),
        (["1", "--all"], "option.conflict"),
        (["1", "--reason", "torn"], "option.conflict"),
        (["--all", "--to", "x"], "option.conflict"),
        (["1", "--to", "x", "--discard"], "option.conflict"),
        (["99"], "quarantine.not_found"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(
    arguments: list[str], code: str, broken: Scene, migrator: Migrator
) -> None:
    assert migrator("--data-dir", broken.root, "quarantine", "dismiss", *arguments, "--json").codes == [code]
    assert held(broken) == ["invalid"]


WHOLE = app_json([chat("a"), chat("b", text='a long text — with "quotes"', task="Weave")])


@pytest.mark.parametrize("cut", range(WHOLE.index(b'"b"') + 4, len(WHOLE) - 4, 37))
def test_a_truncated_end_goes_once_the_file_has_its_session_whole(cut: int, scene: Scene, migrator: Migrator) -> None:
    scene.write_bytes(ENGINE, WHOLE[:cut])
    migrator("--data-dir", scene.root, "migrate", "--salvage")
    assert held(scene) == ["torn"]
    whole = json.loads(WHOLE)
    whole[1] |= {"status": "failed", "updatedAt": "2026"}
    scene.write(ENGINE, whole)
    assert migrator("--data-dir", scene.root, "migrate").code == 0
    assert held(scene) == []
    assert scene.tasks(ENGINE)[1] == "Weave"


def test_a_truncated_end_stays_where_the_session_lacks_something_of_it(scene: Scene, migrator: Migrator) -> None:
    scene.write_bytes(ENGINE, WHOLE[: WHOLE.index(b"a long text") + 20])
    migrator("--data-dir", scene.root, "migrate", "--salvage")
    scene.write(ENGINE, [chat("a"), chat("b", text="another text", task="Weave")])
    migrator("--data-dir", scene.root, "migrate")
    assert held(scene) == ["torn"]
