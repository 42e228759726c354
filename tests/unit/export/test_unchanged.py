"""Going back by two processes is going back by one: the second only reads what the first would."""

import sqlite3
import sys

import pytest

from migrator import rollback
from migrator.export import unchanged
from migrator.export.rollback import RollbackReport
from migrator.worker import process as second_process
from tests.support.command_line import Migrator
from tests.support.scene import Scene, chat

WORKSPACES = [f"/home/dev/w{number}" for number in range(4)]


@pytest.fixture
def migrated(scene: Scene, migrator: Migrator) -> Scene:
    for workspace in WORKSPACES:
        scene.write(workspace, [chat(f"{workspace}-{number}", workspace=workspace) for number in range(3)])
    assert migrator("--data-dir", scene.root, "migrate").code == 0
    return scene


@pytest.fixture
def two_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(second_process, "WORTH_A_SECOND_PROCESS", 0)
    monkeypatch.setattr(second_process, "processors", lambda: 2)


@pytest.fixture
def read_here(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of the sources that this process has read."""
    numbers: list[int] = []
    real = unchanged.read_digests

    def noting(connection: sqlite3.Connection, source_id: int) -> unchanged.Read | None:
        numbers.append(source_id)
        return real(connection, source_id)

    monkeypatch.setattr(unchanged, "read_digests", noting)
    return numbers


def how_restored(report: RollbackReport) -> list[str]:
    return [file.restored for file in report.workspaces]


def files_of(scene: Scene) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((scene.root / "sessions").iterdir())}


@pytest.mark.usefixtures("two_processes")
def test_the_second_half_is_read_by_the_second_process(migrated: Scene, read_here: list[int]) -> None:
    before = files_of(migrated)
    assert how_restored(rollback(migrated.root)) == ["bytes"] * 4
    assert read_here == [1, 2]
    assert files_of(migrated) == before


@pytest.mark.usefixtures("two_processes")
@pytest.mark.parametrize("number", range(4))
def test_a_change_is_seen_whoever_reads_it(migrated: Scene, number: int) -> None:
    session = f"{WORKSPACES[number]}-1"
    migrated.change("UPDATE sessions SET task = 'another' WHERE id = ?", session)
    report = rollback(migrated.root)
    assert [file.path for file in report.workspaces if file.restored == "export"] == [WORKSPACES[number]]
    assert b'"task": "another"' in migrated.file_of(WORKSPACES[number]).read_bytes()


@pytest.mark.usefixtures("two_processes")
def test_what_a_second_process_that_dies_should_have_read_is_read_here(
    migrated: Scene, read_here: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(second_process, "command", lambda: [sys.executable, "-c", "pass"])
    assert how_restored(rollback(migrated.root)) == ["bytes"] * 4
    assert read_here == [1, 2, 3, 4]


def test_little_is_read_by_one_process(migrated: Scene, read_here: list[int]) -> None:
    assert how_restored(rollback(migrated.root)) == ["bytes"] * 4
    assert read_here == [1, 2, 3, 4]
