"""Fast and by two processes, the result is that of one process that takes every care."""

import errno
import gc
import json
import logging
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from migrator.database.rows import to_rows
from migrator.documents import app_format
from migrator.documents.app_format import app_file
from migrator.documents.document import SequenceDigest, canonical_bytes
from migrator.documents.exact_json import MAX_DEPTH
from migrator.errors import MigrationFailed, StorageIOError
from migrator.files.os_errors import os_errors
from migrator.inventory.location import resolve_data_dir
from migrator.migration.run import run_migration
from migrator.progress import OnProgress, ProgressMeter, ignore_progress
from migrator.staging import pipeline, readback
from migrator.staging.database import StagingDatabase
from migrator.staging.loader import Loader
from migrator.staging.readback import ElementRange
from migrator.staging.row_writer import RowWriter
from migrator.staging.shard import LoadJob, new_shard
from migrator.worker import gc_pause as collector
from migrator.worker.limits import LIMITS, Limits
from migrator.worker.process import Job, WorkerProcess
from tests.support.loaders import LOADERS
from tests.support.scene import CHECKOUT, Scene, app_json, chat, copy_fixture, hash_of
from tests.support.strategies import files, instance, message, session
from tests.support.workers import IN_SMALL_PARTS, FakeWorker, NoWorker, SlowWorker

A, B, C = "/home/dev/a", "/home/dev/b", "/home/dev/c"


@contextmanager
def with_every_care() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(app_format, "find_sessions", lambda _: None)
        yield


def outcome(
    scene: Scene, *, salvage: bool = False, limits: Limits = IN_SMALL_PARTS, worker: type[WorkerProcess] | None = None
) -> dict[str, Any]:
    """Everything that a migration leaves, but for what depends on the time and the place."""
    report = run_migration(resolve_data_dir(scene.root), salvage=salvage, limits=limits, worker=worker).to_json()
    workspaces = scene.query("SELECT workspace_hash, workspace_path FROM workspaces ORDER BY workspace_hash")
    quarantine = "SELECT source_id, workspace_hash, position, reason, raw, problems FROM quarantine ORDER BY 1, 3"
    columns = "id, source, status, sha256, session_count, instances, messages, quarantined, digest"
    ledger = f"SELECT {columns} FROM migration_ledger"
    return {
        "report": [report[name] for name in ("status", "workspaces", "totals")],
        "errors": [error.replace(str(scene.root), "") for error in report["errors"]],
        "documents": {name: [json.dumps(d, default=str) for d in scene.documents(name)] for name, _ in workspaces},
        "paths": workspaces,
        "quarantine": scene.query(quarantine),
        "ledger": scene.query(f"{ledger} ORDER BY id"),
        "positions": scene.query("SELECT workspace_id, position, source_id FROM sessions ORDER BY 1, 2"),
        "broken": scene.query("PRAGMA integrity_check") + scene.query("PRAGMA foreign_key_check"),
        "left": sorted(os.listdir(scene.root)),
    }


def both(contents: dict[str, bytes], folder: Path, *, salvage: bool = False) -> dict[str, Any]:
    """The outcome for workspace files with these contents, proven to be the same in every way of working.

    The jobs of the worker process are done in this one: starting it takes longer than all of them.
    """
    careful, divided = Scene(folder / "careful"), Scene(folder / "divided")
    for workspace, content in contents.items():
        careful.write_bytes(workspace, content)
        divided.write_bytes(workspace, content)
    with with_every_care():
        found = outcome(careful, salvage=salvage, limits=LIMITS)
    assert found == outcome(divided, salvage=salvage, worker=FakeWorker().kind())
    assert found["broken"] == [("ok",)]
    return found


def many(prefix: str, count: int) -> list[Any]:
    return [chat(f"{prefix}-{number}", text="word " * 40) for number in range(count)]


@pytest.mark.parametrize("salvage", [False, True])
def test_the_shipped_fixture(salvage: bool, tmp_path: Path) -> None:
    with with_every_care():
        careful = outcome(copy_fixture(tmp_path / "careful"), salvage=salvage, limits=LIMITS)
    assert careful == outcome(copy_fixture(tmp_path / "divided"), salvage=salvage)


def test_one_large_file_is_divided_and_keeps_its_order(tmp_path: Path) -> None:
    found = both({A: app_json(many("s", 60))}, tmp_path)
    ids = [json.loads(text)["id"] for text in found["documents"][hash_of(A)]]
    assert ids == [f"s-{number}" for number in range(60)]


@pytest.fixture
def loaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline.Pipeline, "_load_again", lambda *_: pytest.fail("it was loaded again"))


@pytest.mark.usefixtures("loaded_once")
def test_what_the_app_writes_is_loaded_once_however_it_is_divided(scene: Scene) -> None:
    """What does not read back would be loaded again: it would only be slow."""
    for workspace, count in ((A, 60), (B, 3), (C, 90)):
        scene.write(workspace, many(workspace, count))
    report = run_migration(resolve_data_dir(scene.root), limits=IN_SMALL_PARTS)
    assert report.totals.sessions == 153


def test_ids_that_repeat_across_the_parts(tmp_path: Path) -> None:
    doubled = [*many("s", 30), *many("s", 30)]
    found = both({A: app_json(doubled), B: app_json(many("s", 30)), C: app_json(many("t", 5))}, tmp_path)
    assert found["report"][2]["sessions"] == 95


def test_message_ids_that_repeat_across_the_parts(tmp_path: Path) -> None:
    def similar(prefix: str) -> list[dict[str, Any]]:
        return [session(id=f"{prefix}-{n}", chatHistory=[message(id=f"m-{m}") for m in range(40)]) for n in range(20)]

    found = both({A: app_json(similar("a")), B: app_json(similar("b"))}, tmp_path)
    assert found["report"][2]["messages"] == 1600


def test_sessions_in_quarantine_keep_their_places_in_every_part(tmp_path: Path) -> None:
    broken = many("s", 60)
    for number in (0, 7, 31, 44, 59):
        broken[number]["status"] = 5
    found = both({A: app_json(broken)}, tmp_path)
    assert [row[2] for row in found["quarantine"]] == [0, 7, 31, 44, 59]
    reported = [error[error.index("index") : error.index(": ")] for error in found["errors"]]
    assert reported == ["index 0", "index 7", "index 31", "index 44", "index 59"]


SPELLINGS = {
    "a member twice": ('"task": "Build it"', '"task": "Build it",\n    "task": "Build it"'),
    "a member twice on a line": ('"task": "Build it"', '"task": "No", "task": "Build it"'),
    "a fraction for an integer": ('"winnerId": 7', '"winnerId": 7.0'),
    "an exponent": ('"winnerId": 7', '"winnerId": 7e0'),
    "an integer past 64 bits": ('"winnerId": 7', '"winnerId": 7,\n    "more": 123456789012345678901234567890'),
    "a fraction that no double holds": ('"winnerId": 7', '"winnerId": 7,\n    "more": 0.1234567890123456789012345'),
    "minus zero": ('"winnerId": 7', '"winnerId": 7,\n    "more": -0'),
    "an escape that needs none": ('"task": "Build it"', '"task": "\\u0042uild it"'),
    "an escaped slash": ('"task": "Build it"', '"task": "Build\\/it"'),
    "half of a surrogate pair": ('"task": "Build it"', '"task": "\\ud800"'),
    "a raw control character": ('"task": "Build it"', '"task": "Build\tit"'),
    "a raw line feed that looks like a cut": ('"task": "Build it"', '"task": "\n  },\n  {"'),
    "nonsense": ('"winnerId": 7', '"winnerId": NaN'),
    "nested too deep next to little else": (
        '"model": null,\n    "timeoutSeconds": null,\n    "preserveWorktrees": null,\n    "winnerId": 7,',
        '"more": ' + "[" * 300 + "]" * 300 + ",",
    ),
    **{
        f"nested {depth} deep": ('"winnerId": 7', '"winnerId": 7,\n    "more": ' + "[" * depth + "]" * depth)
        for depth in (MAX_DEPTH - 1, MAX_DEPTH, 200, 254, 300, 900, 1023, 1100, 20_000)
    },
    "deep enough to be kept": ('"winnerId": 7', '"winnerId": 7,\n    "more": ' + "[" * 120 + "]" * 120),
    "an unknown member in front": ('"task": "Build it"', '"aaa": [1, {"b": null}],\n    "task": "Build it"'),
    "no space": ('"task": "Build it"', '"task":"Build it"'),
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_what_the_app_does_not_write(name: str, tmp_path: Path) -> None:
    old, new = SPELLINGS[name]
    text = b"".join(app_file([*many("s", 20), session(id="odd", task="Build it", winnerId=7), *many("t", 20)])).decode()
    assert old in text
    both({A: text.replace(old, new).encode(), B: app_json(many("u", 3))}, tmp_path)


@pytest.mark.parametrize("cut_off", [1, 3, 500, 9_000])
@pytest.mark.parametrize("salvage", [False, True])
def test_a_truncated_file_among_complete_ones(salvage: bool, cut_off: int, tmp_path: Path) -> None:
    both({A: app_json(many("s", 40))[:-cut_off], B: app_json(many("t", 40))}, tmp_path, salvage=salvage)


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(contents=st.lists(files(), min_size=1, max_size=3))
def test_any_files(contents, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("any")
    both({w: b"".join(app_file(c)) for w, c in zip((A, B, C), contents, strict=False)}, folder)


@pytest.fixture
def divided(scene: Scene) -> Scene:
    """A file of many parts, to be migrated by two processes."""
    scene.write(A, many("s", 60))
    return scene


def require_all(scene: Scene, worker: type[WorkerProcess]) -> None:
    assert outcome(scene, worker=worker)["report"][2]["sessions"] == 60
    assert scene.query("SELECT count(*) FROM sessions") == [(60,)]
    assert not list(scene.root.glob("*staging*"))


def test_the_worker_is_really_asked(divided: Scene) -> None:
    answers: list[Any] = []

    class Asked(WorkerProcess):
        def result(self, *arguments: Any) -> Any:
            answers.append(super().result(*arguments))
            return answers[-1]

    require_all(divided, Asked)
    assert len(answers) > 2
    assert None not in answers


def test_without_a_worker_it_goes_as_well(divided: Scene) -> None:
    require_all(divided, NoWorker)


@pytest.mark.parametrize("program", [["/nonexistent/python"], [sys.executable, "-c", "raise SystemExit(3)"]])
def test_one_that_can_not_start_is_done_without(program: list[str], divided: Scene) -> None:
    class Unstartable(WorkerProcess):
        @classmethod
        def command(cls) -> list[str] | None:
            return program

    require_all(divided, Unstartable)


@pytest.mark.parametrize("method", ["submit", "result"])
@pytest.mark.parametrize("times", range(1, 5))  # it has two jobs of each kind, however slow it is
def test_a_run_completes_without_a_worker_that_died(method: str, times: int, divided: Scene) -> None:
    """It dies at some job of loading or of comparing, given or asked for, and whatever it had to say is lost."""
    asked: list[None] = []

    class Dying(WorkerProcess):
        def _die_in_time(self) -> None:
            asked.append(None)
            if len(asked) == times:
                self._process.kill()
                self._process.wait()
                list(iter(self._messages.get, ("gone", None)))
                self._messages.put(("gone", None))

        def submit(self, job: Job) -> int:
            if method == "submit":
                self._die_in_time()
            return super().submit(job)

        def result(self, *arguments: Any) -> Any:
            if method == "result":
                self._die_in_time()
            return super().result(*arguments)

    require_all(divided, Dying)
    assert len(asked) >= times


def shards_filled_here(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    real = LoadJob.run
    filled: list[Path] = []

    def running(self: Any, on_progress: OnProgress) -> Any:
        filled.append(self.shard)
        return real(self, on_progress)

    monkeypatch.setattr(LoadJob, "run", running)
    return filled


@pytest.mark.usefixtures("loaded_once")
def test_one_that_is_slow_is_helped_with_its_shards(divided: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    filled = shards_filled_here(monkeypatch)
    require_all(divided, SlowWorker)
    assert len(filled) > 1
    assert filled == sorted(filled, key=lambda path: int(path.name.rpartition("shard")[2]), reverse=True)
    assert [document["id"] for document in divided.documents(hash_of(A))] == [f"s-{number}" for number in range(60)]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(errno.ENOSPC, "No space left on device")])
def test_a_shard_that_can_not_be_filled_here_fails_the_run(
    error: type[BaseException] | BaseException, divided: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = RowWriter.flush

    def failing(self: Any) -> None:
        if "shard" in self._path.name:
            with os_errors("write", self._path):
                raise error
        real(self)

    monkeypatch.setattr(RowWriter, "flush", failing)
    expected = KeyboardInterrupt if error is KeyboardInterrupt else StorageIOError
    with pytest.raises(expected):
        run_migration(resolve_data_dir(divided.root), limits=IN_SMALL_PARTS, worker=SlowWorker)
    assert set(os.listdir(divided.root)) <= {"sessions", "backups", "migrator.lock"}


def test_a_shard_whose_filling_fails_is_not_written_and_the_error_is_reported(tmp_path: Path) -> None:
    def fill(path: Path, error: type[BaseException] | None) -> list[Any]:
        with nullcontext() if error is None else pytest.raises(error), new_shard(path, LOADERS[0], LIMITS) as rows:
            rows.begin_source()
            rows.add(to_rows(session(id="s")), None, 1, ("h", 0))
            if error is not None:
                raise error
        with closing(sqlite3.connect(path)) as connection:
            return connection.execute("SELECT count(*) FROM sessions").fetchall()

    assert fill(tmp_path / "whole", None) == [(1,)]
    assert fill(tmp_path / "failed", KeyboardInterrupt) == [(0,)]


def test_within_a_frozen_program_that_is_not_ours_there_is_none(frozen_program: None) -> None:
    assert WorkerProcess.command() is None


def test_within_a_program_that_embeds_python_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/opt/editor/editor")
    assert WorkerProcess.command() is None


class Endless:
    """A job that never ends by itself."""

    def run(self, on_progress: OnProgress) -> None:
        while True:
            time.sleep(1)


@pytest.mark.parametrize("busy", [False, True])
def test_the_worker_ends_when_the_first_process_is_gone(busy: bool, tmp_path: Path) -> None:
    script = (
        "import os, sys, time\n"
        "from migrator.worker.process import worker_if_worthwhile\n"
        "from tests.behaviour.test_two_processes import Endless\n"
        "from tests.support.workers import SHARED\n"
        "with worker_if_worthwhile(SHARED) as worker_for:\n"
        "    worker = worker_for(0, 0)\n"
        f"    {busy} and worker.submit(Endless())\n"
        "    print(worker._process.pid, flush=True)\n"
        "    sys.stdin.read(1)\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    first = subprocess.Popen(
        [sys.executable, "-c", script], cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert first.stdin
    assert first.stdout
    second = int(first.stdout.readline())
    os.kill(second, 0)
    first.communicate("x", timeout=60)
    for _ in range(600):
        if not is_running(second):
            return
        time.sleep(0.1)
    pytest.fail("it outlives the first one")


def is_running(process: int) -> bool:
    try:
        status = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return status != "Z"


def test_what_is_stored_otherwise_than_it_was_read_is_found_and_loaded_again(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.write(A, many("s", 10))
    real, damaged = Loader._add, []

    def spoiling(self: Any, loaded: Any, document: Any, index: int, size: int) -> None:
        if loaded.app_formatted and index == 3:
            damaged.append(index)
            document = document | {"task": "something else"}
        real(self, loaded, document, index, size)

    monkeypatch.setattr(Loader, "_add", spoiling)
    assert outcome(scene, limits=LIMITS)["report"][0] == "completed"
    assert damaged == [3]
    assert "something else" not in scene.tasks(A)


STRAY = """
    INSERT INTO chat_messages
    SELECT 'x', 'nobody', role, content, timestamp, NULL, 0, NULL FROM chat_messages LIMIT 1
"""


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("UPDATE sessions SET task = 'no' WHERE id = 's-3'", "index 3"),
        ("UPDATE chat_messages SET content = 'no' WHERE session_id = 's-3'", "index 3"),
        ("DELETE FROM instances WHERE session_id = 's-3'", "index 3"),
        ("DELETE FROM sessions WHERE id = 's-3'", "index 3"),
        ("UPDATE sessions SET position = 99 WHERE id = 's-3'", "index 3"),
        (STRAY, "11 messages"),
        ("UPDATE quarantine SET raw = 'no'", "index 10"),
        ("DELETE FROM quarantine", "index 10"),
    ],
)  # fmt: skip
def test_a_database_that_keeps_things_otherwise_is_never_published(
    damage: str, said: str, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.write(A, [*many("s", 10), {"id": "broken"}])
    damage_what_is_loaded(damage, monkeypatch)
    with pytest.raises(MigrationFailed, match=rf"\b{said}\b") as caught:
        run_migration(resolve_data_dir(scene.root))
    assert caught.value.code == "session.readback_failed"
    assert not scene.database.exists()


def damage_what_is_loaded(damage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By this statement, before it is read back; and loading it again helps nothing."""
    real = StagingDatabase.finish

    def finish(self: Any) -> None:
        self.rows.flush()
        self.connection.execute("COMMIT")
        self.connection.execute(damage)
        self.connection.execute("BEGIN")
        real(self)

    monkeypatch.setattr(StagingDatabase, "finish", finish)
    nowhere = ProgressMeter(ignore_progress, "load", 0)
    monkeypatch.setattr(
        pipeline.Pipeline,
        "_load_again",
        lambda self, loaded: self._compare_here([pipeline._to_compare(loaded)], nowhere)[0],
    )


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE sessions SET task = 'no' WHERE id = 's-1'",
        "UPDATE chat_messages SET content = 'no' WHERE session_id = 's-1'",
        "DELETE FROM instances WHERE session_id = 's-1'",
        "DELETE FROM sessions WHERE id = 's-2'",
        "DELETE FROM sessions WHERE id LIKE 's-%'",
        "UPDATE sessions SET position = 99 WHERE id = 's-2'",
        "UPDATE sessions SET position = position + 1 WHERE id LIKE 's-%'",
        "UPDATE sessions SET position = 1 - position WHERE id IN ('s-0', 's-1')",
        "UPDATE sessions SET source_id = 3 - source_id WHERE source_id IN (1, 2)",
        "UPDATE sessions SET source_id = 1 WHERE id IN ('s-2', 't-2', 'u-2')",
    ],
)
@pytest.mark.parametrize("two", [False, True])
def test_of_small_files_side_by_side_none_is_published_that_is_kept_otherwise(
    two: bool, damage: str, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    for workspace, prefix in ((A, "s"), (B, "t"), (C, "u")):
        scene.write_bytes(workspace, b"".join(app_file(many(prefix, 3))))
    damage_what_is_loaded(damage, monkeypatch)
    limits, worker = (IN_SMALL_PARTS, FakeWorker().kind()) if two else (LIMITS, None)
    with pytest.raises(MigrationFailed) as caught:
        run_migration(resolve_data_dir(scene.root), limits=limits, worker=worker)
    assert caught.value.code == "session.readback_failed"
    assert not scene.database.exists()


def test_small_files_as_the_app_writes_them_are_compared_without_being_read_again(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    for workspace, prefix in ((A, "s"), (B, "t"), (C, "u")):
        scene.write_bytes(workspace, b"".join(app_file(many(prefix, 3))))
    monkeypatch.setattr(readback, "opened", lambda path: pytest.fail(f"{path} was read"))
    report = run_migration(resolve_data_dir(scene.root))
    assert (report.status, report.totals.sessions) == ("completed", 9)
    for name, found in scene.query("SELECT workspace_hash, digest FROM migration_ledger"):
        digest = SequenceDigest()
        stored: list[Any] = scene.documents(name)
        for document in stored:
            digest.add(canonical_bytes(document))
        assert found == digest.hexdigest()


def test_the_collector_is_left_as_it_was() -> None:
    assert gc.isenabled()
    with collector.without_collector():
        assert not gc.isenabled()
        with collector.without_collector():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()


def test_instances_whose_numbers_repeat_and_messages_that_are_empty_go_the_same_way(tmp_path: Path) -> None:
    odd = [
        session(
            id=f"s-{number}",
            instances=[instance(instanceId=1), instance(instanceId=1)],
            chatHistory=[message(id="m", content=""), message(id="m"), message(id="")],
        )
        for number in range(40)
    ]
    both({A: app_json(odd), B: app_json(odd)}, tmp_path)


@pytest.fixture
def without_logs() -> Iterator[None]:
    """Log lines contain file names; pytest cannot pass one that is not text to another process."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.usefixtures("without_logs")
def test_a_folder_whose_name_is_not_text_is_worked_on_by_two_processes(tmp_path: Path) -> None:
    scene = Scene(Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9 #1?")))
    try:
        for workspace in (A, B, C):
            scene.write(workspace, [chat(f"{workspace}-{number}") for number in range(9)])
    except OSError:
        pytest.skip("this file system takes only text for names")
    assert run_migration(resolve_data_dir(scene.root), limits=IN_SMALL_PARTS).totals.sessions == 27
    assert len(scene.documents(hash_of(C))) == 9


@pytest.mark.parametrize("size", [1, 700, 2_000, 1 << 30])
def test_a_portion_that_is_cut_has_the_same_elements(size: int, scene: Scene) -> None:
    """One cut in the wrong place would only be slow: what does not read back is loaded again."""
    with scene.write(A, many("s", 12)).open("rb", buffering=0) as file:
        extent = app_format.find_sessions(file)
        assert extent
        sizes = [len(element.raw) for element in app_format.split(file, extent)]
        whole = ElementRange(0, extent.start, sizes, whole=True)
        cut = list(whole.cut(size))
        assert [element for portion in cut for element in app_format.split_again(file, *portion[:3])] == list(
            app_format.split_again(file, *whole[:3])
        )
    assert [portion.whole for portion in cut] == ([True] if size > sum(sizes) else [False] * len(cut))
