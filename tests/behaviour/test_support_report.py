"""The support report describes the state, and contains no word that the user or their programs wrote."""

import importlib.metadata
import json
import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from migrator import open_storage
from migrator.diagnostics.redaction import Redaction, place_of
from migrator.workspace import hash_of_text
from tests.support.command_line import Migrator
from tests.support.scene import CHECKOUT, Scene, app_json, chat
from tests.support.strategies import instance, message

MARK = "quuxle"  # part of every planted word, and of nothing that migrator says
WORKSPACE = f"/home/{MARK}user/{MARK}project"
_HASH = re.compile("#[0-9a-f]{12}")


def word(where: str) -> str:
    return f"{MARK}{where}"


def marked(session_id: str = word("id"), **members: Any) -> dict[str, Any]:
    """A session with a planted word wherever one can stand."""
    return chat(
        session_id,
        workspace=WORKSPACE,
        task=word("task"),
        createdAt=word("created"),
        updatedAt=word("updated"),
        model=word("model"),
        runtimeMix=[word("runtime")],
    ) | {
        "instances": [
            instance(
                worktreePath=f"{WORKSPACE}/.worktrees/{word('worktree')}/instance-1",
                branch=word("branch"),
                agentName=word("agent"),
                status=word("instancestatus"),
                tmuxSessionId=word("tmux"),
                output=word("output"),
            )
            | {word("instancemember"): word("value")}
        ],
        "chatHistory": [message(id=word("message"), content=word("content"), timestamp=word("timestamp"))],
        word("member"): {word("inner"): [word("deep")]},
        **members,
    }


@pytest.fixture
def place(tmp_path: Path) -> Scene:
    """A data directory whose own path is marked."""
    root = tmp_path / word("home") / ".ait42"
    root.mkdir(parents=True)
    return Scene(root)


@pytest.fixture
def planted(place: Scene, tmp_path: Path) -> Scene:
    """Before any migration: words in sessions of every kind, in file names, in invalid sessions and in invalid JSON."""
    twice = f'{{"{word("twice")}": 1, "{word("twice")}": 2}}'.encode()
    content = app_json([marked(), marked(word("badstatus"), winnerId=word("winner")), {word("stranger"): word("x")}])
    place.write_bytes(WORKSPACE, content[:-2] + b",\n  " + twice + b"\n]")
    sessions = place.root / "sessions"
    (sessions / f"{word('filename')}.json").write_text("[]")
    (sessions / "00000000000000aa.json").write_bytes(app_json([marked()])[:-40])
    (sessions / "00000000000000bb.json").write_text(word("nojson"))
    (sessions / "00000000000000cc.json").symlink_to(tmp_path / word("nothing"))
    (sessions / "00000000000000dd.json").mkdir()
    (place.root / "sessions.json").write_bytes(app_json([marked(word("shared"))]))
    (place.root / "workspace_mapping.json").write_text(json.dumps({word("key"): word("mapped"), "0" * 16: WORKSPACE}))
    return place


@pytest.fixture
def migrator_there(planted: Scene, migrator: Migrator) -> Migrator:
    return lambda *arguments: migrator("--data-dir", planted.root, *arguments)


@pytest.fixture
def migrated(planted: Scene, migrator_there: Migrator, tmp_path: Path) -> Scene:
    """After one: words in the database, its ledger and quarantine, in backups and leftovers, and in settings."""
    assert migrator_there("migrate", "--progress", "none").code == 3
    planted.change("UPDATE migration_ledger SET error = ? WHERE error IS NOT NULL AND id % 2", word("error"))
    planted.change("UPDATE quarantine SET problems = ? WHERE id = 1", word("problems"))
    planted.change("UPDATE migration_metadata SET json_backup_path = ?", word("backuppath"))
    planted.change(f"CREATE TABLE {word('table')} (x)")
    backups = planted.root / "backups"
    (backups / word("stranger")).write_text(word("text"))
    damaged = backups / f"20250101T000000Z-{word('backup')}"
    damaged.mkdir()
    (damaged / "manifest.json").write_text(json.dumps({"created_at": word("when"), "files": [{"file": word("file")}]}))
    (planted.root / f"sessions.db.staging-{word('left')}").write_text(word("half"))
    (planted.root / f".rollback-{word('left')}").mkdir()
    os.chmod(planted.root / "backups", 0o755)
    return planted


def report_of(scene: Scene, migrator: Migrator, target: Path, *options: str | Path) -> tuple[str, Any]:
    outcome = migrator("--data-dir", scene.root, *options, "doctor", "--report", target)
    assert outcome.code in (0, 2, 3), outcome.err
    text = target.read_text(encoding="ascii")
    return text, json.loads(text)


def texts_in(facts: Any) -> Iterator[str]:
    if isinstance(facts, dict):
        for name, value in facts.items():
            yield name
            yield from texts_in(value)
    elif isinstance(facts, list):
        for value in facts:
            yield from texts_in(value)
    elif isinstance(facts, str):
        yield facts


def assert_nothing_leaks(text: str) -> None:
    assert MARK not in text.lower()
    assert hash_of_text(WORKSPACE) not in text  # which could be computed for a guessed path


def test_every_planted_word_is_really_there(migrated, planted):
    everything = b"".join(path.read_bytes() for path in migrated.root.rglob("*") if path.is_file())
    names = "".join(str(path) for path in migrated.root.rglob("*"))
    assert everything.count(MARK.encode()) > 100
    assert names.count(MARK) > 10


def test_every_package_that_migrator_needs_is_in_the_report_with_its_version(place, migrator, tmp_path):
    assert migrator("--data-dir", place.root, "doctor", "--report", tmp_path / "report.json").code == 0
    packages = json.loads((tmp_path / "report.json").read_bytes())["packages"]
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = {re.split(r"[^\w-]", line)[0] for line in project["dependencies"]} | {"apsw"}  # which the tests bring
    assert {name: importlib.metadata.version(name) for name in names} == packages


def test_no_planted_word_is_in_the_report_before_a_migration(planted, migrator, tmp_path):
    text, report = report_of(planted, migrator, tmp_path / "report.json")
    assert_nothing_leaks(text)
    assert report["files"]["pending"] == 6
    assert report["files"]["others"] == [{"code": "source.invalid_name"}]


def test_no_planted_word_is_in_the_report_after_a_migration(migrated, migrator, tmp_path):
    text, report = report_of(migrated, migrator, tmp_path / "report.json")
    assert_nothing_leaks(text)
    assert report["quarantine"]["count"] == 3
    assert [backup["state"] for backup in report["backups"]] == ["damaged", "unknown"]
    assert report["surroundings"] == {"leftovers": 2, "strangers": 1, "too_open": 4}


def test_no_planted_word_is_in_the_report_while_both_stores_run(planted, migrator_there, migrator, tmp_path):
    migrator_there("migrate", "--progress", "none")
    assert migrator_there("backend", "hybrid", "--progress", "none").code in (0, 3)
    with open_storage(planted.root) as store:
        store.update_instance_status(WORKSPACE, word("id"), 1, word("newstatus"))
    text, report = report_of(planted, migrator, tmp_path / "report.json")
    assert_nothing_leaks(text)
    assert report["trial"]["writes"] == 1


def test_no_planted_word_is_in_the_report_after_a_rollback(migrated, migrator_there, migrator, tmp_path):
    migrator_there("rollback", "--progress", "none")
    text, report = report_of(migrated, migrator, tmp_path / "report.json")
    assert_nothing_leaks(text)
    assert report["workspaces"]["migration_status"] == "rolled_back"


def test_a_conflict_reveals_no_word(place, migrator, tmp_path):
    place.write(WORKSPACE, [marked()])
    migrator("--data-dir", place.root, "migrate", "--progress", "none")
    place.change("UPDATE sessions SET task = ?", word("ours"))
    place.write(WORKSPACE, [marked(task=word("theirs"))])
    migrator("--data-dir", place.root, "migrate", "--progress", "none")
    text, report = report_of(place, migrator, tmp_path / "report.json")
    assert_nothing_leaks(text)
    assert report["quarantine"]["first"][0]["reason"] == "conflict"


@pytest.mark.parametrize("content", [word("nodatabase").encode() * 200, b"SQLite format 3\0" + b"\xff" * 4000])
def test_a_file_that_is_not_a_database_is_reported_without_its_name(place, migrator, tmp_path, content):
    place.database.write_bytes(content)
    text, report = report_of(place, migrator, tmp_path / "report.json")
    assert_nothing_leaks(text)
    assert report["database"]["error"]["type"] == "ConnectionFailed"
    assert report["database"]["error"]["because"]["type"].endswith("Error")


def test_an_invalid_flag_reveals_no_word(migrated, migrator, tmp_path):
    (migrated.root / "storage.json").write_text(json.dumps({"backend": word("flag"), "x": word("x")}))
    text, report = report_of(migrated, migrator, tmp_path / "report.json")
    assert_nothing_leaks(text)
    assert report["data_directory"]["backend"] is None


def test_a_database_elsewhere_is_reported_without_its_name(planted, migrator, tmp_path):
    elsewhere = tmp_path / word("elsewhere.db")
    migrator("--data-dir", planted.root, "--database", elsewhere, "migrate", "--progress", "none")
    text, report = report_of(planted, migrator, tmp_path / "report.json")
    assert_nothing_leaks(text)
    assert report["database"]["in_data_directory"] is False


def test_settings_are_reported_by_name_alone(planted, migrator, tmp_path, monkeypatch):
    monkeypatch.setenv("AIT42_DATA_DIR", str(planted.root))
    text, report = report_of(planted, migrator, tmp_path / "report.json")
    assert_nothing_leaks(text)
    assert report["settings"]["AIT42_DATA_DIR"] is True


def test_a_missing_data_directory_is_a_report_too(migrator, tmp_path):
    text, report = report_of(Scene(tmp_path / word("missing")), migrator, tmp_path / "report.json")
    assert_nothing_leaks(text)
    assert report["data_directory"]["error"]["errno"] == "ENOENT"


def test_the_report_says_how_things_stand(migrated, migrator, tmp_path):
    _, report = report_of(migrated, migrator, tmp_path / "report.json")
    assert report["workspaces"]["authority"] == "sqlite"
    assert report["database"]["sessions"] == 2
    codes = {file["code"] for file in report["files"]["first"]}
    assert codes >= {"source.broken_link", "source.not_a_file"}
    problems = [problem for item in report["quarantine"]["first"] for problem in item["problems"]]
    assert "document.invalid" in {problem["code"] for problem in problems}
    finding = {"level": "problem", "subject": "quarantine", "code": "quarantine.waiting"}
    finding |= {"command": "migrator quarantine list"}
    assert finding in report["findings"]


def test_a_name_has_the_same_hash_throughout_a_report_and_another_in_the_next(migrated, migrator, tmp_path):
    _, first = report_of(migrated, migrator, tmp_path / "first.json")
    _, second = report_of(migrated, migrator, tmp_path / "second.json")
    names = [file["name"] for file in first["files"]["first"]]
    assert names == [file["ledger"]["name"] for file in first["files"]["first"]]
    assert not set(names) & {file["name"] for file in second["files"]["first"]}


def test_the_report_is_private_and_overwrites_nothing(planted, migrator, tmp_path):
    target = tmp_path / "report.json"
    report_of(planted, migrator, target)
    assert target.stat().st_mode & 0o777 == 0o600
    before = target.read_bytes()
    again = migrator("--data-dir", planted.root, "doctor", "--report", target, "--json")
    assert again.code == 1
    assert [problem["code"] for problem in again.json["problems"]] == ["file.exists"]
    assert target.read_bytes() == before


def test_writing_a_report_changes_nothing_in_the_data_directory(migrated, migrator, tmp_path):
    before = migrated.listing()
    report_of(migrated, migrator, tmp_path / "report.json")
    assert migrated.listing() == before


def test_json_names_the_report(planted, migrator, tmp_path):
    outcome = migrator("--data-dir", planted.root, "doctor", "--json", "--report", tmp_path / "report.json")
    assert outcome.json["report"] == str(tmp_path / "report.json")


def test_a_text_is_let_through_only_under_a_member_that_knows_it():
    redaction = Redaction()
    facts = {"state": "new", "name": "new", "level": ["ok", "new"], "unheard_of": "ok", "count": 3, "own": True}
    redacted = redaction.redacted(facts)
    assert [redacted[name] for name in ("state", "count", "own")] == ["new", 3, True]
    assert redacted["level"][0] == "ok"
    for hidden in (redacted["name"], redacted["level"][1], redacted["unheard_of"]):
        assert _HASH.fullmatch(hidden)
    assert redacted["name"] == redacted["level"][1] == redaction.hashed("new")


def test_half_of_a_surrogate_pair_has_a_hash_too():
    assert _HASH.fullmatch(Redaction().hashed("\ud800"))


def test_of_a_pointer_only_our_members_and_the_indexes_of_our_arrays_are_reported():
    assert place_of("/instances/3/branch") == ["instances", 3, "branch"]
    assert place_of("/0612345678/instances/5") == ["0612345678", "instances", "5"]
    shown = Redaction().redacted({"where": place_of("/instances/12345678/branch")})["where"]
    assert shown[0] == "instances"
    assert _HASH.fullmatch(shown[1])


def test_every_finding_of_the_doctor_is_reported_by_its_subject(migrated, migrator, tmp_path):
    _, report = report_of(migrated, migrator, tmp_path / "report.json")
    assert not [text for finding in report["findings"] for text in texts_in(finding) if _HASH.fullmatch(text)]
