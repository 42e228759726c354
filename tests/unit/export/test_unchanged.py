"""Going back by two processes is going back by one: the second only reads what the first would."""

from dataclasses import replace

import pytest

from migrator.export.rollback import RollbackReport, run_rollback
from migrator.export.unchanged import DigestJob
from migrator.inventory.location import resolve_data_dir
from migrator.worker.limits import LIMITS, Limits
from migrator.worker.process import worker_if_worthwhile
from tests.support.command_line import Migrator
from tests.support.scene import Scene, chat
from tests.support.workers import SHARED, FakeWorker

WORKSPACES = [f"/home/dev/w{number}" for number in range(4)]


@pytest.fixture
def migrated(scene: Scene, migrator: Migrator) -> Scene:
    for workspace in WORKSPACES:
        scene.write(workspace, [chat(f"{workspace}-{number}", workspace=workspace) for number in range(3)])
    assert migrator("--data-dir", scene.root, "migrate").code == 0
    return scene


def how_restored(report: RollbackReport) -> list[str]:
    return [file.restored for file in report.workspaces]


def files_of(scene: Scene) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((scene.root / "sessions").iterdir())}


def rolled_back(scene: Scene, worker: FakeWorker, limits: Limits = SHARED) -> RollbackReport:
    with worker_if_worthwhile(limits, kind=worker.kind()) as worker_for:
        return run_rollback(resolve_data_dir(scene.root), worker_for=worker_for)


def read_by(worker: FakeWorker) -> list[int]:
    """The numbers of the sources that it was to read."""
    [job] = [job for job in worker.submitted if isinstance(job, DigestJob)]
    return [*job.source_ids]


def test_the_second_half_is_read_by_the_worker(migrated: Scene) -> None:
    before, worker = files_of(migrated), FakeWorker()
    assert how_restored(rolled_back(migrated, worker)) == ["bytes"] * 4
    assert read_by(worker) == [3, 4]
    assert files_of(migrated) == before


@pytest.mark.parametrize("number", range(4))
def test_a_change_is_seen_by_either_process(migrated: Scene, number: int) -> None:
    session = f"{WORKSPACES[number]}-1"
    migrated.change("UPDATE sessions SET task = 'another' WHERE id = ?", session)
    with worker_if_worthwhile(SHARED) as worker_for:
        report = run_rollback(resolve_data_dir(migrated.root), worker_for=worker_for)
    assert [file.path for file in report.workspaces if file.restored == "export"] == [WORKSPACES[number]]
    assert b'"task": "another"' in migrated.file_of(WORKSPACES[number]).read_bytes()


def test_what_a_worker_that_dies_should_have_read_is_read_here(migrated: Scene) -> None:
    before, worker = files_of(migrated), FakeWorker(dies_at=1)
    assert how_restored(rolled_back(migrated, worker)) == ["bytes"] * 4
    assert read_by(worker) == [3, 4]
    assert files_of(migrated) == before


def test_little_is_read_by_one_process(migrated: Scene) -> None:
    worker = FakeWorker()
    assert how_restored(rolled_back(migrated, worker, replace(LIMITS, processors=2))) == ["bytes"] * 4
    assert not worker.submitted
