"""docs/json-output.md lists the members that each command prints, no more and no fewer."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from migrator.browse import serve
from tests.cli.test_hostile_text import CHANGING, LOOKING
from tests.support.command_line import Migrator
from tests.support.scene import CHECKOUT, Scene, copy_fixture

PAGE = (CHECKOUT / "docs" / "json-output.md").read_text(encoding="utf-8")
SCHEMA = json.loads((CHECKOUT / "schemas" / "json" / "session.schema.json").read_text(encoding="utf-8"))
SESSION_MEMBERS = SCHEMA["$defs"]["session"]["properties"]
SAME_AS = {"search-index build": "search-index status", "search-index drop": "search-index status"} | {
    "schema revert": "schema apply",
    "deletions decline": "deletions confirm",
}
ELSEWHERE = {"report", "completion", "help"}  # the first has a schema of its own, the others print no JSON


def documented() -> dict[str, set[str]]:
    """The members that the page lists, by command: ``a``, ``a[]`` for a list of objects, ``a[].b`` in each of them."""
    found = {}
    for section in PAGE.split("\n## migrator ")[1:]:
        command, _, text = section.partition("\n")
        rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
        found[command] = {name for cell in rows for name in re.findall("`([^`]+)`", cell)}
    found["quarantine show"] |= {
        name.removeprefix("items[].") for name in found["quarantine list"] if name.startswith("items[].")
    }
    return found


def differences(printed: dict[str, Any], members: set[str], before: str = "") -> list[str]:
    """Return the members that are printed but not listed, and those that are listed but not printed."""
    seen, wrong = set(), []
    for name, value in printed.items():
        path = before + name
        if path in members:
            seen.add(path)
        elif f"{path}[]" in members:
            seen.add(f"{path}[]")
            within = {member for member in members if member.startswith(f"{path}[].")}
            wrong += [each for item in value for each in differences(item, within, f"{path}[].")]
        elif not (before == "sessions[]." and name in SESSION_MEMBERS):
            wrong.append(f"{path} is not listed")
    return wrong + [f"{member} is not there" for member in members - seen if member.count(".") == before.count(".")]


Call = Callable[..., dict[str, Any]]


@pytest.fixture
def call(scene: Scene, migrator: Migrator) -> Call:
    """Runs a command on the fixture, which is migrated unless that is the command."""
    scene.root.rmdir()
    copy_fixture(scene.root)

    def run(command: str, *more: str | Path) -> dict[str, Any]:
        outcome = migrator("--data-dir", scene.root, *command.split(), *more, "--json")
        assert outcome.code in (0, 3), outcome
        printed: dict[str, Any] = outcome.json
        return printed

    return run


def test_the_page_lists_every_command() -> None:
    known = (LOOKING.keys() | CHANGING.keys()) - ELSEWHERE
    listed = {command for command, members in documented().items() if members}
    assert listed | SAME_AS.keys() == known
    assert set(SAME_AS.values()) <= listed


def test_the_page_lists_what_each_command_prints(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "serve_database", lambda _place, _port, ready: ready("http://127.0.0.1:1/"))
    printed = {"migrate": call("migrate")}
    session = call("sessions list", "--limit", "1")["sessions"][0]["id"]
    (backup,) = [each["name"] for each in call("backups list")["backups"]]
    more: dict[str, list[str | Path]] = {
        "sessions show": [session],
        "sessions search": ["flaky"],
        "quarantine show": ["1"],
        "quarantine retry": ["--all"],
        "quarantine dismiss": ["3"],
        "quarantine export": ["--to", tmp_path / "items"],
        "deletions confirm": ["--all"],
        "deletions decline": ["--all"],
        "export": ["--to", tmp_path / "exported"],
        "backups prune": ["--keep", "1"],
        "backups restore": [backup, "--overwrite-newer-work"],
        "backend": ["hybrid"],
    }
    last = ["backend", "rollback", "backups restore", "schema apply", "schema revert"]
    for command in sorted((LOOKING.keys() | CHANGING.keys()) - ELSEWHERE - {"migrate"} - set(last)) + last:
        printed[command] = call(command, *more.get(command, []))
    members = documented()
    wrong = {command: differences(printed[command], members[SAME_AS.get(command, command)]) for command in printed}
    assert {command: found for command, found in wrong.items() if found} == {}


def test_a_failure_is_printed_as_the_page_shows_it(scene: Scene, migrator: Migrator) -> None:
    (shown,) = re.findall('^{"status".*}$', PAGE, re.MULTILINE)
    outcome = migrator("--data-dir", scene.root, "backups", "restore", "nothing", "--json")
    assert outcome.json.keys() == json.loads(shown).keys()
    assert outcome.json["exit_code"] == outcome.code


def test_a_member_too_many_or_too_few_is_found() -> None:
    members = {"a", "b[]", "b[].c", "d"}
    assert differences({"a": 1, "b": [{"c": 1}], "d": None}, members) == []
    assert differences({"a": 1, "b": [], "d": None}, members) == []
    assert differences({"b": [{}], "d": {}, "e": 1}, members) == [
        "b[].c is not there",
        "e is not listed",
        "a is not there",
    ]
    assert differences({"a": 1, "b": [{"c": 1, "x": 2}], "d": 0}, members) == ["b[].x is not listed"]
