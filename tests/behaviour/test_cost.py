"""Time and space grow with the size of what there is, and the app waits only for what changes in the database."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from migrator import open_storage
from migrator.database import documents
from migrator.database.connection import transaction
from migrator.database.rows import key_of_id
from migrator.files import durable
from migrator.migration import publish
from migrator.migration.merging import merge_base
from migrator.quarantine import conflict
from tests.support.command_line import Migrator
from tests.support.scene import Document, Scene, chat, hash_of
from tests.support.strategies import message, session

WORKSPACE = "/home/dev/engine"
HASH = hash_of(WORKSPACE)
LONG = "long" * 1000


def tasks(scene: Scene) -> dict[str, str]:
    return {str(document["id"]): str(document["task"]) for document in scene.documents(HASH)}


def counted(monkeypatch: pytest.MonkeyPatch, module: Any, name: str) -> list[object]:
    """Note the first argument of every call of a function of a module."""
    calls, function = [], getattr(module, name)

    def call(*values: Any) -> Any:
        calls.append(values[0])
        return function(*values)

    monkeypatch.setattr(module, name, call)
    return calls


def test_the_base_and_the_backup_are_read_once_for_all_conflicts(
    scene: Scene, migrator: Migrator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    names = [f"s{number}" for number in range(20)]
    scene.write(WORKSPACE, [chat(name) for name in names])
    migrator("--data-dir", scene.root, "migrate")
    scene.change("UPDATE sessions SET task = 'in SQLite'")
    scene.write(WORKSPACE, [chat(name, task="in the file") for name in names])
    bases, backups = counted(monkeypatch, merge_base, "read_array"), counted(monkeypatch, conflict, "parse_file")
    assert migrator("--data-dir", scene.root, "migrate").code == 3
    assert len(bases) <= 3
    migrator("--data-dir", scene.root, "quarantine", "export", "--to", tmp_path / "out")
    assert len(backups) == 1
    assert migrator("--data-dir", scene.root, "quarantine", "retry", "--all", "--take", "theirs").code == 0
    assert len(backups) == 2
    assert tasks(scene) == dict.fromkeys(names, "in the file")


def test_the_next_position_is_found_without_reading_the_quarantine(scene: Scene, migrator: Migrator) -> None:
    scene.write(WORKSPACE, [{"bad": 1}])
    migrator("--data-dir", scene.root, "migrate")
    with closing(sqlite3.connect(scene.root / "sessions.db")) as connection:
        plan = connection.execute(
            "EXPLAIN QUERY PLAN SELECT max(position) FROM quarantine WHERE workspace_hash = 'x'"
        ).fetchall()
    assert any("COVERING INDEX" in row[-1] for row in plan)


def test_what_the_app_changes_while_a_merge_is_prepared_counts(
    scene: Scene, migrator: Migrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("changed-in-file", "deleted-in-file", "conflict", "same", "untouched", "deleted-in-sqlite", "new")
    scene.write(WORKSPACE, [chat(name) for name in names[:-1]] + [chat(f"more{number}") for number in range(9)])
    migrator("--data-dir", scene.root, "migrate")
    scene.change("UPDATE sessions SET task = 'in SQLite' WHERE id = 'conflict'")
    scene.write(
        WORKSPACE,
        [
            *(chat(name, task="in the file") for name in names if name not in ("deleted-in-file", "untouched")),
            chat("untouched"),
            *(chat(f"more{number}") for number in range(9)),
        ],
    )

    @contextmanager
    def late(connection: sqlite3.Connection, path: Path, action: str) -> Iterator[None]:
        scene.change("UPDATE sessions SET task = 'meanwhile' WHERE id NOT IN ('conflict', 'same')")
        scene.change("UPDATE sessions SET task = 'in the file' WHERE id = 'same'")
        scene.change("DELETE FROM sessions WHERE id = 'deleted-in-sqlite'")
        with transaction(connection, path, action):
            yield

    monkeypatch.setattr(publish, "transaction", late)
    assert migrator("--data-dir", scene.root, "migrate").code == 3
    found = tasks(scene)
    assert found == dict.fromkeys(found, "meanwhile") | {
        "conflict": "in SQLite",
        "same": "in the file",
        "new": "in the file",
    }
    assert found.keys() == {*names, *(f"more{number}" for number in range(9))} - {"deleted-in-sqlite"}
    conflicts = {document["id"] for document in scene.conflicts()}
    assert conflicts == {"changed-in-file", "conflict", "deleted-in-sqlite"}


def test_under_the_lock_no_session_is_read_that_did_not_change_meanwhile(
    scene: Scene, migrator: Migrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("changed", "deleted", "conflict", *(f"more{number}" for number in range(9)))
    scene.write(WORKSPACE, [chat(name) for name in names])
    migrator("--data-dir", scene.root, "migrate")
    scene.change("UPDATE sessions SET task = 'in SQLite' WHERE id = 'conflict'")
    changed = [chat("changed", task="in the file"), chat("conflict", task="in the file"), chat("n", task="in the file")]
    scene.write(WORKSPACE, [*changed, *(chat(name) for name in names[3:])])
    scene.write("/home/dev/new", [chat("elsewhere")])
    during = list[tuple[int, int]]()
    read = counted(monkeypatch, documents, "from_rows")
    synced = counted(monkeypatch, durable, "sync_file")

    @contextmanager
    def busy(connection: sqlite3.Connection, path: Path, action: str) -> Iterator[None]:
        scene.change("UPDATE sessions SET task = 'meanwhile' WHERE id = 'more0'")
        with transaction(connection, path, action):
            before = len(read), len(synced)
            yield
            during.append((len(read) - before[0], len(synced) - before[1]))
        assert not [path for path in synced if str(path).endswith("-wal")]

    monkeypatch.setattr(publish, "transaction", busy)
    assert migrator("--data-dir", scene.root, "migrate").code == 3
    assert during == [(0, 0)]
    assert [path for path in synced if str(path).endswith("-wal")]
    found = tasks(scene)
    assert [found[name] for name in ("changed", "n", "conflict", "more0")] == [
        "in the file",
        "in the file",
        "in SQLite",
        "meanwhile",
    ]
    assert "deleted" not in found
    assert [document["id"] for document in scene.documents(hash_of("/home/dev/new"))] == ["elsewhere"]
    assert sorted(scene.query("SELECT reason, source_id IS NOT NULL FROM quarantine")) == [
        ("conflict", 1),
        ("deleted", 1),
    ]


@pytest.mark.parametrize("late", [False, True])
def test_after_a_rollback_only_what_is_written_late_is_read_under_the_lock(
    late: bool, scene: Scene, migrator: Migrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.write(WORKSPACE, [chat(name) for name in "abc"])
    migrator("--data-dir", scene.root, "migrate")
    migrator("--data-dir", scene.root, "rollback")
    during, read = list[int](), counted(monkeypatch, documents, "from_rows")

    @contextmanager
    def busy(connection: sqlite3.Connection, path: Path, action: str) -> Iterator[None]:
        if late:
            scene.change("UPDATE sessions SET task = 'late' WHERE id = 'b'")
        with transaction(connection, path, action):
            before = len(read)
            yield
            during.append(len(read) - before)

    monkeypatch.setattr(publish, "transaction", busy)
    assert migrator("--data-dir", scene.root, "migrate").code == 0
    assert bool(during[0]) == late
    assert (tasks(scene)["b"] == "late") == late
    copies = (scene.root / "backups").glob("*-database-rolled-back*/sessions.db")
    copied = {scene.query("SELECT task FROM sessions WHERE id = 'b'", database=copy)[0][0] for copy in copies}
    assert ("late" in copied) == late


def test_messages_that_did_not_change_stay_as_they_are_when_a_session_is_replaced(
    scene: Scene, migrator: Migrator
) -> None:
    def talk(count: int) -> Document:
        messages = [message(id=f"m{number}") for number in range(count)]
        talked: Document = session(id="a", runtimeMix=["b", "a"], chatHistory=messages)
        return talked

    scene.write(WORKSPACE, [talk(5)])
    migrator("--data-dir", scene.root, "migrate")
    before = scene.query("SELECT rowid, id FROM chat_messages")
    scene.write(WORKSPACE, [talk(7)])
    migrator("--data-dir", scene.root, "migrate")
    after = scene.query("SELECT rowid, id FROM chat_messages")
    assert after[:5] == before
    assert len(after) == 7
    [document] = scene.documents(HASH)
    assert [one["id"] for one in document["chatHistory"]] == [f"m{number}" for number in range(7)]
    assert document["runtimeMix"] == ["b", "a"]


def test_the_builder_of_the_search_index_gets_the_new_texts_of_changed_messages(
    scene: Scene, migrator: Migrator
) -> None:
    messages = [message(id=f"m{number}", content=f"old{number}") for number in range(3)]
    scene.write(WORKSPACE, [session(id="a", chatHistory=messages)])
    assert migrator("--data-dir", scene.root, "migrate").code == 0
    before = dict(scene.query("SELECT id, rowid FROM chat_messages"))
    messages[1] |= {"content": "new1"}
    scene.write(WORKSPACE, [session(id="a", chatHistory=messages)])
    assert migrator("--data-dir", scene.root, "migrate").code == 0
    after = dict(scene.query("SELECT id, rowid FROM chat_messages"))
    assert after.pop("m1") > before.pop("m2")
    assert after.pop("m0") == before.pop("m0")
    assert [one["content"] for one in scene.documents(HASH)[0]["chatHistory"]] == ["old0", "new1", "old2"]
    assert migrator("--data-dir", scene.root, "verify").code == 0


def test_a_long_id_does_not_multiply_the_size(scene: Scene, migrator: Migrator) -> None:
    messages = [message(id="" if number % 2 else f"m{number}") for number in range(100)]
    scene.write(WORKSPACE, [session(id=LONG, chatHistory=messages), session(id=LONG, task="the second")])
    scene.write("/home/dev/other", [session(id=LONG, task="elsewhere", chatHistory=[message(id=LONG)])])
    migrator("--data-dir", scene.root, "migrate")
    assert scene.query("SELECT max(length(session_id)) FROM chat_messages")[0][0] < 250
    assert [document["id"] for document in scene.documents(HASH)] == [LONG, LONG]
    with open_storage(scene.root) as store:
        assert len(store.get_session(WORKSPACE, LONG)["chatHistory"]) == 100
        store.append_chat_message(WORKSPACE, LONG, message(id=LONG))
        assert store.get_session(WORKSPACE, LONG)["chatHistory"][-1]["id"] == LONG
        assert store.get_session("/home/dev/other", LONG)["task"] == "elsewhere"
        store.delete_session(WORKSPACE, LONG)
        assert store.get_all_sessions(WORKSPACE) == []
    assert migrator("--data-dir", scene.root, "sessions", "show", "longlong").code == 0


def test_a_database_with_long_ids_as_keys_goes_on_working(
    scene: Scene, migrator: Migrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.write(WORKSPACE, [session(id=LONG, chatHistory=[message(id="m")])])
    with monkeypatch.context() as earlier:
        for module in ("migrator.database.rows", "migrator.staging.loader"):
            earlier.setattr(f"{module}.key_of_id", str)
        migrator("--data-dir", scene.root, "migrate")
    assert scene.query("SELECT id FROM sessions") == [(LONG,)]
    with open_storage(scene.root) as store:
        store.append_chat_message(WORKSPACE, LONG, message(id="n"))
        assert len(store.get_session(WORKSPACE, LONG)["chatHistory"]) == 2
    scene.change("UPDATE sessions SET task = 'a task' WHERE id = ?", LONG)
    changed = session(id=LONG, task="in the file", chatHistory=[message(id="m")])
    scene.write("/home/dev/other", [changed])
    migrator("--data-dir", scene.root, "migrate")
    assert [document["id"] for document in scene.documents(hash_of("/home/dev/other"))] == [LONG]
    assert scene.query("SELECT id FROM sessions ORDER BY rowid") == [(LONG,), (key_of_id(LONG),)]
