"""A page of the database cannot be read: what can be read is given, and what cannot is named."""

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import migrator as api
from migrator import migrate
from migrator.backups import restore_database
from migrator.data_dir import DataDir
from migrator.database.connection import opened
from migrator.diagnostics.doctor import examine
from migrator.errors import ConnectionFailed, MigratorError, RollbackFailed
from migrator.export.rollback import run_rollback
from migrator.export.to_folder import export
from migrator.inventory.status import status_of
from migrator.salvage import intact
from migrator.salvage.intact import require_intact
from migrator.search.find import search_texts
from migrator.search.sessions import find_session, list_sessions
from migrator.storage.protocol import SessionFilters
from migrator.verification.run import verify
from tests.support.command_line import Migrator
from tests.support.errors import raises
from tests.support.scene import Scene, app_json, chat, hash_of

ENGINE, SHOP = "/home/dev/engine", "/home/dev/shop"
SESSIONS = 7


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    scene = Scene(tmp_path_factory.mktemp("healthy"))
    scene.write(ENGINE, [chat(f"e{number}", text="x" * 3000) for number in range(SESSIONS - 2)])
    scene.write(SHOP, [chat(f"s{number}", workspace=SHOP) for number in range(2)])
    migrate(scene.root, search_index=False)
    return scene


def damaged(healthy: Scene, folder: Path, page: int) -> Scene:
    scene = Scene(folder)
    shutil.copytree(healthy.root, folder, ignore=shutil.ignore_patterns("*-wal", "*-shm"))
    size = page_size(scene)
    with open(scene.database, "r+b") as file:
        if page:
            file.seek((page - 1) * size)
            file.write(bytes(size))
    return scene


def page_size(scene: Scene) -> int:
    return int.from_bytes(scene.database.read_bytes()[16:18], "big")


def root_of(scene: Scene, name: str) -> int:
    [(root,)] = scene.query("SELECT rootpage FROM sqlite_master WHERE name = ?", name)
    return int(root)


def swap(scene: Scene, one: str, other: str) -> None:
    """Put the first pages of two tables or indexes in each other's place."""
    starts = [(root_of(scene, name) - 1) * page_size(scene) for name in (one, other)]
    content = bytearray(scene.database.read_bytes())
    pages = [content[start : start + page_size(scene)] for start in starts]
    for start, page in zip(starts, reversed(pages), strict=True):
        content[start : start + len(page)] = page
    scene.database.write_bytes(content)


def zero(scene: Scene, *names: str) -> None:
    """Zero the first page of each of these tables and indexes."""
    size = page_size(scene)
    starts = [(root_of(scene, name) - 1) * size for name in names]
    with open(scene.database, "r+b") as file:
        for start in starts:
            file.seek(start)
            file.write(bytes(size))


def written(folder: Path) -> dict[str, Any]:
    sessions = [session for file in folder.glob("*.json") for session in json.loads(file.read_bytes())]
    return {session["id"]: without_null(session) for session in sessions}


def without_null(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without_null(member) for name, member in value.items() if member is not None}
    return [without_null(member) for member in value] if isinstance(value, list) else value


def test_whatever_page_is_zeroed_every_session_is_given(healthy: Scene, tmp_path: Path) -> None:
    """The backup copies have what the page had; only the names of tables and the header cannot be done without."""
    whole = written(healthy.root / "sessions")
    unreadable: list[str] = []
    names = "('sessions', 'chat_messages', 'instances', 'workspaces', 'migration_ledger', 'migration_metadata')"
    roots = {root for (root,) in healthy.query(f"SELECT rootpage FROM sqlite_master WHERE name IN {names}")}
    last = healthy.database.stat().st_size // page_size(healthy)
    for page in sorted({1, *roots, *range(2, last + 1, 8)}):
        scene = damaged(healthy, tmp_path / f"data-{page}", page)
        places = DataDir(scene.root, scene.database)
        out = tmp_path / f"out-{page}"
        try:
            report = export(places, out)
        except MigratorError as error:
            unreadable.append(error.code)
            continue
        assert written(out) == whole
        assert report.exit_code == (3 if report.errors else 0)
        try:
            rolled_back = run_rollback(places, salvage=True)
        except MigratorError as error:
            pytest.fail(f"page {page}: {error.code}")
        assert rolled_back.status == "rolled_back"
        assert written(scene.root / "sessions") == whole
        assert scene.status() == "rolled_back"
    assert len(unreadable) <= 4
    assert {*unreadable} <= {"database.damaged", "database.not_a_database"}


def test_a_session_that_only_an_index_of_lost_rows_mentions_is_taken_from_the_backup(tmp_path: Path) -> None:
    """Those of the shared file go to the workspaces that their worktrees show."""
    scene = Scene(tmp_path / "data")
    scene.write(ENGINE, [chat("e1")])
    (scene.root / "sessions.json").write_text(json.dumps([chat("s1", workspace=SHOP)]), encoding="utf-8")
    migrate(scene.root, search_index=False)
    export(DataDir(scene.root, scene.database), tmp_path / "whole")
    zero(scene, "sessions", "sqlite_autoindex_sessions_1", "instances", "chat_messages")
    report = export(DataDir(scene.root, scene.database), tmp_path / "out")
    assert report.exit_code == 3
    assert len({*(tmp_path / "out").iterdir()}) == len({*(tmp_path / "whole").iterdir()}) == 2
    assert written(tmp_path / "out") == written(tmp_path / "whole")


def test_lost_messages_of_a_deleted_session_do_not_bring_it_back(healthy: Scene, tmp_path: Path) -> None:
    """A tool without foreign keys deletes a session and leaves its messages."""
    scene = damaged(healthy, tmp_path / "data", 0)
    scene.change("DELETE FROM sessions WHERE id = 's0'")
    zero(scene, "chat_messages")
    export(DataDir(scene.root, scene.database), tmp_path / "out")
    assert {*written(tmp_path / "out")} == {*written(healthy.root / "sessions")} - {"s0"}


@pytest.mark.parametrize("table", ["chat_messages", "sessions", "workspaces"])
def test_the_sessions_that_can_be_read_are_listed(healthy: Scene, tmp_path: Path, table: str) -> None:
    root = healthy.query("SELECT rootpage FROM sqlite_master WHERE name = ?", table)[0][0]
    scene = damaged(healthy, tmp_path / "data", root)
    places = DataDir(scene.root, scene.database)
    listed = list_sessions(places, None, SessionFilters(), None, pytest.fail)
    assert len(listed.sessions) == SESSIONS
    assert listed.exit_code == (0 if table == "chat_messages" else 3)  # a list does without the texts
    shown = find_session(places, "e1", None, pytest.fail)
    assert [session["id"] for _, session in shown.sessions] == ["e1"]
    assert shown.exit_code == 3
    found = search_texts(places, "x*")
    assert len(found.sessions) == SESSIONS - 2
    assert found.exit_code == 3


def test_what_is_written_between_the_copy_and_the_replacement_stops_a_salvage(
    healthy: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = healthy.query("SELECT rootpage FROM sqlite_master WHERE name = 'chat_messages'")[0][0]
    scene = damaged(healthy, tmp_path / "data", root)
    places, refused = DataDir(scene.root, scene.database), list[str]()
    release, write = restore_database.WriteGuard.release, "UPDATE workspaces SET last_accessed_at = 'later'"

    def write_before_and_after(guard: restore_database.WriteGuard) -> None:
        with closing(sqlite3.connect(scene.database, timeout=0, isolation_level=None)) as app:
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                app.execute(write)
            release(guard)
            app.execute(write)
            refused.append("before")

    with closing(sqlite3.connect(scene.database)) as reader, monkeypatch.context() as patched:
        reader.execute("SELECT 1 FROM workspaces").fetchall()
        patched.setattr(restore_database.WriteGuard, "release", write_before_and_after)
        with pytest.raises(RollbackFailed) as failed:
            run_rollback(places, salvage=True)
        assert failed.value.code == "database.changed_meanwhile"
        assert refused == ["before"]
        assert scene.query("SELECT DISTINCT last_accessed_at FROM workspaces") == [("later",)]
        assert scene.flag() == "sqlite"
    with closing(sqlite3.connect(scene.database)) as reader:  # another program may have it open
        reader.execute("SELECT 1 FROM workspaces").fetchall()
        assert run_rollback(places, salvage=True).status == "rolled_back"
    assert scene.flag() == "json"


def test_without_the_option_a_rollback_changes_nothing(healthy: Scene, tmp_path: Path) -> None:
    root = healthy.query("SELECT rootpage FROM sqlite_master WHERE name = 'chat_messages'")[0][0]
    scene = damaged(healthy, tmp_path / "data", root)
    before = scene.listing()
    with pytest.raises(RollbackFailed) as refused:
        run_rollback(DataDir(scene.root, scene.database))
    assert refused.value.code == "database.damaged"
    assert "rollback --salvage" in str(refused.value.hint)
    assert scene.listing() == before


def test_a_dry_run_names_the_damaged_database_and_not_its_copy(healthy: Scene, tmp_path: Path) -> None:
    [(root,)] = healthy.query("SELECT rootpage FROM sqlite_master WHERE name = 'chat_messages'")
    scene = damaged(healthy, tmp_path / "data", root)
    scene.write(ENGINE, [chat("e0", text="changed")])
    before = scene.listing()
    with pytest.raises(MigratorError) as refused:
        migrate(scene.root, dry_run=True, search_index=False)
    assert refused.value.code == "database.damaged"
    assert str(scene.database) in refused.value.message
    assert scene.listing() == before


@pytest.mark.parametrize("table", ["workspaces", "migration_metadata"])
def test_rows_without_values_are_damage(healthy: Scene, tmp_path: Path, table: str) -> None:
    """So a page reads whose second half is zeroed."""
    root = healthy.query("SELECT rootpage FROM sqlite_master WHERE name = ?", table)[0][0]
    scene = damaged(healthy, tmp_path / "data", page=0)
    size = page_size(scene)
    with open(scene.database, "r+b") as file:
        file.seek((root - 1) * size + 1000)
        file.write(bytes(size - 1000))
    places = DataDir(scene.root, scene.database)
    for command in (status_of, run_rollback, lambda places: migrate(places.root, search_index=False)):
        with pytest.raises(MigratorError) as refused:
            command(places)
        assert refused.value.code == "database.damaged"
    assert examine(places).exit_code == 3


@pytest.mark.parametrize("how", ["text", "rescued data"])
def test_one_unreadable_session_blocks_neither_migrate_nor_rollback(healthy: Scene, tmp_path: Path, how: str) -> None:
    """Its rows go to quarantine, and the file's version takes their place."""
    scene = damaged(healthy, tmp_path / "data", page=0)
    if how == "text":
        row = ("late", "e1", "user", "2025-11-10T10:00:00Z")
        statement = "INSERT INTO chat_messages (id, session_id, role, content, timestamp)"
        scene.change(f"{statement} VALUES (?, ?, ?, CAST(x'ff' AS TEXT), ?)", *row)
    else:
        scene.change("UPDATE sessions SET rescued_data = '{' WHERE id = 'e1'")
    file = scene.file_of(ENGINE)
    scene.write(ENGINE, [*json.loads(file.read_bytes()), chat("by-old-build")])
    whole = written(scene.root / "sessions")
    report = migrate(scene.root, search_index=False)
    assert report.exit_code == 3
    assert {message.code for message in report.errors} == {"session.unreadable"}
    assert scene.query("SELECT session_id, reason FROM quarantine") == [("e1", "unreadable")]
    assert run_rollback(DataDir(scene.root, scene.database)).status == "rolled_back"
    assert written(scene.root / "sessions") == whole


def test_rows_that_another_program_writes_during_the_check_are_no_damage(healthy: Scene, tmp_path: Path) -> None:
    scene = damaged(healthy, tmp_path / "data", page=0)
    with opened(scene.database, read_only=True) as connection:

        def write(statement: str) -> None:
            if "integrity_check" in statement:
                scene.change(
                    "INSERT INTO chat_messages (id, session_id, role, content, timestamp) "
                    "SELECT 'm' || count(*), 'e1', 'user', 'late', '2025' FROM chat_messages"
                )

        connection.set_trace_callback(write)
        require_intact(connection, scene.database)
    assert len(scene.query("SELECT 1 FROM chat_messages WHERE content = 'late'")) > 1


def test_rows_that_stand_in_no_index_are_damage(healthy: Scene, tmp_path: Path) -> None:
    """Another engine wrote to the table, but not to one of its indexes."""
    scene = damaged(healthy, tmp_path / "data", page=0)
    name = "idx_chat_messages_session_position"
    [(root,)] = scene.query("SELECT rootpage FROM sqlite_master WHERE name = ?", name)
    size = page_size(scene)
    with open(scene.database, "rb") as file:
        file.seek((root - 1) * size)
        before = file.read(size)
    row = ("late", "e1", "user", "late", "2025-11-10T10:00:00Z")
    scene.change("INSERT INTO chat_messages (id, session_id, role, content, timestamp) VALUES (?, ?, ?, ?, ?)", *row)
    with open(scene.database, "r+b") as file:
        file.seek((root - 1) * size)
        file.write(before)
    places = DataDir(scene.root, scene.database)
    with pytest.raises(RollbackFailed) as refused:
        run_rollback(places)
    assert refused.value.code == "database.index_wrong"
    assert export(places, tmp_path / "out").exit_code == 3
    assert written(tmp_path / "out")["e1"]["chatHistory"][-1]["content"] == "late"
    assert examine(places).exit_code == 3


def test_a_salvage_keeps_the_file_that_it_replaces(tmp_path: Path) -> None:
    """The quarantine is lost, and no session shows that the file had more."""
    scene = Scene(tmp_path)
    broken = chat("broken") | {"status": 5}
    file = scene.write(ENGINE, [chat("a"), broken])
    migrate(scene.root, search_index=False)
    scene.change("UPDATE sessions SET task = 'changed'")
    scene.query("PRAGMA wal_checkpoint(TRUNCATE)")
    zero(scene, "quarantine")
    rehearsed = run_rollback(DataDir(scene.root, scene.database), salvage=True, dry_run=True)
    report = run_rollback(DataDir(scene.root, scene.database), salvage=True)
    assert written(file.parent)["a"]["task"] == "changed"
    [kept] = [one.kept_beside for one in report.workspaces]
    assert [one.kept_beside for one in rehearsed.workspaces] == [kept]
    assert json.loads(Path(str(kept)).read_bytes())[1] == broken
    assert any(
        f"{file} may have had what the damaged database lacks; it is kept as" in text for text in report.warnings
    )


@pytest.mark.parametrize(
    ("index", "value"), [("sqlite_autoindex_workspaces_2", hash_of(SHOP)), ("idx_instances_session_position", "e1")]
)
def test_an_index_with_another_value_than_its_table_hides_nothing(
    healthy: Scene, tmp_path: Path, index: str, value: str
) -> None:
    """One bit is enough. Pages, and the numbers of rows and entries, are as they should be."""
    scene = damaged(healthy, tmp_path / "data", page=0)
    scene.change("UPDATE sessions SET source_id = NULL, position = NULL WHERE id = 's1'")
    whole = written(scene.root / "sessions")
    scene.query("PRAGMA wal_checkpoint(TRUNCATE)")
    start = (root_of(scene, index) - 1) * page_size(scene)
    content = bytearray(scene.database.read_bytes())
    place = content.index(value.encode(), start, start + page_size(scene)) + len(value) - 1
    content[place] ^= 1
    scene.database.write_bytes(content)
    places = DataDir(scene.root, scene.database)
    assert export(places, tmp_path / "out").exit_code == 3
    assert written(tmp_path / "out") == whole
    assert examine(places).exit_code == 3
    with pytest.raises(RollbackFailed) as refused:
        run_rollback(places)
    assert refused.value.code == "database.index_wrong"
    assert run_rollback(places, salvage=True).status == "rolled_back"
    assert written(scene.root / "sessions") == whole


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("workspaces", "chat_messages"),
        ("sqlite_autoindex_workspaces_1", "idx_sessions_workspace_position"),
        ("migration_metadata", "workspaces"),
    ],
)
def test_pages_in_each_others_place_are_damage(healthy: Scene, tmp_path: Path, one: str, other: str) -> None:
    scene = damaged(healthy, tmp_path / "data", page=0)
    whole = written(scene.root / "sessions")
    swap(scene, one, other)
    if one.startswith("sqlite"):
        zero(scene, "workspaces")
    places = DataDir(scene.root, scene.database)
    assert export(places, tmp_path / "out").exit_code == 3
    assert written(tmp_path / "out") == whole
    assert run_rollback(places, salvage=True).status == "rolled_back"
    assert written(scene.root / "sessions") == whole


@pytest.mark.parametrize("command", ["verify", "migrate", "rollback", "quarantine list", "quarantine show 1"])
def test_a_command_that_fails_on_such_values_names_the_damage(tmp_path: Path, migrator: Migrator, command: str) -> None:
    scene = Scene(tmp_path / "data")
    scene.write(ENGINE, [chat("a"), {"id": "invalid"}])
    (scene.root / "sessions.json").write_bytes(app_json([chat("b", workspace=SHOP)]))
    migrate(scene.root, search_index=False)
    swap(scene, "migration_ledger", "quarantine")
    scene.write(ENGINE, [chat("a"), chat("new")])
    outcome = migrator("--data-dir", scene.root, *command.split())
    assert outcome.code in (1, 3)
    assert "bug" not in outcome.err
    assert any(word in outcome.err + outcome.out for word in ("damaged", "--salvage"))


def test_the_callers_own_error_comes_without_a_check_of_the_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A progress callback may raise to cancel, and the check of gigabytes takes long."""
    scene = Scene(tmp_path / "data")
    scene.write(ENGINE, [chat("a")])
    monkeypatch.setattr(intact, "damage_behind", lambda path: pytest.fail(f"{path} was checked"))

    class Cancelled(Exception): ...

    def cancel(_: object) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        migrate(scene.root, progress=cancel)


def test_a_function_that_fails_on_such_values_raises_the_damage(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "data")
    scene.write(ENGINE, [chat("a"), {"id": "invalid"}])
    (scene.root / "sessions.json").write_bytes(app_json([chat("b", workspace=SHOP)]))

    def fail(_: object) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):  # the caller's own error
        migrate(scene.root, progress=fail)
    migrate(scene.root, search_index=False)
    swap(scene, "migration_ledger", "quarantine")
    with raises(ConnectionFailed, "database.damaged"):
        api.verify(scene.root)


def test_a_session_with_lost_messages_and_an_unreadable_row_is_taken_from_the_backup(
    healthy: Scene, tmp_path: Path
) -> None:
    scene = damaged(healthy, tmp_path / "data", page=0)
    whole = written(scene.root / "sessions")
    scene.change("UPDATE sessions SET rescued_data = '{'")
    scene.query("PRAGMA wal_checkpoint(TRUNCATE)")
    zero(scene, "chat_messages")
    report = export(DataDir(scene.root, scene.database), tmp_path / "out")
    assert report.exit_code == 3
    assert written(tmp_path / "out") == whole


def test_instances_without_values_are_taken_from_the_backup(tmp_path: Path) -> None:
    """So a page of a table with fewer columns reads."""
    scene = Scene(tmp_path)
    document = chat("a")
    (scene.root / "sessions.json").write_bytes(app_json([document]))
    migrate(scene.root, search_index=False)
    scene.query("PRAGMA wal_checkpoint(TRUNCATE)")
    content, size = bytearray(scene.database.read_bytes()), page_size(scene)
    ours, theirs = ((root_of(scene, name) - 1) * size for name in ("instances", "sqlite_sequence"))
    content[ours : ours + size] = content[theirs : theirs + size]
    scene.database.write_bytes(content)
    places = DataDir(scene.root, scene.database)
    shown = find_session(places, "a", None, pytest.fail)
    assert shown.exit_code == 3
    assert [without_null(session) for _, session in shown.sessions] == [without_null(document)]
    assert verify(places).exit_code == 1


def test_a_record_of_a_backup_with_a_nul_is_one_that_is_missing(healthy: Scene, tmp_path: Path) -> None:
    """So a text reads on a page that is zeroed in part."""
    scene = damaged(healthy, tmp_path / "data", page=0)
    scene.change("UPDATE migration_ledger SET backup = 'backups/' || char(0)")
    report = verify(DataDir(scene.root, scene.database))
    assert {source.backup for source in report.sources} == {"missing"}


@pytest.mark.parametrize(
    "statement", ["DELETE FROM workspaces WHERE id = 2", "UPDATE workspaces SET id = 9 WHERE id = 2"]
)
def test_sessions_without_their_workspace_are_given(healthy: Scene, tmp_path: Path, statement: str) -> None:
    """A program that leaves foreign keys off removed it, or a damaged row has another number."""
    scene = damaged(healthy, tmp_path / "data", page=0)
    whole = written(scene.root / "sessions")
    with closing(sqlite3.connect(scene.database)) as connection, connection:
        connection.execute(statement)
    places = DataDir(scene.root, scene.database)
    assert export(places, tmp_path / "out").exit_code == 3
    assert written(tmp_path / "out") == whole
    listed = list_sessions(places, None, SessionFilters(), None, pytest.fail)
    assert (len(listed.sessions), listed.exit_code) == (SESSIONS, 3)
    assert run_rollback(places, salvage=True).status == "rolled_back"
    assert written(scene.root / "sessions") == whole


def test_a_salvage_that_cannot_write_storage_json_says_where_the_damaged_database_is(
    healthy: Scene, tmp_path: Path
) -> None:
    scene = damaged(healthy, tmp_path / "data", page=0)
    zero(scene, "chat_messages")
    flag = scene.root / "storage.json"
    flag.unlink()
    flag.mkdir()
    places = DataDir(scene.root, scene.database)
    with pytest.raises(RollbackFailed) as failed:
        run_rollback(places, salvage=True)
    assert scene.status() == "rolled_back"
    [kept] = [path for path in scene.root.rglob("backups/*/sessions.db") if str(path) in str(failed.value.hint)]
    assert kept.is_file()
    flag.rmdir()
    assert run_rollback(places).exit_code == 0
    assert scene.flag() == "json"


def test_a_row_that_only_an_index_has_is_taken_from_the_backup(healthy: Scene, tmp_path: Path) -> None:
    """The page of its table is read without an error, but says that it has one row less."""
    scene = damaged(healthy, tmp_path / "data", page=0)
    whole = written(scene.root / "sessions")
    content = bytearray(scene.database.read_bytes())
    content[(root_of(scene, "instances") - 1) * page_size(scene) + 4] -= 1  # the low byte of the number of its rows
    scene.database.write_bytes(content)
    report = export(DataDir(scene.root, scene.database), tmp_path / "out")
    assert written(tmp_path / "out") == whole
    assert report.exit_code == 3
    assert any("cannot be read completely" in error for error in report.errors)
