"""Everything that ``--json`` reports as an error or as broken has a code, and its hint apart from its message."""

import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from tests.support.command_line import Migrator, Outcome
from tests.support.scene import FIXTURES, Scene, app_inserts, app_json, chat, copy_fixture

ENGINE = "/home/dev/engine"
CODE = re.compile(r"[a-z_]+\.[a-z0-9_]+")
COMMAND = re.compile(r"'migrator [a-z]|\b(Run|Use|Pass) '")


def require_problems(outcome: Outcome) -> None:
    """Check the object that a command printed, and the last event."""
    for printed in printed_objects(outcome):
        texts = printed.get("errors", printed.get("broken"))
        if texts is None:
            continue
        problems = printed["problems"]
        assert len(problems) == len(texts), texts
        for text, problem in zip(texts, problems, strict=True):
            assert set(problem) == {"code", "message", "hint"}
            assert text == " ".join(filter(None, (problem["message"], problem["hint"])))
            assert CODE.fullmatch(problem["code"]), problem
            assert not COMMAND.search(problem["message"]), problem  # what to do is in the hint
    for finding in outcome_members(outcome, "findings"):
        assert CODE.fullmatch(finding["code"]), finding


def printed_objects(outcome: Outcome) -> Iterator[dict[str, Any]]:
    yield outcome.json
    yield from (json.loads(line) for line in outcome.err.splitlines() if line.startswith('{"event": "finished"'))


def outcome_members(outcome: Outcome, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = outcome.json.get(name, [])
    return found


def fixture(scene: Scene) -> None:
    scene.root.rmdir()
    copy_fixture(scene.root)


def damaged_files(scene: Scene) -> None:
    """Every damaged file of the fixtures, and a name that is not a hash."""
    for number, file in enumerate(sorted((FIXTURES / "damaged").glob("*.json"))):
        (scene.root / "sessions").mkdir(exist_ok=True)
        (scene.root / "sessions" / f"{number:016x}.json").write_bytes(file.read_bytes())
    scene.write(ENGINE, [chat("a"), *({"id": f"broken-{number}"} for number in range(9))])
    (scene.root / "sessions" / "notes.json").write_bytes(b"[]")


def two_failed_files(scene: Scene) -> None:
    """Two truncated files of one workspace."""
    scene.write_bytes(ENGINE, app_json([chat("a"), chat("b")])[:-40])
    older = scene.root / "sessions.json"
    older.write_bytes(app_json([chat("c")])[:-40])


SCENES = {"fixture": fixture, "damaged": damaged_files, "failed": two_failed_files}
COMMANDS = (
    ("migrate", "--progress", "jsonl"),
    ("status",),
    ("verify", "--progress", "jsonl"),
    ("doctor",),
    ("export", "--to", "exported"),
    ("export", "--to", "exported"),  # the names are taken
    ("quarantine", "retry", "--all"),
    ("quarantine", "show", "9999"),
    ("sessions", "show", "unknown"),
    ("sesions", "list"),
    ("migrate", "--dry-runs"),
    ("migrate", "--data-dir", "x"),
    ("backend",),
    ("backend", "hybrid"),
    ("backups", "verify"),
    ("schema", "check"),
    ("schema", "revert"),
    ("backend", "sqlite"),
    ("search-index", "status"),
    ("rollback", "--progress", "jsonl"),
    ("search-index", "build"),
    ("backend", "json"),
    ("migrate", "--strict"),
    ("verify",),
)


@pytest.mark.parametrize("prepare", SCENES.values(), ids=SCENES)
def test_every_error_of_every_command_has_a_code(prepare, scene, migrator, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    prepare(scene)
    for arguments in COMMANDS:
        require_problems(migrator("--data-dir", scene.root, *arguments, "--json"))


def test_every_error_about_conflicts_and_damage_after_the_migration_has_a_code(scene: Scene, migrator: Migrator):
    def run(*arguments: str) -> Outcome:
        outcome = migrator("--data-dir", scene.root, *arguments, "--json")
        require_problems(outcome)
        return outcome

    scene.write(ENGINE, [chat("a"), chat("b"), chat("c")])
    run("migrate")
    scene.change("UPDATE sessions SET task = 'changed in SQLite' WHERE id <> 'c'")
    scene.write(ENGINE, [chat("a", task="changed in the file"), chat("c"), {"id": "broken"}])
    assert run("migrate", "--progress", "jsonl").codes
    run("quarantine", "list")
    scene.change("UPDATE sessions SET rescued_data = 'x' WHERE id = 'c'")
    scene.change("UPDATE migration_ledger SET session_count = 77")
    next((scene.root / "backups").glob("*/sessions/*.json")).write_bytes(b"damaged")
    (scene.root / "storage.json").write_text('{"backend": "json"}', encoding="utf-8")
    assert run("verify").codes
    assert run("backups", "verify").codes
    run("doctor")
    run("backups", "restore", "unknown")
    assert run("rollback").codes
    with closing(sqlite3.connect(scene.database)) as connection, connection:
        app_inserts(connection, ENGINE, "late", "written after the rollback", "msg-late")
    scene.change("UPDATE sessions SET task = 'late' WHERE id = 'a'")
    run("migrate")
    scene.database.write_bytes(b"not a database" * 400)
    for command in ("status", "verify", "doctor", "migrate", "rollback", "backend"):
        run(command)
    scene.database.unlink()
    for command in ("status", "verify", "doctor", "migrate", "backend", "backend json"):
        run(*command.split())
