"""Publishing into a database: where the sessions come, what is recorded of them, and what ends it without a change."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from migrator import MigrationFailed, Progress, migrate, open_storage, switch_backend
from migrator.data_dir import DataDir
from migrator.export.rollback import run_rollback
from migrator.migration import publish
from migrator.migration.merging.decision import MergePolicy
from migrator.migration.merging.merge import Merge
from migrator.migration.publish import Publication, publish_new
from migrator.migration.rolled_back.changes import RolledBack, look_if_rolled_back
from migrator.migration.run_record import RunFacts
from migrator.progress import StageTimer
from migrator.storage.arguments import WorkspaceRef
from migrator.storage.hybrid.journal import Journal
from tests.support.scene import Scene, app_json, chat, hash_of, parsed
from tests.support.strategies import instance, message, session

ENGINE, LOOM = "/home/dev/engine", "/home/bob/loom"
COPY = "copy of it.json"


@pytest.fixture
def one(scene: Scene) -> Scene:
    """A migrated session of one workspace."""
    scene.write(ENGINE, [chat("a")])
    migrate(scene.root, search_index=False)
    return scene


def add_loom(scene: Scene) -> None:
    scene.write(LOOM, [chat("b", workspace=LOOM)])
    migrate(scene.root, search_index=False)


def change_engine(scene: Scene) -> None:
    scene.write(ENGINE, [chat("a"), chat("b")])
    migrate(scene.root, search_index=False)


def adopt_copy(scene: Scene) -> None:
    copy = scene.root / "sessions" / COPY
    copy.write_bytes(app_json([chat("b")]))
    migrate(scene.root, adopt=[copy], search_index=False)


@pytest.mark.parametrize("taken", [None, "sessions.db", "sessions.db-wal", "sessions.db-journal"])
def test_a_new_database_gets_its_name_only_if_neither_that_nor_its_logs_are_there(
    tmp_path: Path, taken: str | None
) -> None:
    places = DataDir(tmp_path, tmp_path / "sessions.db")
    places.staging.write_bytes(b"new")
    if taken is not None:
        (tmp_path / taken).write_bytes(b"old")
    publication = Publication(places, MergePolicy(), [], None, {}, RunFacts(StageTimer(), 0, 0, None, ""))
    assert publish_new(publication) is (taken is None)
    if taken is None:
        assert [path.name for path in tmp_path.iterdir()] == ["sessions.db"]
        assert places.database.read_bytes() == b"new"
    else:
        assert (places.staging.read_bytes(), (tmp_path / taken).read_bytes()) == (b"new", b"old")
        assert places.database.exists() == (taken == "sessions.db")


@pytest.mark.parametrize(
    ("add", "source"), [(add_loom, hash_of(LOOM)), (change_engine, hash_of(ENGINE)), (adopt_copy, COPY)]
)
def test_what_does_not_read_back_is_not_published(one: Scene, add: Callable[[Scene], None], source: str) -> None:
    one.change("CREATE TRIGGER spoil AFTER INSERT ON sessions BEGIN UPDATE sessions SET task = 'no'; END")
    before = one.query("SELECT * FROM migration_ledger"), one.query("SELECT id, task FROM sessions")
    with pytest.raises(MigrationFailed) as failed:
        add(one)
    assert failed.value.code == "session.readback_failed"
    assert source in failed.value.message
    assert " doctor'" in (failed.value.hint or "")
    assert (one.query("SELECT * FROM migration_ledger"), one.query("SELECT id, task FROM sessions")) == before
    assert (one.status(), one.flag()) == ("completed", "sqlite")


@pytest.mark.parametrize(
    ("give_key", "table", "added"),
    [
        ("rekey_attached_session", "sessions", chat("a", workspace=LOOM) | {"chatHistory": []}),
        ("rekey_attached_message", "chat_messages", chat("b", workspace=LOOM) | {"chatHistory": [message(id="msg-a")]}),
    ],
)
def test_what_gets_another_key_is_compared_with_the_file(
    one: Scene, monkeypatch: pytest.MonkeyPatch, give_key: str, table: str, added: dict[str, Any]
) -> None:
    real = getattr(publish, give_key)

    def spoil(main: Any, *arguments: Any) -> None:
        real(main, *arguments)
        main.execute(f"UPDATE staging.{table} SET rescued_data = NULL")

    monkeypatch.setattr(publish, give_key, spoil)
    one.write(LOOM, [added])
    with pytest.raises(MigrationFailed) as failed:
        migrate(one.root, search_index=False)
    assert failed.value.code == "session.readback_failed"
    monkeypatch.undo()
    migrate(one.root, search_index=False)
    assert [document["id"] for document in one.documents(hash_of(LOOM))] == [added["id"]]


def test_new_sessions_come_after_those_of_their_workspace_and_get_free_keys(scene: Scene) -> None:
    for sessions in ([chat("a"), chat("b"), chat("deleted")], [chat("a"), chat("b")]):
        (scene.root / "sessions.json").write_bytes(app_json(sessions))
        migrate(scene.root, search_index=False)
    assert scene.query("SELECT workspace_hash, position FROM quarantine") == [(hash_of(ENGINE), 2)]
    scene.write(ENGINE, [chat("c"), chat("b"), chat("d")])
    scene.write(LOOM, [chat("a", workspace=LOOM)])
    events: list[Progress] = []
    migrate(scene.root, search_index=False, progress=events.append)
    rows = "SELECT s.id, position FROM sessions s JOIN workspaces w ON w.id = workspace_id WHERE workspace_hash = ?"
    engine, loom = hash_of(ENGINE), hash_of(LOOM)
    assert scene.query(rows + " ORDER BY position", engine) == [
        ("a", 0),
        ("b", 1),
        ("c", 3),
        (f"b#{engine}.1", 4),
        ("d", 5),
    ]
    assert scene.query(rows, loom) == [(f"a#{loom}.0", 0)]
    published = {(event.workspace, event.done, event.sessions) for event in events if event.phase == "publish"}
    first, second = sorted([(f"sessions/{engine}.json", ENGINE, 3), (f"sessions/{loom}.json", LOOM, 1)])
    sizes = [scene.file_of(workspace).stat().st_size for _, workspace, _ in (first, second)]
    assert published >= {(first[0], sizes[0], first[2]), (second[0], sum(sizes), 4)}


def test_what_was_prepared_without_the_lock_is_used_unless_something_has_changed(
    one: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Merge] = []

    class Counted(Merge):
        def __init__(self, *given: Any, **named: Any) -> None:
            made.append(self)
            super().__init__(*given, **named)

    def prepare_and_change(self: Merge, source_id: int | None, path: Path) -> None:
        prepare(self, source_id, path)
        one.change("UPDATE migration_ledger SET updated_at = 'later'")

    monkeypatch.setattr(publish, "Merge", Counted)
    change_engine(one)
    assert len(made) == 1
    one.write(ENGINE, [chat("c")])
    prepare = Merge.prepare
    monkeypatch.setattr(Merge, "prepare", prepare_and_change)
    migrate(one.root, search_index=False)
    assert len(made) == 3


@pytest.mark.parametrize("meanwhile", [False, True])
def test_what_is_written_to_a_rolled_back_database_until_it_is_locked_is_not_lost(
    one: Scene, monkeypatch: pytest.MonkeyPatch, *, meanwhile: bool
) -> None:
    def look_and_write(connection: sqlite3.Connection, path: Path, back_up: Callable[[str], Path]) -> RolledBack | None:
        found = look_if_rolled_back(connection, path, back_up)
        if meanwhile:
            one.change("UPDATE sessions SET task = 'later' WHERE id = 'b'")
        return found

    change_engine(one)
    run_rollback(DataDir(one.root, one.database))
    one.change("UPDATE sessions SET task = 'late' WHERE id = 'a'")
    monkeypatch.setattr(publish, "look_if_rolled_back", look_and_write)
    one.write(ENGINE, [chat("a"), chat("b"), chat("c")])
    migrate(one.root, search_index=False)
    assert one.query("SELECT id, task FROM sessions ORDER BY position") == [
        ("a", "late"),
        ("b", "later" if meanwhile else "Weave"),
        ("c", "Weave"),
    ]


def shares(scene: Scene) -> list[tuple[Any, ...]]:
    columns = "workspace_hash, migrated, merged, quarantined, failed, instances, messages"
    return scene.query(f"SELECT {columns} FROM migration_shares ORDER BY source_id, workspace_hash")


def test_what_a_file_adds_when_it_is_adopted_again_is_added_up(one: Scene) -> None:
    adopt_copy(one)
    copy = one.root / "sessions" / COPY
    copy.write_bytes(app_json([chat("b"), chat("c"), chat("d"), 7]))
    migrate(one.root, adopt=[copy], search_index=False)
    assert shares(one) == [(hash_of(ENGINE), 0, 3, 1, 0, 3, 3)]
    assert one.query("SELECT session_count, instances, messages FROM migration_ledger WHERE status = 'merged'") == [
        (2, 2, 2)
    ]


# Hybrid mode.


def test_what_is_in_quarantine_counts_for_a_file_that_hybrid_mode_wrote_without_it(scene: Scene) -> None:
    scene.write(ENGINE, [chat("a"), 7, 8])
    migrate(scene.root, search_index=False)
    switch_backend("hybrid", scene.root)
    with open_storage(scene.root) as both:
        both.create_session(ENGINE, session(id="b"))
    scene.write(ENGINE, [*parsed(scene.file_of(ENGINE).read_bytes()), chat("c")])  # by an old build
    migrate(scene.root, search_index=False)
    assert shares(scene) == [(hash_of(ENGINE), 0, 3, 2, 0, 2, 2)]


def test_a_file_that_hybrid_mode_wrote_keeps_what_was_found_in_it_before(scene: Scene) -> None:
    found = [
        session(id="a", instances=[instance(instanceId=number) for number in range(4)], chatHistory=[message()]),
        session(id="b", chatHistory=[message(id=f"b{number}") for number in range(6)]),
        session(id="c"),
    ]
    scene.write(ENGINE, [*found, 7, 8])
    migrate(scene.root, search_index=False)
    switch_backend("hybrid", scene.root)
    with open_storage(scene.root) as both:
        both.create_session(ENGINE, session(id="d"))
        both.create_session(LOOM, session(id="e"))
    migrate(scene.root, search_index=False)
    assert shares(scene) == [
        (hash_of(ENGINE), 3, 0, 2, 0, 4, 7),
        (hash_of(LOOM), 0, 0, 0, 0, 0, 0),
    ]


def test_sessions_are_still_held_after_hybrid_mode_has_written_them_to_the_file(scene: Scene) -> None:
    scene.write(ENGINE, [chat(f"s{number}") for number in range(12)])
    migrate(scene.root, search_index=False)
    scene.write(ENGINE, [chat("s0")])
    migrate(scene.root, search_index=False)
    held = scene.query("SELECT session_key FROM held_deletions")
    assert len(held) == 11
    switch_backend("hybrid", scene.root)
    with open_storage(scene.root) as both:
        both.create_session(ENGINE, session(id="new"))
    assert len(parsed(scene.file_of(ENGINE).read_bytes())) == 13
    migrate(scene.root, search_index=False)
    assert scene.query("SELECT session_key FROM held_deletions") == held


def test_what_is_adopted_in_hybrid_mode_is_written_to_the_file_even_if_the_run_ends_before_that(
    one: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    switch_backend("hybrid", one.root)
    places = DataDir(one.root, one.database)
    with monkeypatch.context() as patch:
        patch.setattr("migrator.migration.hybrid_sync.sync_files", lambda *_: False)
        adopt_copy(one)
    with closing(Journal(places.hybrid_journal)) as journal:
        assert journal.pending_repairs() == [WorkspaceRef(hash_of(ENGINE), ENGINE)]
    migrate(one.root, search_index=False)
    assert [document["id"] for document in one.documents(hash_of(ENGINE))] == ["a", "b"]
    assert [document["id"] for document in parsed(one.file_of(ENGINE).read_bytes())] == ["a", "b"]
