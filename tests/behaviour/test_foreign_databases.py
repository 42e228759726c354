"""What is in the database's place is of another program, of an earlier branch of the app, or stored differently."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from migrator import open_storage
from migrator.errors import SchemaError
from tests.support.branch_database import make_branch_database
from tests.support.command_line import Migrator
from tests.support.errors import raises
from tests.support.scene import Scene, chat

ENGINE = "/home/dev/engine"
COMMANDS = (["status"], ["verify"], ["migrate"], ["migrate", "--dry-run"], ["schema", "status"], ["schema", "apply"],
            ["sessions", "list", "--workspace", ENGINE], ["export", "--to", "out"], ["rollback"])  # fmt: skip


def other_program(path: Path, *, metadata: bool) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE users (name TEXT)")
        if metadata:
            connection.execute("CREATE TABLE migration_metadata (applied TEXT)")


def with_utf16(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA encoding = 'UTF-16'")
        connection.execute("CREATE TABLE migration_metadata (id INTEGER)")


KINDS = {
    "branch, shape 1": ("schema.earlier_branch", lambda path: make_branch_database(path, 1, {ENGINE: [chat("s-1")]})),
    "branch, shape 2": ("schema.earlier_branch", lambda path: make_branch_database(path, 2, {ENGINE: [chat("s-1")]})),
    "another program": ("schema.foreign_tables", lambda path: other_program(path, metadata=False)),
    "its own metadata": ("schema.foreign_tables", lambda path: other_program(path, metadata=True)),
    "UTF-16": ("schema.encoding", with_utf16),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_foreign_database_is_refused_before_anything_is_written(kind: str, scene: Scene, migrator: Migrator) -> None:
    code, make = KINDS[kind]
    make(scene.database)
    scene.database.chmod(0o600)
    scene.write(ENGINE, [chat("s-1")])
    before = scene.listing()
    for command in COMMANDS:
        outcome = migrator("--data-dir", scene.root, *command, "--json")
        assert (outcome.code, outcome.codes) in [(1, [code]), (2, [code])], command
        assert str(scene.database) in outcome.json["problems"][0]["message"]
        assert outcome.json["problems"][0]["hint"]
    found = migrator("--data-dir", scene.root, "doctor", "--json").json["findings"]
    assert [finding["code"] for finding in found if finding["level"] == "problem"] == [code]
    with raises(SchemaError, code):
        open_storage(scene.root)
    assert scene.listing() == before


@pytest.mark.parametrize("shape", [1, 2])
def test_what_a_database_of_the_branch_holds_is_counted(shape: int, scene: Scene, migrator: Migrator) -> None:
    make_branch_database(scene.database, shape, {ENGINE: [chat("s-1"), chat("s-2")], "/empty": []})
    [problem] = migrator("--data-dir", scene.root, "status", "--json").json["problems"]
    assert "2 workspaces, 2 sessions, 2 instances, 2 messages" in problem["message"]


@pytest.mark.parametrize(
    ("change", "code", "named"),
    [
        ("CREATE TABLE quarantine (patient TEXT)", "schema.foreign_tables", "quarantine"),
        ("ALTER TABLE sessions ADD COLUMN colour TEXT", "schema.differs", "sessions"),
    ],
    ids=["a foreign table with a name that is needed", "other tables of the app"],
)
def test_tables_in_the_way_are_named_before_anything_is_written(
    scene: Scene, migrator: Migrator, change: str, code: str, named: str
) -> None:
    with closing(scene.app_opens_it()) as app:
        app.execute(change)
        app.execute("PRAGMA journal_mode = DELETE")
    scene.database.chmod(0o600)
    scene.write(ENGINE, [chat("s-1")])
    before = scene.listing()
    assert_all_say(migrator, scene, code, named)
    assert scene.listing() == before


def assert_all_say(migrator: Migrator, scene: Scene, code: str, name: str) -> None:
    """Assert that every command says why a migration is refused, in the same words, and suggests none."""
    said = set()
    for command in (["migrate"], ["migrate", "--dry-run"], ["verify"], ["report"]):
        outcome = migrator("--data-dir", scene.root, *command, "--json")
        assert (outcome.code, outcome.codes) == (1, [code]), command
        said.add(outcome.json["problems"][0]["message"])
    said.add(migrator("--data-dir", scene.root, "status", "--json").json["refused"].partition(" Nothing was")[0])
    found = migrator("--data-dir", scene.root, "doctor", "--json").json["findings"]
    [problem] = [finding for finding in found if finding["level"] == "problem"]
    assert problem["code"] == code
    said.add(problem["message"].partition(" Nothing was")[0])
    [message] = said
    assert str(scene.database) in message
    assert name in message
    status = migrator("--data-dir", scene.root, "status")
    assert message in status.err
    assert "to migrate: run" not in status.out


def test_a_repair_leaves_another_programs_database_its_mode(scene: Scene, migrator: Migrator) -> None:
    with closing(sqlite3.connect(scene.database)) as other:
        other.execute("CREATE TABLE patients (name TEXT)")
    scene.database.chmod(0o644)
    assert migrator("--data-dir", scene.root, "verify", "--repair").code == 1
    assert scene.database.stat().st_mode & 0o777 == 0o644
