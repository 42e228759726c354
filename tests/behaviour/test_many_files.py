"""Many small files: two processes share what each of them costs, and whatever happens to one, nothing is missing."""

import json
import os
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from migrator.backups import copy_files, create
from migrator.backups.catalog import verify_backup
from migrator.backups.copy_files import CopyJob, CopyTask
from migrator.backups.manifest import read_manifest
from migrator.data_dir import resolve_data_dir
from migrator.errors import MigrationFailed, StorageIOError
from migrator.files import durable
from migrator.files.copying import sha256_of
from migrator.inventory.plan import Plan, make_plan
from migrator.inventory.source_files import own_files
from migrator.migration import execute
from migrator.migration.report import MigrationReport
from migrator.migration.run import run_migration
from migrator.progress import Progress
from migrator.staging import partition as division
from migrator.staging.loader import Loader
from migrator.staging.readback import Comparison
from migrator.worker import process as second_process
from migrator.worker.process import SecondProcess
from tests.support.scene import Scene, chat, hash_of

FILES = 12
COMPACT = range(4, 8)  # of the sorted ones: as the app does not write them


@pytest.fixture(autouse=True)
def everything_is_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(second_process, "WORTH_A_SECOND_PROCESS", 0)
    monkeypatch.setattr(second_process, "processors", lambda: 2)
    monkeypatch.setattr(copy_files, "_MANY", 3)
    monkeypatch.setattr(copy_files, "_AT_ONCE", 2)
    monkeypatch.setattr(execute, "_AT_ONCE", 2)


@pytest.fixture
def files(scene: Scene) -> Scene:
    for number in range(FILES):
        workspace = f"/home/dev/w{number}"
        scene.write(workspace, [chat(f"s{number}", workspace=workspace)])
    for place in sorted((scene.root / "sessions").iterdir())[COMPACT.start : COMPACT.stop]:
        place.write_text(json.dumps(json.loads(place.read_bytes())))
    return scene


def run(scene: Scene, listener: Callable[[Progress], None] = lambda _: None) -> MigrationReport:
    return run_migration(resolve_data_dir(scene.root), listener=listener)


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


def require_damage_is_found(name: str, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run fails over a file whose copy gets a line feed too many as soon as it is made, and publishes nothing."""
    start_sync = create.BackupWriter.start_sync

    def damaging(self: Any) -> None:
        with (self._working / "sessions" / name).open("ab") as copy:
            copy.write(b"\n")
        start_sync(self)

    monkeypatch.setattr(create.BackupWriter, "start_sync", damaging)
    with pytest.raises(MigrationFailed, match=f"{name} does not read back as what was written"):
        run(scene)
    assert not scene.database.exists()


def jobs_of_second(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The kinds of the jobs that the second process has done."""
    given: list[Any] = []
    done: list[str] = []
    give, result = SecondProcess.give, SecondProcess.result

    def giving(self: Any, job: Any) -> int:
        given.append(job)
        return give(self, job)

    def taking(self: Any, ticket: int, *seen: Any) -> Any:
        found = result(self, ticket, *seen)
        if found is not None:
            done.append(type(given[ticket - 1]).__name__)
        return found

    monkeypatch.setattr(SecondProcess, "give", giving)
    monkeypatch.setattr(SecondProcess, "result", taking)
    return done


def test_the_second_process_takes_a_part_of_everything(files: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    done = jobs_of_second(monkeypatch)
    require_all(files, run(files))
    assert {"CopyJob", "ReadBackJob", "LoadJob", "CompareJob", "LookJob"} == set(done)


def test_one_by_one_it_is_the_same(files: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(second_process, "command", lambda: None)
    require_all(files, run(files))


@pytest.mark.parametrize("kind", ["CopyJob", "LoadJob", "ReadBackJob", "CompareJob", "LookJob"])
def test_one_that_dies_is_done_without(kind: str, files: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """It dies as it is given the first job of a kind, whether or not it has begun with it."""
    give = SecondProcess.give
    given: list[str] = []

    def dying(self: Any, job: Any) -> int:
        given.append(type(job).__name__)
        ticket = give(self, job)
        if given[-1] == kind:
            self._process.kill()
            self._process.wait()
        return ticket

    monkeypatch.setattr(SecondProcess, "give", dying)
    require_all(files, run(files))
    assert kind in given


@pytest.mark.parametrize("more", [0, 1])
def test_of_very_many_new_files_it_is_asked_for_before_they_are_looked_at(
    more: int, files: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    happened: list[object] = []
    starting, looking = second_process.second_process, make_plan

    def start(*, wanted: bool, preload: Sequence[str]) -> AbstractContextManager[SecondProcess | None]:
        happened.append(wanted)
        return starting(wanted=False, preload=preload)

    def look(*arguments: Any, **options: Any) -> Plan:
        happened.append("looked")
        return looking(*arguments, **options)

    for number in range(FILES):
        (files.root / "sessions" / f"{number}.bak").write_bytes(b"")  # no workspace file
    monkeypatch.setattr(second_process, "WORTH_A_SECOND_PROCESS", (FILES + more) * second_process._COST_OF_A_FILE)
    monkeypatch.setattr(second_process, "second_process", start)
    monkeypatch.setattr("migrator.migration.run.make_plan", look)
    require_all(files, run(files))
    assert happened[:2] == [not more, "looked"]
    happened.clear()
    assert run(files).status == "nothing_to_do"
    assert happened == ["looked"]


@pytest.mark.parametrize("phase", ["backup", "load", "verify"])
def test_every_file_is_named_whoever_has_it(phase: str, files: Scene) -> None:
    events: list[Progress] = []
    run(files, events.append)
    names = {f"sessions/{name}" for name in os.listdir(files.root / "sessions")}
    assert {event.workspace for event in events if event.phase == phase} == names


def test_what_is_copied_adds_up(files: Scene) -> None:
    events: list[Progress] = []
    report = run(files, events.append)
    copied = [event for event in events if event.phase == "backup"]
    assert [event.done for event in copied] == sorted(event.done for event in copied)
    assert copied[-1].done == copied[-1].total == report.totals.bytes
    assert {event.sessions for event in copied} == {0}


@pytest.mark.parametrize("number", [0, FILES - 1])
def test_a_file_that_can_not_be_read_fails_alone(number: int, files: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its first ones are copied by this process, its last ones by the second; this one vanishes once it was seen."""
    gone = sorted((files.root / "sessions").iterdir())[number]
    copy_all = copy_files.copy_all

    def vanishing(*arguments: Any) -> Any:
        gone.unlink(missing_ok=True)
        return copy_all(*arguments)

    monkeypatch.setattr(create, "copy_all", vanishing)
    report = run(files)
    assert [found.status for found in report.workspaces].count("failed") == 1
    [failed] = [found for found in report.workspaces if found.status == "failed"]
    assert failed.hash == gone.stem
    assert report.totals.sessions == FILES - 1


@pytest.mark.parametrize("second", [True, False])
def test_files_that_change_meanwhile_are_told_and_taken_up_by_the_next_run(
    second: bool, files: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not second:
        monkeypatch.setattr(second_process, "command", lambda: None)
    names = sorted((files.root / "sessions").iterdir())
    changed, gone = [names[0], names[FILES // 2], names[-1]], names[1]

    def write(event: Progress) -> None:
        if event.phase == "verify" and gone.exists():
            gone.unlink()
            for place in changed:
                place.write_bytes(place.read_bytes().replace(b"Weave", b"Leave"))  # as long as before

    report = run(files, write)
    assert report.status == "completed"
    assert list(report.warnings) == [
        f"{place} changed while it was migrated; run 'migrator migrate' again to take that up." for place in changed
    ]
    assert not run(files).warnings
    tasks = [task for number in range(FILES) for task in files.tasks(f"/home/dev/w{number}")]
    assert (tasks.count("Leave"), len(tasks)) == (3, FILES)


@pytest.mark.parametrize("number", [0, FILES - 1])
def test_a_copy_that_can_not_be_made_fails_the_run(number: int, files: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    name = sorted(os.listdir(files.root / "sessions"))[number]
    copy_all = copy_files.copy_all

    def in_the_way(working: Path, *arguments: Any) -> Any:
        (working / "sessions" / name).mkdir(parents=True)
        return copy_all(working, *arguments)

    monkeypatch.setattr(create, "copy_all", in_the_way)
    with pytest.raises(StorageIOError, match=name):
        run(files)
    assert not files.database.exists()


@pytest.mark.parametrize("second", [True, False])
@pytest.mark.parametrize("number", [0, COMPACT.start, COMPACT[-1], FILES - 1])
def test_a_damaged_copy_fails_the_run(number: int, second: bool, files: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that are as the app writes them read back when they are loaded, the others later."""
    if not second:
        monkeypatch.setattr(second_process, "command", lambda: None)
    name = sorted(os.listdir(files.root / "sessions"))[number]
    require_damage_is_found(name, files, monkeypatch)


@pytest.mark.parametrize("second", [True, False])
def test_no_copy_is_read_back_twice(second: bool, files: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was loaded from all of its bytes, by either, is proven by that."""
    if not second:
        monkeypatch.setattr(second_process, "command", lambda: None)
    done = jobs_of_second(monkeypatch)
    left: list[str] = []
    read_back_job = create.BackupWriter._read_back_job

    def noting(self: Any) -> copy_files.ReadBackJob:
        job = read_back_job(self)
        left.extend(name for name, _ in job.files)
        return job

    monkeypatch.setattr(create.BackupWriter, "_read_back_job", noting)
    require_all(files, run(files))
    names = sorted(os.listdir(files.root / "sessions"))
    assert left == [f"sessions/{name}" for name in names[COMPACT.start : COMPACT.stop]]
    assert ("LoadJob" in done) == second


@pytest.mark.parametrize("shard", [division.SHARD, 1 << 17], ids=["whole", "cut"])
@pytest.mark.parametrize("second", [True, False])
def test_a_damaged_copy_of_a_large_file_fails_the_run(
    second: bool, shard: int, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not loaded from all of its bytes at once, so that nothing is proven by that."""
    if not second:
        monkeypatch.setattr(second_process, "command", lambda: None)
    monkeypatch.setattr(division, "SHARD", shard)
    place = scene.write(
        "/home/dev/w", [chat(f"s{number}", workspace="/home/dev/w", text="x" * 9_000) for number in range(20)]
    )
    require_damage_is_found(place.name, scene, monkeypatch)


@pytest.mark.parametrize("doubled", [True, False])
def test_what_is_loaded_again_has_to_be_what_was_copied(
    doubled: bool, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that does not read back as it stands is loaded again, from a copy that may be another one by then."""
    place = scene.write("/home/dev/w", [chat("s", workspace="/home/dev/w", task="first", text="whole")])
    if doubled:
        place.write_bytes(place.read_bytes().replace(b'"task": "first"', b'"task": "other",\n    "task": "first"'))
    start_verify = create.BackupWriter.start_verify

    def damaging(self: Any) -> Any:
        copy = self._working / "sessions" / place.name
        copy.write_bytes(copy.read_bytes().replace(b"whole", b"spoil"))
        return start_verify(self)

    monkeypatch.setattr(create.BackupWriter, "start_verify", damaging)
    with pytest.raises(MigrationFailed, match=f"{place.name} does not read back as what was written"):
        run(scene)
    assert not scene.database.exists()


def test_a_second_process_that_can_not_be_started_is_done_without(
    files: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(second_process, "command", lambda: [sys.executable, "-c", "raise SystemExit(3)"])
    require_all(files, run(files))


@pytest.mark.parametrize("stage", ["copy", "load", "compare"])
def test_when_it_fails_the_second_process_ends_before_anything_is_cleared_away(
    stage: str, files: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    happened: list[str] = []
    stop, remove, remove_folder = SecondProcess.stop, durable.remove, durable.remove_folder

    def failing(*_: Any) -> None:
        happened.append("failed")
        raise KeyboardInterrupt

    def noting(name: str, real: Callable[[Any], None]) -> Callable[[Any], None]:
        def called(what: Any) -> None:
            if "failed" in happened and threading.current_thread() is threading.main_thread():
                happened.append(name)  # the backup's own thread may be replacing a file meanwhile
            real(what)

        return called

    monkeypatch.setattr(SecondProcess, "stop", noting("stopped", stop))
    monkeypatch.setattr(durable, "remove", noting("cleared away", remove))
    monkeypatch.setattr(durable, "remove_folder", noting("cleared away", remove_folder))
    monkeypatch.setattr(*{
        "copy": (copy_files, "_copy"), "load": (Loader, "load_as_written"), "compare": (Comparison, "run"),
    }[stage], failing)  # fmt: skip
    with pytest.raises(KeyboardInterrupt):
        run(files)
    assert happened[:2] == ["failed", "stopped"]
    assert "cleared away" in happened
    assert sorted(os.listdir(files.root / "backups")) == []


def test_what_was_begun_is_copied_again(files: Scene, tmp_path: Path) -> None:
    sources = own_files(resolve_data_dir(files.root))
    (tmp_path / "sessions").mkdir()
    (tmp_path / sources[0].name).write_bytes(b"half")
    job = CopyJob(str(tmp_path), [CopyTask(s.name, s.place, s.name, s.size, None) for s in sources])
    with pytest.raises(StorageIOError, match="File exists"):
        job.run(lambda _name, _size: None)
    copies = job.run_again(lambda _name, _size: None)
    assert [(tmp_path / source.name).read_bytes() for source in sources] == [
        source.path.read_bytes() for source in sources
    ]
    assert copies == [(source.size, sha256_of(source.place), None, None) for source in sources]
