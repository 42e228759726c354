"""Many small files: two processes share the work, and whatever happens to one of them, nothing is lost."""

import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Self

import pytest

from migrator.backups import create
from migrator.backups.catalog import verify_backup
from migrator.backups.copy_files import CopyJob, CopyTask, ReadBackJob
from migrator.backups.manifest import read_manifest
from migrator.errors import MigrationFailed, StorageIOError
from migrator.files.copying import sha256_of
from migrator.inventory.location import resolve_data_dir
from migrator.inventory.source_files import own_files
from migrator.migration.report import MigrationReport
from migrator.migration.run import run_migration
from migrator.progress import Progress
from migrator.worker.limits import Limits
from migrator.worker.process import Job, WorkerProcess
from tests.support.errors import raises
from tests.support.scene import Scene, chat, hash_of
from tests.support.workers import SHARED, FakeWorker, NoWorker

FILES = 12
COMPACT = range(4, 8)  # of the sorted files: not app-formatted


@pytest.fixture
def files(scene: Scene) -> Scene:
    for number in range(FILES):
        workspace = f"/home/dev/w{number}"
        scene.write(workspace, [chat(f"s{number}", workspace=workspace)])
    for place in sorted((scene.root / "sessions").iterdir())[COMPACT.start : COMPACT.stop]:
        place.write_text(json.dumps(json.loads(place.read_bytes())))
    return scene


def run(
    scene: Scene,
    listener: Callable[[Progress], None] = lambda _: None,
    worker: type[WorkerProcess] | None = None,
    limits: Limits = SHARED,
) -> MigrationReport:
    """
    :param worker: None for one whose jobs are done in this process, which starts at once
    """
    worker = worker or FakeWorker().kind()
    return run_migration(resolve_data_dir(scene.root), listener=listener, limits=limits, worker=worker)


def require_all(scene: Scene, report: MigrationReport) -> None:
    assert sorted((found.path, found.sessions) for found in report.workspaces) == sorted(
        (f"/home/dev/w{number}", 1) for number in range(FILES)
    )
    folder = Path(report.backup_path or "")
    assert not verify_backup(folder).damage
    assert sorted(str(file.source) for file in read_manifest(folder).files) == sorted(
        f"sessions/{hash_of(f'/home/dev/w{number}')}.json" for number in range(FILES)
    )
    for file in read_manifest(folder).files:
        assert (folder / file.file).read_bytes() == (scene.root / str(file.source)).read_bytes()


def require_damage_is_found(name: str, scene: Scene, *, with_worker: bool, limits: Limits = SHARED) -> None:
    """Require that a run fails and publishes nothing if a file's copy gets an extra line feed once it is made."""

    def damage(event: Progress) -> None:
        if event.phase == "backup" and event.workspace == f"sessions/{name}":
            [copy] = scene.root.glob(f"backups/.incomplete-*/sessions/{name}")
            if not copy.read_bytes().endswith(b"\n"):
                with copy.open("ab") as file:
                    file.write(b"\n")

    with pytest.raises(MigrationFailed, match=name) as caught:
        run(scene, damage, None if with_worker else NoWorker, limits)
    assert caught.value.code == "backup.readback_failed"
    assert not scene.database.exists()


def noting_jobs(done: list[str]) -> type[WorkerProcess]:
    """A worker that notes the kinds of the jobs that it has done."""

    class Noting(WorkerProcess):
        jobs: ClassVar[list[Job]] = []

        def submit(self, job: Job) -> int:
            self.jobs.append(job)
            return super().submit(job)

        def result(self, job_id: int, *arguments: Any) -> Any:
            found = super().result(job_id, *arguments)
            if found is not None:
                done.append(type(self.jobs[job_id - 1]).__name__)
            return found

    return Noting


def test_the_worker_does_a_part_of_every_kind_of_work(files: Scene) -> None:
    done: list[str] = []
    require_all(files, run(files, worker=noting_jobs(done)))
    assert {"CopyJob", "ReadBackJob", "LoadJob", "CompareJob", "ChangeCheckJob"} == set(done)


def test_without_a_worker_the_result_is_the_same(files: Scene) -> None:
    require_all(files, run(files, worker=NoWorker))


@pytest.mark.parametrize("kind", ["CopyJob", "LoadJob", "ReadBackJob", "CompareJob", "ChangeCheckJob"])
def test_a_run_completes_without_a_worker_that_died(kind: str, files: Scene) -> None:
    """The worker dies when it gets the first job of a kind, whether or not it has started on it."""
    given: list[str] = []

    class Dying(WorkerProcess):
        def submit(self, job: Job) -> int:
            given.append(type(job).__name__)
            job_id = super().submit(job)
            if given[-1] == kind:
                self._process.kill()
                self._process.wait()
            return job_id

    require_all(files, run(files, worker=Dying))
    assert kind in given


@pytest.mark.parametrize("more", [0, 1])
def test_for_very_many_new_files_the_worker_starts_before_they_are_examined(more: int, files: Scene) -> None:
    started: list[Path] = []

    class Started(NoWorker):
        """Adds a file when it is started: a later search finds the file."""

        @classmethod
        def start(cls, preload: Sequence[str] = ()) -> Self | None:
            started.append(files.write("/home/dev/late", [chat("late", workspace="/home/dev/late")]))
            return super().start(preload)

    for number in range(FILES):
        (files.root / "sessions" / f"{number}.bak").write_bytes(b"")  # not a workspace file
    limits = replace(SHARED, worker_size=(FILES + more) * SHARED.file_cost)
    report = run(files, worker=Started, limits=limits)
    assert started
    assert ("/home/dev/late" in {found.path for found in report.workspaces}) == (not more)
    started.clear()
    run(files)
    assert run(files, worker=Started, limits=limits).status == "nothing_to_do"
    assert not started


@pytest.mark.parametrize("phase", ["backup", "load", "verify"])
def test_progress_names_every_file(phase: str, files: Scene) -> None:
    events: list[Progress] = []
    run(files, events.append)
    names = {f"sessions/{name}" for name in os.listdir(files.root / "sessions")}
    assert {event.workspace for event in events if event.phase == phase} == names


def test_the_progress_of_copying_adds_up(files: Scene) -> None:
    events: list[Progress] = []
    report = run(files, events.append)
    copied = [event for event in events if event.phase == "backup"]
    assert [event.done for event in copied] == sorted(event.done for event in copied)
    assert copied[-1].done == copied[-1].total == report.totals.bytes
    assert {event.sessions for event in copied} == {0}


@pytest.mark.parametrize("number", [0, FILES - 1])
def test_a_file_that_can_not_be_read_fails_alone(number: int, files: Scene) -> None:
    """This process copies the first files and the worker the last ones; this file disappears once it was listed."""
    gone = sorted((files.root / "sessions").iterdir())[number]

    class Vanishing(WorkerProcess):
        def submit(self, job: Job) -> int:
            gone.unlink(missing_ok=True)
            return super().submit(job)

    report = run(files, worker=Vanishing)
    assert [found.status for found in report.workspaces].count("failed") == 1
    [failed] = [found for found in report.workspaces if found.status == "failed"]
    assert failed.hash == gone.stem
    assert report.totals.sessions == FILES - 1


@pytest.mark.parametrize("with_worker", [True, False])
def test_files_that_change_during_a_run_are_reported_and_migrated_by_the_next_one(
    with_worker: bool, files: Scene
) -> None:
    names = sorted((files.root / "sessions").iterdir())
    changed, gone = [names[0], names[FILES // 2], names[-1]], names[1]

    def write(event: Progress) -> None:
        if event.phase == "verify" and gone.exists():
            gone.unlink()
            for place in changed:
                place.write_bytes(place.read_bytes().replace(b"Weave", b"Leave"))  # the size stays

    report = run(files, write, None if with_worker else NoWorker)
    assert report.status == "completed"
    assert [warning.code for warning in report.warnings] == ["source.changed"] * len(changed)
    for place, warning in zip(changed, report.warnings, strict=True):
        assert str(place) in warning.message
    assert not run(files).warnings
    tasks = [task for number in range(FILES) for task in files.tasks(f"/home/dev/w{number}")]
    assert (tasks.count("Leave"), len(tasks)) == (3, FILES)


@pytest.mark.parametrize("number", [0, FILES - 1])
def test_a_copy_that_can_not_be_made_fails_the_run(number: int, files: Scene) -> None:
    name = sorted(os.listdir(files.root / "sessions"))[number]

    class InTheWay(WorkerProcess):
        def submit(self, job: Job) -> int:
            if isinstance(job, CopyJob):
                Path(job.working, "sessions", name).mkdir(exist_ok=True)
            return super().submit(job)

    with pytest.raises(StorageIOError, match=name):
        run(files, worker=InTheWay)
    assert not files.database.exists()


@pytest.mark.parametrize("with_worker", [True, False])
@pytest.mark.parametrize("number", [0, COMPACT.start, COMPACT[-1], FILES - 1])
def test_a_damaged_copy_fails_the_run(number: int, with_worker: bool, files: Scene) -> None:
    """App-formatted files are verified when they are loaded, the others later."""
    name = sorted(os.listdir(files.root / "sessions"))[number]
    require_damage_is_found(name, files, with_worker=with_worker)


@pytest.mark.parametrize("with_worker", [True, False])
def test_no_copy_is_read_back_twice(with_worker: bool, files: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy that either process loaded completely is verified by that."""
    done: list[str] = []
    left: list[str] = []
    read_back_job = create.BackupWriter._read_back_job

    def noting(self: Any) -> ReadBackJob:
        job = read_back_job(self)
        left.extend(name for name, _ in job.files)
        return job

    monkeypatch.setattr(create.BackupWriter, "_read_back_job", noting)
    require_all(files, run(files, worker=noting_jobs(done) if with_worker else NoWorker))
    names = sorted(os.listdir(files.root / "sessions"))
    assert left == [f"sessions/{name}" for name in names[COMPACT.start : COMPACT.stop]]
    assert ("LoadJob" in done) == with_worker


@pytest.mark.parametrize("shard", [SHARED.shard, 1 << 17], ids=["whole", "cut"])
@pytest.mark.parametrize("with_worker", [True, False])
def test_a_damaged_copy_of_a_large_file_fails_the_run(with_worker: bool, shard: int, scene: Scene) -> None:
    """It is loaded in ranges, which does not verify it."""
    place = scene.write(
        "/home/dev/w", [chat(f"s{number}", workspace="/home/dev/w", text="x" * 9_000) for number in range(20)]
    )
    require_damage_is_found(place.name, scene, with_worker=with_worker, limits=replace(SHARED, shard=shard))


@pytest.mark.parametrize("doubled", [True, False])
def test_a_file_that_is_loaded_again_must_be_what_was_copied(doubled: bool, scene: Scene) -> None:
    """A file that does not read back correctly is loaded again, from a copy that may have changed meanwhile."""
    place = scene.write("/home/dev/w", [chat("s", workspace="/home/dev/w", task="first", text="whole")])
    if doubled:
        place.write_bytes(place.read_bytes().replace(b'"task": "first"', b'"task": "other",\n    "task": "first"'))

    def damage(event: Progress) -> None:
        if event.phase == "load" and event.done == event.total:
            [copy] = scene.root.glob(f"backups/.incomplete-*/sessions/{place.name}")
            copy.write_bytes(copy.read_bytes().replace(b"whole", b"other"))

    with pytest.raises(MigrationFailed, match=place.name) as caught:
        run(scene, damage)
    assert caught.value.code == "backup.readback_failed"
    assert not scene.database.exists()


def test_a_run_completes_if_the_worker_cannot_be_started(files: Scene) -> None:
    class Unstartable(WorkerProcess):
        @classmethod
        def command(cls) -> list[str] | None:
            return [sys.executable, "-c", "raise SystemExit(3)"]

    require_all(files, run(files, worker=Unstartable))


@pytest.mark.parametrize("phase", ["backup", "load", "verify"])
def test_when_a_run_fails_the_worker_ends_before_files_are_removed(phase: str, files: Scene) -> None:
    stopped: list[set[str]] = []

    def there() -> set[str]:
        return {path.name for folder in ("", "backups") for path in (files.root / folder).iterdir()}

    class Stopped(WorkerProcess):
        def stop(self) -> None:
            stopped.append(there())
            super().stop()

    def failing(event: Progress) -> None:
        if event.phase == phase:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(files, failing, Stopped)
    left = {name for name in stopped[0] if name.startswith(".incomplete") or "staging" in name}
    assert len(left) > (phase != "backup")
    assert not left & there()
    assert sorted(os.listdir(files.root / "backups")) == []


def test_an_incomplete_copy_is_made_again(files: Scene, tmp_path: Path) -> None:
    sources = own_files(resolve_data_dir(files.root))
    (tmp_path / "sessions").mkdir()
    (tmp_path / sources[0].name).write_bytes(b"half")
    job = CopyJob(str(tmp_path), [CopyTask(s.name, s.place, s.name, s.size, None) for s in sources])
    with raises(StorageIOError, "file.exists"):
        job.run(lambda *_: None)
    copies = job.run_again(lambda *_: None)
    assert [(tmp_path / source.name).read_bytes() for source in sources] == [
        source.path.read_bytes() for source in sources
    ]
    assert copies == [(source.size, sha256_of(source.place), (), None) for source in sources]
