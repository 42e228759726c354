"""The rollback itself: from a damaged database, with another's worker, and after a failure."""

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from migrator import Progress, migrate
from migrator.backups.restore_database import WriteGuard, put_in_place
from migrator.data_dir import DataDir
from migrator.errors import Message, RollbackFailed, StorageIOError
from migrator.export import rollback
from migrator.export.rollback import run_rollback
from tests.support.scene import Scene, chat, parsed
from tests.support.workers import FakeWorker

ENGINE = "/home/dev/engine"


@pytest.fixture
def two(scene: Scene) -> Scene:
    """Two migrated sessions of one workspace."""
    scene.write(ENGINE, [chat("a"), chat("b")])
    migrate(scene.root, search_index=False)
    return scene


@pytest.fixture
def damaged(two: Scene) -> Scene:
    """The page where the table of messages begins is zeroed."""
    [(page,)] = two.query("SELECT rootpage FROM sqlite_master WHERE name = 'chat_messages'")
    with open(two.database, "r+b") as file:
        size = int.from_bytes(file.read(18)[16:], "big")
        file.seek((page - 1) * size)
        file.write(bytes(size))
    return two


def places(scene: Scene) -> DataDir:
    return DataDir(scene.root, scene.database)


def codes(messages: tuple[str, ...]) -> list[str]:
    return [message.code for message in messages if isinstance(message, Message)]


class Asked:
    """Has a worker if it is asked for one."""

    def __init__(self) -> None:
        self.worker = FakeWorker()

    def __call__(self, _size: int, _files: int) -> FakeWorker:
        return self.worker


def test_a_salvage_writes_the_files_and_keeps_the_damaged_database(
    damaged: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    guards, events, worker_for = list[WriteGuard | None](), list[Progress](), Asked()

    def guarded(data_dir: DataDir, copy: Path, guard: WriteGuard | None) -> Path:
        assert copy.is_relative_to(damaged.root)
        with (
            closing(sqlite3.connect(damaged.database, timeout=0, isolation_level=None)) as app,
            pytest.raises(sqlite3.OperationalError, match="locked"),
        ):
            app.execute("BEGIN IMMEDIATE")
        guards.append(guard)
        return put_in_place(data_dir, copy, guard)

    damaged.write(ENGINE, [chat("a"), chat("b"), chat("c")])  # by an old build; merging it makes a backup
    monkeypatch.setattr(rollback, "put_in_place", guarded)
    report = run_rollback(places(damaged), salvage=True, listener=events.append, worker_for=worker_for)
    assert (report.status, report.dry_run, report.database) == ("rolled_back", False, str(damaged.database))
    assert codes(report.errors) == ["database.damaged", *["session.completed_from_backup"] * 2]
    assert codes(report.warnings) == [*codes(report.errors), "rollback.kept_copy"]
    [kept] = [path for path in damaged.root.glob("backups/*/sessions.db") if str(path) in report.warnings[-1]]
    with pytest.raises(sqlite3.DatabaseError):
        damaged.query("SELECT * FROM chat_messages", database=kept)
    assert [type(guard) for guard in guards] == [WriteGuard]
    assert Path(report.backup_path or "nowhere").is_dir()
    assert {"backup", "restore"} <= {event.phase for event in events}
    assert worker_for.worker.submitted
    assert (damaged.status(), damaged.flag()) == ("rolled_back", "json")
    assert [document["id"] for document in parsed(damaged.file_of(ENGINE).read_bytes())] == ["a", "b", "c"]


def test_a_rehearsed_salvage_changes_nothing_and_locks_nobody_out(damaged: Scene) -> None:
    damaged.write(ENGINE, [chat("a"), chat("b"), chat("c")])
    before, writes = damaged.listing(), list[str]()

    def write(_: Progress) -> None:
        with closing(sqlite3.connect(damaged.database, timeout=0, isolation_level=None)) as app:
            app.execute("BEGIN IMMEDIATE")
            app.execute("ROLLBACK")
        writes.append("possible")

    report = run_rollback(places(damaged), dry_run=True, salvage=True, listener=write)
    assert (report.status, report.dry_run, report.database) == ("rolled_back", True, str(damaged.database))
    assert (
        codes(report.warnings) == codes(report.errors) == ["database.damaged", *["session.completed_from_backup"] * 2]
    )
    assert len(report.workspaces) == 1
    assert writes
    assert damaged.listing() == before


def test_a_damaged_database_is_salvaged_only_if_that_is_wanted(damaged: Scene) -> None:
    before = damaged.listing()
    with pytest.raises(RollbackFailed) as failed:
        run_rollback(places(damaged))
    assert failed.value.code == "database.damaged"
    assert damaged.listing() == before


def test_what_is_no_damage_ends_a_salvage_as_any_rollback(two: Scene) -> None:
    two.change("UPDATE sessions SET task = 'changed'")
    two.file_of(ENGINE).unlink()
    two.file_of(ENGINE).mkdir()
    with pytest.raises(RollbackFailed) as failed:
        run_rollback(places(two), salvage=True)
    assert failed.value.code == "file.in_the_way"
    assert two.status() == "completed"


@pytest.mark.parametrize("salvage", [False, True])
def test_a_failure_of_the_last_step_has_its_code_and_a_hint_of_ours(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, salvage: bool
) -> None:
    scene: Scene = request.getfixturevalue("damaged" if salvage else "two")

    def no_flag(*_: object) -> None:
        raise StorageIOError("The flag can't be written.", code="disk.full")

    monkeypatch.setattr(rollback, "write_flag", no_flag)
    with pytest.raises(RollbackFailed) as failed:
        run_rollback(places(scene), salvage=salvage)
    assert failed.value.code == "disk.full"
    assert failed.value.hint
    assert "None" not in failed.value.hint
    monkeypatch.undo()
    run_rollback(places(scene))
    assert (scene.status(), scene.flag()) == ("rolled_back", "json")


def test_the_callers_worker_is_used(two: Scene) -> None:
    worker_for = Asked()
    assert run_rollback(places(two), worker_for=worker_for).status == "rolled_back"
    assert worker_for.worker.submitted


def test_sessions_that_a_file_lost_and_has_again_are_counted(scene: Scene) -> None:
    scene.write(ENGINE, [chat(name) for name in "abc"])
    migrate(scene.root, search_index=False)
    scene.write(ENGINE, [])
    report = run_rollback(places(scene))
    [undone] = [warning for warning in report.warnings if "session.deletion_undone" in codes((warning,))]
    assert re.findall(r"\d+", undone) == ["3"]
    assert [document["id"] for document in parsed(scene.file_of(ENGINE).read_bytes())] == ["a", "b", "c"]
