"""What an earlier version quarantined, because of its type, status or role, comes back by the next ``migrate``."""

import json
import sqlite3
from contextlib import closing

import pytest

from migrator import needs_migration
from migrator.database import schema
from migrator.database.connection import opened
from migrator.database.documents import source_digest
from tests.support.command_line import Migrator
from tests.support.scene import Document, Scene, app_json, chat, hash_of, parsed

ENGINE = "/home/dev/engine"
LOOM = "/home/bob/loom"
VALID_NOW = {"b": "status", "d": "type", "e": "role"}


def documents() -> list[Document]:
    found = [chat(name) for name in "abcdef"]
    found[1]["status"] = "cancelled"
    found[2]["status"] = 5  # stays invalid
    found[3]["type"] = "tournament"
    found[4]["chatHistory"][0]["role"] = "tool"
    return found


def quarantine_as_before(scene: Scene, *, schema_8: bool) -> None:
    """Make the database what an earlier version would have left: sessions of other values are in quarantine."""
    if schema_8:
        with opened(scene.database) as connection:
            while schema.version(connection) > 8:
                schema.revert(connection, scene.database)
    with closing(sqlite3.connect(scene.database)) as connection, connection:
        connection.execute("PRAGMA foreign_keys = ON")
        for source_id, source, _ in connection.execute("SELECT id, source, sha256 FROM migration_ledger").fetchall():
            elements = parsed((scene.root / source).read_bytes())
            for position, element in enumerate(elements):
                if element["id"] not in VALID_NOW:
                    continue
                raw = app_json([element])[4:-2].decode()
                assert (scene.root / source).read_bytes().count(raw.encode()) == 1
                connection.execute("DELETE FROM sessions WHERE id = ? AND source_id = ?", (element["id"], source_id))
                problem = [{"pointer": f"/{VALID_NOW[element['id']]}", "found": "x", "expected": "another"}]
                connection.execute(
                    "INSERT INTO quarantine (source_id, workspace_hash, position, reason, raw, problems, created_at)"
                    " SELECT id, coalesce(workspace_hash, ?), ?, 'invalid', ?, ?, '2025' FROM migration_ledger"
                    " WHERE id = ?",
                    (hash_of("unknown:sessions.json"), position, raw, json.dumps(problem), source_id),
                )
                column = "sessions" if schema_8 else "session_count"
                connection.execute(
                    f"UPDATE migration_ledger SET quarantined = quarantined + 1, {column} = {column} - 1,"
                    " instances = instances - 1, messages = messages - 1 WHERE id = ?",
                    (source_id,),
                )
            digest = source_digest(connection, source_id)
            connection.execute("UPDATE migration_ledger SET digest = ? WHERE id = ?", (digest, source_id))
        if not schema_8:
            connection.execute("UPDATE migration_metadata SET quarantine_rules = NULL")


@pytest.fixture(params=[True, False], ids=["schema 8", "schema 9"])
def earlier(request: pytest.FixtureRequest, scene: Scene, migrator: Migrator) -> Scene:
    scene.write(ENGINE, documents())
    scene.write(LOOM, [chat("x", workspace=LOOM)])
    assert migrator("--data-dir", scene.root, "migrate").code == 3
    quarantine_as_before(scene, schema_8=request.param)
    assert [document["id"] for document in scene.documents(hash_of(ENGINE))] == ["a", "f"]
    return scene


def ids(scene: Scene) -> list[str]:
    return [document["id"] for document in scene.documents(hash_of(ENGINE))]


def test_they_come_back_at_their_places_and_are_counted_and_reported(earlier: Scene, migrator: Migrator) -> None:
    assert needs_migration(earlier.root)
    outcome = migrator("--data-dir", earlier.root, "migrate", "--json")
    assert (outcome.code, outcome.json["status"], outcome.json["restored"]) == (0, "completed", 3)
    assert outcome.json["warnings"]
    assert ids(earlier) == ["a", "b", "d", "e", "f"]
    positions = earlier.query("SELECT position FROM sessions WHERE id <> 'x' ORDER BY position")
    assert positions == [(0,), (1,), (3,), (4,), (5,)]
    [(raw,)] = earlier.query("SELECT raw FROM quarantine")
    assert json.loads(raw)["id"] == "c"
    [totals] = earlier.query(
        "SELECT session_count, instances, messages, quarantined FROM migration_ledger WHERE id = "
        "(SELECT source_id FROM quarantine)"
    )
    assert totals == (5, 5, 5, 1)


def test_afterwards_a_start_is_idle_and_all_is_well(earlier: Scene, migrator: Migrator) -> None:
    content = earlier.file_of(ENGINE).read_bytes()
    migrator("--data-dir", earlier.root, "migrate")
    before = earlier.listing()
    again = migrator("--data-dir", earlier.root, "migrate", "--json").json
    assert (again["status"], again["restored"]) == ("nothing_to_do", 0)
    assert not needs_migration(earlier.root)
    assert earlier.listing() == before
    verified = migrator("--data-dir", earlier.root, "verify", "--json")
    assert verified.code == 0
    assert all(source["database"] == "unchanged" for source in verified.json["sources"])
    report = migrator("--data-dir", earlier.root, "report", "--json").json["totals"]
    assert report["found"] == report["migrated"] + report["merged"] + report["quarantined"] + report["failed"] == 7
    assert migrator("--data-dir", earlier.root, "rollback").code == 3  # the invalid one is in the file again
    assert earlier.file_of(ENGINE).read_bytes() == content


def test_their_file_may_have_changed_meanwhile(earlier: Scene, migrator: Migrator) -> None:
    changed = documents()
    changed[1]["task"] = "changed in the file"
    del changed[3]
    earlier.write(ENGINE, [*changed, chat("g")])
    outcome = migrator("--data-dir", earlier.root, "migrate", "--json")
    assert outcome.json["restored"] == 3
    assert ids(earlier) == ["a", "b", "e", "f", "g"]
    assert "changed in the file" in earlier.tasks(ENGINE)


def test_a_rehearsal_changes_nothing(earlier: Scene, migrator: Migrator) -> None:
    before = earlier.listing()
    assert migrator("--data-dir", earlier.root, "migrate", "--dry-run", "--json").json["restored"] == 3
    assert earlier.listing() == before


def test_in_hybrid_mode_the_files_get_them_too(scene: Scene, migrator: Migrator) -> None:
    scene.write(ENGINE, documents())
    assert migrator("--data-dir", scene.root, "migrate").code == 3
    quarantine_as_before(scene, schema_8=False)
    scene.change("UPDATE migration_metadata SET quarantine_rules = 2")  # as by the version that did not accept them
    assert migrator("--data-dir", scene.root, "backend", "hybrid").code == 0
    scene.change("UPDATE migration_metadata SET quarantine_rules = NULL")
    assert [document["id"] for document in parsed(scene.file_of(ENGINE).read_bytes())] == ["a", "f"]
    before = scene.listing()
    assert migrator("--data-dir", scene.root, "migrate", "--dry-run", "--json").json["restored"] == 3
    assert scene.listing() == before
    assert migrator("--data-dir", scene.root, "migrate", "--json").json["restored"] == 3
    assert [document["id"] for document in parsed(scene.file_of(ENGINE).read_bytes())] == ["a", "b", "d", "e", "f"]
    assert ids(scene) == ["a", "b", "d", "e", "f"]


def test_those_of_the_shared_file_go_to_the_workspaces_that_they_show(scene: Scene, migrator: Migrator) -> None:
    found = documents()
    found[1]["instances"][0]["worktreePath"] = f"{LOOM}/.worktrees/x/instance-1"
    (scene.root / "sessions.json").write_bytes(app_json(found))
    assert migrator("--data-dir", scene.root, "migrate").code == 3
    quarantine_as_before(scene, schema_8=False)
    assert migrator("--data-dir", scene.root, "migrate", "--json").json["restored"] == 3
    assert ids(scene) == ["a", "d", "e", "f"]
    assert [document["id"] for document in scene.documents(hash_of(LOOM))] == ["b"]
    assert migrator("--data-dir", scene.root, "verify").code == 0


def test_where_the_copy_of_the_file_is_gone_they_come_back_too(earlier: Scene, migrator: Migrator) -> None:
    for copy in earlier.root.glob("backups/*/**/*.json"):
        copy.unlink()
    assert migrator("--data-dir", earlier.root, "migrate", "--json").json["restored"] == 3
    assert ids(earlier) == ["a", "b", "d", "e", "f"]
