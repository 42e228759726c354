"""Which store is opened, and switching between them with everything that was written."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from migrator import (
    Backend,
    ConnectionFailed,
    SessionStorage,
    StaleStoreError,
    StorageIOError,
    UsageError,
    ValidationError,
    needs_migration,
    open_storage,
)
from migrator.inventory.location import resolve_data_dir
from migrator.storage.hybrid.store import HybridStorage
from migrator.storage.json_files import JsonStorage
from migrator.storage.protocol import SessionFilters
from migrator.storage.sqlite import SqliteStorage
from tests.support.command_line import Migrator
from tests.support.errors import raises
from tests.support.scene import Scene, app_inserts, app_json, chat, hash_of
from tests.support.strategies import message, session

ENGINE = "/home/dev/engine"
LOOM = "/home/bob/loom"


@pytest.fixture
def migrated(scene: Scene, migrator: Migrator) -> Scene:
    """Two workspaces, migrated."""
    scene.write(ENGINE, [chat("s-1", task="one"), chat("s-2", task="two")])
    scene.write(LOOM, [chat("s-loom", workspace=LOOM, task="Spin")])
    assert migrator("--data-dir", scene.root, "migrate").code == 0
    return scene


def flag(scene: Scene, backend: str) -> None:
    (scene.root / "storage.json").write_text(json.dumps({"backend": backend}))


def kind(store: SessionStorage) -> type:
    with store:
        return type(store)


def tasks(store: SessionStorage, workspace: str = ENGINE) -> list[str]:
    return [document["task"] for document in store.get_all_sessions(workspace)]


def create(store: SessionStorage, session_id: str, task: str, workspace: str = ENGINE) -> None:
    store.create_session(workspace, chat(session_id, task=task, workspace=workspace))  # type: ignore[arg-type]


# Which one is opened.


def test_without_a_database_it_is_the_json_files(scene: Scene) -> None:
    scene.write(ENGINE, [chat("s-1", task="one")])
    with open_storage(scene.root) as store:
        assert isinstance(store, JsonStorage)
        assert tasks(store) == ["one"]


def test_opening_the_json_files_makes_nothing(scene: Scene) -> None:
    with open_storage(scene.root) as store:
        assert tasks(store) == []
    assert scene.listing() == {}


def test_a_database_whose_migration_never_completed_is_not_authoritative(scene: Scene) -> None:
    scene.write(ENGINE, [chat("s-1", task="one")])
    with closing(scene.app_opens_it()) as app:
        app_inserts(app, ENGINE, "s-app", "by the app", "msg-app")
    with open_storage(scene.root) as store:
        assert tasks(store) == ["one"]


def test_after_a_migration_it_is_sqlite(migrated: Scene) -> None:
    with open_storage(migrated.root) as store:
        assert isinstance(store, SqliteStorage)
        assert tasks(store) == ["one", "two"]


def test_without_a_flag_the_authoritative_store_is_opened(migrated: Scene) -> None:
    (migrated.root / "storage.json").unlink()
    assert kind(open_storage(migrated.root)) is SqliteStorage


def test_the_flag_chooses_between_sqlite_and_both(migrated: Scene) -> None:
    flag(migrated, "hybrid")
    assert kind(open_storage(migrated.root)) is HybridStorage


def test_the_environment_takes_precedence_over_the_flag(migrated: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    flag(migrated, "hybrid")
    monkeypatch.setenv("STORAGE_BACKEND", "sqlite")
    assert kind(open_storage(migrated.root)) is SqliteStorage


def test_the_argument_takes_precedence_over_the_environment(migrated: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_BACKEND", "json")
    assert kind(open_storage(migrated.root, "sqlite")) is SqliteStorage


def test_the_data_directory_is_taken_from_the_environment(migrated: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIT42_DATA_DIR", str(migrated.root))
    with open_storage() as store:
        assert tasks(store) == ["one", "two"]


@pytest.mark.parametrize("spelling", ["sqlite:///{}", "sqlite://{}", "sqlite:{}", "{}"])
def test_the_database_may_be_elsewhere(
    spelling: str, scene: Scene, migrator: Migrator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "elsewhere" / "ai t.db"
    monkeypatch.setenv("DATABASE_URL", spelling.format(str(place).removeprefix("/") if ":///" in spelling else place))
    monkeypatch.chdir("/")
    scene.write(ENGINE, [chat("s-1", task="one")])
    migrator("--data-dir", scene.root, "migrate")
    scene.file_of(ENGINE).unlink()
    assert place.is_file()
    with open_storage(scene.root) as store:
        assert tasks(store) == ["one"]


def test_an_unknown_backend_is_a_usage_error(migrated: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    with raises(UsageError, "backend.unknown"):
        open_storage(migrated.root, "postgres")  # type: ignore[arg-type]


def test_a_backend_that_another_program_set_is_passed_over(migrated: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_BACKEND", "s3")
    assert [note.code for note in resolve_data_dir(migrated.root).notes] == ["option.backend_ignored"]
    with open_storage(migrated.root) as store:
        assert isinstance(store, SqliteStorage)


def test_a_file_that_is_not_a_database_is_an_error_and_not_an_empty_store(migrated: Scene) -> None:
    migrated.database.write_bytes(b"no database at all" * 100)
    with raises(ConnectionFailed, "database.not_a_database"):
        open_storage(migrated.root)


# Flips that were interrupted.


def test_a_flag_from_before_a_migration_is_corrected(migrated: Scene) -> None:
    flag(migrated, "json")
    assert kind(open_storage(migrated.root)) is SqliteStorage
    assert migrated.flag() == "sqlite"


@pytest.mark.parametrize("behind", ["sqlite", "hybrid"])
def test_a_flag_from_before_a_rollback_is_corrected(behind: str, migrated: Scene, migrator: Migrator) -> None:
    migrator("--data-dir", migrated.root, "rollback")
    flag(migrated, behind)
    assert kind(open_storage(migrated.root)) is JsonStorage
    assert migrated.flag() == "json"


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"backend": "postgres"}', b"\xff\x00"])
def test_an_invalid_flag_is_corrected(content: bytes, migrated: Scene) -> None:
    (migrated.root / "storage.json").write_bytes(content)
    assert kind(open_storage(migrated.root)) is SqliteStorage
    assert migrated.flag() == "sqlite"


def test_a_correct_flag_is_not_written(migrated: Scene) -> None:
    before = (migrated.root / "storage.json").stat().st_mtime_ns
    open_storage(migrated.root).close()
    assert (migrated.root / "storage.json").stat().st_mtime_ns == before


# Stale stores.


@pytest.mark.parametrize("by", ["argument", "environment"])
def test_a_store_that_is_not_authoritative_is_refused(
    by: str, migrated: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    if by == "environment":
        monkeypatch.setenv("STORAGE_BACKEND", "json")
    with raises(StaleStoreError, "store.not_authoritative"):
        open_storage(migrated.root, "json" if by == "argument" else None)


@pytest.mark.parametrize("wanted", ["sqlite", "hybrid"])
def test_a_database_that_is_not_authoritative_is_refused(wanted: Backend, migrated: Scene, migrator: Migrator) -> None:
    migrator("--data-dir", migrated.root, "rollback")
    with raises(StaleStoreError, "store.not_authoritative"):
        open_storage(migrated.root, wanted)


def test_hybrid_mode_is_refused_while_the_files_are_out_of_date(migrated: Scene) -> None:
    with raises(StaleStoreError, "hybrid.not_started"):
        open_storage(migrated.root, "hybrid")


def test_a_stale_store_can_be_read(migrated: Scene) -> None:
    migrated.change("UPDATE sessions SET task = 'changed' WHERE id = 's-1'")
    with open_storage(migrated.root, "json", read_only=True) as store:
        assert tasks(store) == ["one", "two"]
        assert store.get_session(ENGINE, "s-2")["task"] == "two"
        assert len(store.search_sessions(ENGINE, SessionFilters(status="running"))) == 2


WRITES = {
    "create_session": lambda store: create(store, "s-new", "new"),
    "update_session": lambda store: store.update_session(ENGINE, session(id="s-1")),
    "delete_session": lambda store: store.delete_session(ENGINE, "s-1"),
    "add_chat_message": lambda store: store.add_chat_message(ENGINE, "s-1", message()),
    "append_chat_message": lambda store: store.append_chat_message(ENGINE, "s-1", message()),
    "update_instance_status": lambda store: store.update_instance_status(ENGINE, "s-1", 1, "idle"),
    "set_instance_status": lambda store: store.set_instance_status(ENGINE, "s-1", 1, "idle"),
}


@pytest.mark.parametrize("operation", sorted(WRITES))
@pytest.mark.parametrize("backend", ["json", "sqlite"])
def test_nothing_is_written_through_a_read_only_store(operation: str, backend: Backend, migrated: Scene) -> None:
    with open_storage(migrated.root, backend, read_only=True) as store:
        before = store.get_all_sessions(ENGINE)
        with raises(StaleStoreError, "store.not_authoritative" if backend == "json" else "store.read_only"):
            WRITES[operation](store)
        assert store.get_all_sessions(ENGINE) == before


# Workspaces whose file could not be migrated.


@pytest.fixture
def truncated(migrated: Scene, migrator: Migrator) -> Scene:
    """A third workspace, whose file is truncated."""
    migrated.write_bytes("/home/eve/truncated", app_json([chat("s-whole"), chat("s-torn")])[:-40])
    assert migrator("--data-dir", migrated.root, "migrate").code == 3
    return migrated


def test_a_workspace_whose_file_failed_is_an_error_and_never_empty(truncated: Scene) -> None:
    with open_storage(truncated.root) as store:
        with raises(StorageIOError, "source.truncated"):
            store.get_all_sessions("/home/eve/truncated")
        assert tasks(store) == ["one", "two"]


def test_nothing_is_written_over_a_file_that_failed(truncated: Scene) -> None:
    content = truncated.file_of("/home/eve/truncated").read_bytes()
    with open_storage(truncated.root) as store:
        with pytest.raises(StorageIOError):
            create(store, "s-new", "new", "/home/eve/truncated")
        create(store, "s-new", "new")
        assert tasks(store) == ["one", "two", "new"]
    assert truncated.file_of("/home/eve/truncated").read_bytes() == content


def test_a_list_of_workspaces_says_where_each_is_served_from(truncated: Scene) -> None:
    failed = hash_of("/home/eve/truncated")
    with open_storage(truncated.root) as store:
        found = {row.hash: (row.path, row.sessions, row.served_from) for row in store.list_workspaces()}
        assert found[failed] == (None, None, "json")
        assert found[hash_of(ENGINE)] == (ENGINE, 2, "sqlite")
        assert list(found) == sorted(found)
        truncated.write("/home/eve/truncated", [chat("s-fixed")])
        assert [row.sessions for row in store.list_workspaces() if row.hash == failed] == [1]
    with open_storage(truncated.root, read_only=True) as store:
        assert len(store.list_workspaces()) == len(found)
        assert len(store.list_sessions(ENGINE)) == len([*store.iter_sessions(ENGINE)]) == 2
        with pytest.raises(StaleStoreError):
            store.create_sessions(ENGINE, [])


def test_a_workspace_whose_file_was_fixed_is_served_from_it(truncated: Scene) -> None:
    truncated.write("/home/eve/truncated", [chat("s-fixed", task="fixed")])
    with open_storage(truncated.root) as store:
        assert tasks(store, "/home/eve/truncated") == ["fixed"]
        store.delete_session("/home/eve/truncated", "s-fixed")
    assert truncated.file_of("/home/eve/truncated").read_bytes() == b"[]"


def test_once_it_is_migrated_it_is_served_from_sqlite_even_by_a_store_that_is_open(
    truncated: Scene, migrator: Migrator
) -> None:
    with open_storage(truncated.root) as store:
        truncated.write("/home/eve/truncated", [chat("s-fixed", task="fixed")])
        assert migrator("--data-dir", truncated.root, "migrate").code == 0
        truncated.change("UPDATE sessions SET task = 'in SQLite' WHERE id = 's-fixed'")
        assert tasks(store, "/home/eve/truncated") == ["in SQLite"]


def test_a_blank_workspace_path_is_not_a_failed_workspace(truncated: Scene) -> None:
    with open_storage(truncated.root) as store:
        assert store.get_all_sessions(" ") == []


def test_a_workspace_that_failed_is_found_by_a_path_of_any_kind(truncated: Scene) -> None:
    with open_storage(truncated.root) as store:
        any_store: Any = store
        with pytest.raises(StorageIOError):
            any_store.get_all_sessions(Path("/home/eve/truncated"))
        for wrong in (None, 1, b"/home/eve/truncated"):
            with pytest.raises(ValidationError):
                any_store.get_all_sessions(wrong)


@pytest.mark.parametrize("place", ["a\0b", "\ud800", "/"])
def test_a_flag_that_names_no_file_names_no_database(place: str, scene: Scene) -> None:
    (scene.root / "storage.json").write_text(json.dumps({"backend": "json", "database": place}))
    assert resolve_data_dir(scene.root).database == scene.database


# Switching, with all that was written.


def test_a_fresh_data_directory_gets_an_empty_store_that_counts(scene: Scene, migrator: Migrator) -> None:
    assert migrator("--data-dir", scene.root, "backend", "sqlite").code == 0
    assert (scene.status(), scene.flag()) == ("completed", "sqlite")
    with open_storage(scene.root) as store:
        create(store, "s-first", "first")
        assert tasks(store) == ["first"]


def test_what_a_rolled_back_database_holds_stays_if_its_files_are_gone(migrated: Scene, migrator: Migrator) -> None:
    with open_storage(migrated.root) as store:
        before = tasks(store)
    migrator("--data-dir", migrated.root, "backend", "json")
    for workspace in (ENGINE, LOOM):
        migrated.file_of(workspace).unlink()
    assert migrator("--data-dir", migrated.root, "backend", "sqlite").code == 3
    with open_storage(migrated.root) as store:
        assert tasks(store) == before != []


def test_showing_the_backend_changes_nothing(migrated: Scene, migrator: Migrator) -> None:
    flag(migrated, "json")
    before = migrated.listing()
    outcome = migrator("--data-dir", migrated.root, "backend", "--json")
    assert {name: outcome.json[name] for name in ("backend", "authority", "flag")} == {
        "backend": "sqlite",
        "authority": "sqlite",
        "flag": "json",
    }
    assert migrated.listing() == before


def test_switching_to_what_runs_already_changes_nothing(migrated: Scene, migrator: Migrator) -> None:
    before = migrated.listing()
    outcome = migrator("--data-dir", migrated.root, "backend", "sqlite", "--json")
    assert (outcome.code, outcome.json["before"], outcome.json["backend"]) == (0, "sqlite", "sqlite")
    assert migrated.listing() == before


def test_an_unknown_target_is_a_usage_error(migrated: Scene, migrator: Migrator) -> None:
    assert migrator("--data-dir", migrated.root, "backend", "postgres").code == 2


# Every one of the six directions.
ROUND_TRIP = ["sqlite", "hybrid", "json", "hybrid", "sqlite", "json"]


def test_what_is_written_in_every_state_is_there_after_every_switch(scene: Scene, migrator: Migrator) -> None:
    scene.write(ENGINE, [chat("s-first", task="first"), chat("s-twin", task="twin"), chat("s-twin", task="twin 2")])
    expected = {"s-first": 1}  # how many messages each session has
    doomed = None
    for number, target in enumerate(ROUND_TRIP):
        with open_storage(scene.root) as store:
            create(store, f"s-{number}", f"before {target} {number}")
            store.append_chat_message(ENGINE, "s-first", message(id=f"msg-{number}"))
            create(store, f"s-doomed-{number}", "doomed")
            if doomed is not None:
                store.delete_session(ENGINE, doomed)
        expected[f"s-{number}"] = 1
        expected["s-first"] += 1
        doomed = f"s-doomed-{number}"
        outcome = migrator("--data-dir", scene.root, "backend", target, "--json")
        assert outcome.code == 0, outcome.err
        assert outcome.json["backend"] == target
        with open_storage(scene.root) as store:
            found = store.get_all_sessions(ENGINE)
            assert [one["task"] for one in found if one["id"] == "s-twin"] == ["twin", "twin 2"]
            counts = {one["id"]: len(one["chatHistory"]) for one in found if one["id"] != "s-twin"}
            assert counts == expected | {doomed: 1}
        if scene.database.exists():
            assert scene.query("SELECT count(*) FROM quarantine WHERE reason <> 'deleted'") == [(0,)]
    assert scene.flag() == "json"


@pytest.fixture
def scattered(scene: Scene, migrator: Migrator, tmp_path: Path) -> tuple[Scene, str]:
    """One workspace with sessions from its own file, from an older file in its folder, and from the shared one."""
    workspace = str(tmp_path / "loom")
    older = tmp_path / "loom" / ".ait42" / "sessions.json"
    older.parent.mkdir(parents=True)
    older.write_bytes(app_json([chat("s-older", workspace=workspace, task="older")]))
    (scene.root / "sessions.json").write_bytes(app_json([chat("s-shared", workspace=workspace, task="shared")]))
    scene.write(workspace, [chat("s-own", workspace=workspace, task="own")])
    assert migrator("--data-dir", scene.root, "migrate", "--workspace", workspace).code == 0
    return scene, workspace


def test_both_stores_give_the_same_answers_for_a_workspace_with_several_files(
    scattered: tuple[Scene, str], migrator: Migrator
) -> None:
    scene, workspace = scattered
    migrator("--data-dir", scene.root, "backend", "hybrid")
    with open_storage(scene.root) as store:
        assert sorted(tasks(store, workspace)) == ["older", "own", "shared"]
    trial = migrator("--data-dir", scene.root, "backend", "--json").json["trial"]
    assert (trial["comparisons"], trial["differences"], trial["failures"]) == (1, 0, 0)


def test_hybrid_mode_doubles_no_session_of_another_file(scattered: tuple[Scene, str], migrator: Migrator) -> None:
    scene, workspace = scattered
    migrator("--data-dir", scene.root, "backend", "hybrid")
    with open_storage(scene.root) as store:
        store.append_chat_message(workspace, "s-shared", message(id="msg-in-trial"))
        create(store, "s-new", "new", workspace)
    migrator("--data-dir", scene.root, "backend", "sqlite")
    migrator("--data-dir", scene.root, "migrate")
    assert sorted(scene.tasks(workspace)) == ["new", "older", "own", "shared"]
    migrator("--data-dir", scene.root, "backend", "json")
    files = [scene.root / "sessions.json", scene.file_of(workspace), Path(workspace) / ".ait42" / "sessions.json"]
    assert [[one["task"] for one in json.loads(file.read_bytes())] for file in files] == [
        ["shared"],
        ["own", "new"],
        ["older"],
    ]
    assert json.loads(files[0].read_bytes())[0]["chatHistory"][-1]["id"] == "msg-in-trial"


def test_hybrid_mode_does_not_change_a_file_that_failed_to_migrate(truncated: Scene, migrator: Migrator) -> None:
    content = truncated.file_of("/home/eve/truncated").read_bytes()
    with closing(sqlite3.connect(truncated.database)) as app, app:
        app_inserts(app, "/home/eve/truncated", "s-sql", "created in SQLite", "msg-sql")
    assert migrator("--data-dir", truncated.root, "backend", "hybrid").code == 0
    assert truncated.file_of("/home/eve/truncated").read_bytes() == content


# Hybrid mode.


def end_hybrid_mode(scene: Scene, migrator: Migrator) -> list[int]:
    """End hybrid mode and return its counts, which the last note contains."""
    outcome = migrator("--data-dir", scene.root, "backend", "sqlite", "--json")
    assert outcome.code == 0
    trial = outcome.json["trial"]
    counts = [int(trial[name]) for name in ("writes", "failures", "pending_repairs", "comparisons", "differences")]
    note = outcome.json["notes"][-1]
    assert all(str(number) in note for number in counts if trial["comparisons"])
    return counts


def test_hybrid_mode_without_a_difference_is_called_clean(migrated: Scene, migrator: Migrator) -> None:
    migrator("--data-dir", migrated.root, "backend", "hybrid")
    with open_storage(migrated.root) as store:
        create(store, "s-new", "new")
        assert len(tasks(store)) == 3
    assert end_hybrid_mode(migrated, migrator) == [1, 0, 0, 1, 0]


def test_hybrid_mode_that_read_nothing_proves_nothing(migrated: Scene, migrator: Migrator) -> None:
    migrator("--data-dir", migrated.root, "backend", "hybrid")
    assert end_hybrid_mode(migrated, migrator) == [0, 0, 0, 0, 0]


def test_hybrid_mode_with_a_difference_is_not_clean(migrated: Scene, migrator: Migrator) -> None:
    migrator("--data-dir", migrated.root, "backend", "hybrid")
    migrated.write(ENGINE, [chat("s-1", task="somebody else's"), chat("s-2", task="two")])
    with open_storage(migrated.root) as store:
        assert tasks(store) == ["one", "two"]
    assert end_hybrid_mode(migrated, migrator) == [0, 0, 0, 1, 1]


def test_quarantined_items_do_not_make_hybrid_mode_unclean(scene: Scene, migrator: Migrator) -> None:
    scene.write(ENGINE, [chat("s-1", task="one"), 7, chat("s-2", task="two")])
    migrator("--data-dir", scene.root, "migrate")
    migrator("--data-dir", scene.root, "backend", "hybrid")
    with open_storage(scene.root) as store:
        create(store, "s-new", "new")
        assert tasks(store) == ["one", "two", "new"]
    assert end_hybrid_mode(scene, migrator) == [1, 0, 0, 1, 0]


@pytest.mark.parametrize("through", [[], ["sqlite"]], ids=["at once", "through SQLite"])
def test_quarantined_items_stay_in_hybrid_mode_and_return_to_their_place_after_it(
    through: list[str], scene: Scene, migrator: Migrator
) -> None:
    scene.write(ENGINE, [chat("s-1", task="one"), 7, chat("s-2", task="two")])
    migrator("--data-dir", scene.root, "migrate")
    migrator("--data-dir", scene.root, "backend", "hybrid")
    with open_storage(scene.root) as store:
        create(store, "s-new", "new")
    for target in [*through, "json"]:
        ended = migrator("--data-dir", scene.root, "backend", target)
        assert ended.code == (3 if target == "json" else 0)  # the file holds what is no session
    found = json.loads(scene.file_of(ENGINE).read_bytes())
    assert [one if isinstance(one, int) else one["task"] for one in found] == ["one", 7, "two", "new"]


def test_what_both_stores_wrote_is_not_a_conflict_if_sqlite_changes_it_later(
    migrated: Scene, migrator: Migrator
) -> None:
    migrator("--data-dir", migrated.root, "backend", "hybrid")
    with open_storage(migrated.root) as store:
        store.append_chat_message(ENGINE, "s-1", message(id="msg-both"))
        create(store, "s-new", "new")
    migrator("--data-dir", migrated.root, "backend", "sqlite")
    with open_storage(migrated.root) as store:
        store.append_chat_message(ENGINE, "s-1", message(id="msg-sqlite"))
        store.delete_session(ENGINE, "s-new")
    assert migrator("--data-dir", migrated.root, "migrate").code == 0
    assert migrated.conflicts() == []
    assert migrated.tasks(ENGINE) == ["one", "two"]


def test_what_the_files_lacked_at_the_end_of_hybrid_mode_is_repaired_before_going_back(
    migrated: Scene, migrator: Migrator, tmp_path: Path
) -> None:
    migrator("--data-dir", migrated.root, "backend", "hybrid")
    file = migrated.file_of(ENGINE)
    with open_storage(migrated.root) as store:
        create(store, "s-new", "new")
        kept = file.rename(tmp_path / "kept")
        file.mkdir()  # so that it can be neither read nor written
        store.delete_session(ENGINE, "s-new")
        store.append_chat_message(ENGINE, "s-1", message(id="msg-sqlite"))
    file.rmdir()
    kept.rename(file)
    assert len(json.loads(migrated.file_of(ENGINE).read_bytes())) == 3
    assert migrator("--data-dir", migrated.root, "rollback").code == 0
    found = json.loads(migrated.file_of(ENGINE).read_bytes())
    assert [(one["task"], one["chatHistory"][-1]["id"]) for one in found] == [("one", "msg-sqlite"), ("two", "msg-s-2")]
    assert migrated.conflicts() == []


def test_what_an_old_build_wrote_in_hybrid_mode_is_not_lost(migrated: Scene, migrator: Migrator) -> None:
    migrator("--data-dir", migrated.root, "backend", "hybrid")
    documents = json.loads(migrated.file_of(ENGINE).read_bytes())
    migrated.write(ENGINE, [*documents, chat("s-old-build", task="by an old build")])
    migrator("--data-dir", migrated.root, "backend", "json")
    found = [one["task"] for one in json.loads(migrated.file_of(ENGINE).read_bytes())]
    assert found == ["one", "two", "by an old build"]


def test_sessions_that_the_app_inserted_are_in_the_files_of_hybrid_mode(migrated: Scene, migrator: Migrator) -> None:
    with closing(sqlite3.connect(migrated.database)) as app, app:
        app_inserts(app, "/home/eve/new", "s-sql", "created in SQLite", "msg-sql")
    migrator("--data-dir", migrated.root, "backend", "hybrid")
    file = migrated.root / "sessions" / f"{hash_of('/home/eve/new')}.json"
    assert [one["task"] for one in json.loads(file.read_bytes())] == ["created in SQLite"]


def test_the_copy_before_schema_steps_goes_to_the_data_directory_wherever_the_database_is(scene, tmp_path):
    elsewhere = Scene(tmp_path / "elsewhere")
    elsewhere.root.mkdir()
    with closing(elsewhere.app_opens_it()) as app:
        app_inserts(app, ENGINE, "s-1", "one", "m-1")
        app.execute("UPDATE migration_metadata SET migration_status = 'completed'")
    with open_storage(scene.root, database=elsewhere.database) as store:
        assert tasks(store) == ["one"]
    assert not (elsewhere.root / "backups").exists()
    assert len(list((scene.root / "backups").glob("*-database-before-apply"))) == 1


def remove_authoritative_database(scene: Scene, how: str) -> None:
    """Remove the authoritative database."""
    for suffix in ("-wal", "-shm"):
        scene.database.with_name(scene.database.name + suffix).unlink(missing_ok=True)
    scene.database.rename(scene.root / "moved.db")
    if how == "a link to nothing":
        scene.database.symlink_to(scene.root / "nowhere.db")
    elif how == "an empty file":
        scene.database.touch()
    elif how == "made anew by the app":
        scene.app_opens_it().close()


LOST = ["moved", "a link to nothing", "an empty file", "made anew by the app"]


@pytest.mark.parametrize("how", LOST)
@pytest.mark.parametrize("backend", ["sqlite", "hybrid"])
def test_without_the_authoritative_database_the_old_files_are_not_opened(
    how: str, backend: str, migrated: Scene
) -> None:
    flag(migrated, backend)
    remove_authoritative_database(migrated, how)
    before = migrated.listing()
    for wanted in (None, "json", "sqlite"):
        with raises(StaleStoreError, "database.lost"):
            open_storage(migrated.root, wanted)
    assert migrated.listing() == before


def test_without_the_authoritative_database_the_old_files_can_be_read(migrated: Scene) -> None:
    remove_authoritative_database(migrated, "moved")
    with open_storage(migrated.root, read_only=True) as store:
        assert tasks(store) == ["one", "two"]
        with raises(StaleStoreError, "database.lost"):
            store.delete_session(ENGINE, "s-1")
    assert migrated.flag() == "sqlite"


@pytest.mark.parametrize("how", LOST)
@pytest.mark.parametrize(
    "command",
    [
        ["migrate"],
        ["migrate", "--dry-run"],
        ["rollback"],
        ["backend", "hybrid"],
        ["backend", "sqlite"],
        ["schema", "apply"],
    ],
)
def test_without_the_authoritative_database_no_command_uses_the_old_files(
    command: list[str], how: str, migrated: Scene, migrator: Migrator
) -> None:
    remove_authoritative_database(migrated, how)
    before = migrated.listing()
    outcome = migrator("--data-dir", migrated.root, *command)
    assert (outcome.code, str(migrated.database) in outcome.err) == (1, True)
    assert migrated.listing() == before


def test_without_the_authoritative_database_every_report_says_so(migrated: Scene, migrator: Migrator) -> None:
    remove_authoritative_database(migrated, "moved")
    looked = {
        command: migrator("--data-dir", migrated.root, *command.split())
        for command in ("status", "backend", "verify", "verify --repair", "doctor")
    }
    assert {command: outcome.code for command, outcome in looked.items()} == {
        "status": 0,
        "backend": 3,
        "verify": 1,
        "verify --repair": 1,
        "doctor": 3,
    }
    assert all(str(migrated.database) in outcome.out + outcome.err for outcome in looked.values())
    assert not needs_migration(migrated.root)
    assert migrated.flag() == "sqlite"


@pytest.mark.parametrize("words", ["list", "show s-1", "search one", "search"])
def test_without_the_authoritative_database_old_sessions_are_shown_with_a_warning(
    words: str, migrated: Scene, migrator: Migrator
) -> None:
    remove_authoritative_database(migrated, "moved")
    outcome = migrator("--data-dir", migrated.root, "sessions", *words.split())
    assert (outcome.code, "s-1" in outcome.out) == (0, True)
    assert str(migrated.database) in outcome.err


@pytest.mark.parametrize("backend", ["sqlite", "hybrid"])
def test_without_the_authoritative_database_the_backend_stays_the_same(
    backend: str, migrated: Scene, migrator: Migrator
) -> None:
    flag(migrated, backend)
    remove_authoritative_database(migrated, "moved")
    reported = migrator("--data-dir", migrated.root, "backend", "--json").json
    assert (reported["backend"], reported["authority"]) == (backend, "sqlite")
    assert [problem["code"] for problem in reported["problems"]] == ["database.lost"]


def test_a_database_that_comes_back_is_authoritative_as_before(migrated: Scene) -> None:
    remove_authoritative_database(migrated, "moved")
    (migrated.root / "moved.db").rename(migrated.database)
    with open_storage(migrated.root) as store:
        assert tasks(store) == ["one", "two"]


def test_a_lost_database_is_given_up_by_switching_to_json(migrated: Scene, migrator: Migrator) -> None:
    remove_authoritative_database(migrated, "moved")
    outcome = migrator("--data-dir", migrated.root, "backend", "json")
    assert outcome.code == 0
    assert str(migrated.database) in outcome.out
    assert kind(open_storage(migrated.root)) is JsonStorage
    assert migrator("--data-dir", migrated.root, "migrate").code == 0
