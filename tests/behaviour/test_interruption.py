"""One migrator runs at a time; however it ends, one store is complete and authoritative, and a retry finishes."""

import itertools
import json
import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest
from filelock import FileLock

from benchmarks.corpus import Shape, write_corpus
from migrator.errors import StorageIOError
from migrator.files import durable
from migrator.inventory.location import resolve_data_dir
from migrator.migration.run import run_migration
from migrator.progress import Progress
from tests.support.command_line import Migrator
from tests.support.scene import Scene, app_inserts, chat, parsed, serialized, start

WORKSPACE = "/home/dev/engine"
KILLS = 6  # at random moments; the tests of crash points kill at chosen ones


def test_a_second_migrator_is_refused(scene: Scene) -> None:
    scene.write(WORKSPACE, [chat("s-1")])
    with FileLock(scene.root / "migrator.lock"):
        process = start("--data-dir", scene.root, "migrate")
        out, err = process.communicate(timeout=60)
    assert process.returncode == 4
    assert out == ""
    assert str(scene.root) in err
    assert not scene.database.exists()


@pytest.mark.parametrize("command", [["status"], ["verify"]])
def test_read_only_commands_need_no_lock(command: list[str], scene: Scene, migrator: Migrator) -> None:
    with FileLock(scene.root / "migrator.lock"):
        assert migrator("--data-dir", scene.root, *command).code == 0


def test_a_failure_is_one_json_object_too(scene: Scene, migrator: Migrator) -> None:
    scene.write(WORKSPACE, [chat("s-1")])
    with FileLock(scene.root / "migrator.lock"):
        outcome = migrator("--data-dir", scene.root, "migrate", "--json")
    assert outcome.code == 4
    assert outcome.json["status"] == "failed"


def test_the_lock_file_of_a_dead_process_does_not_matter(scene: Scene, migrator: Migrator) -> None:
    (scene.root / "migrator.lock").write_text("4711")
    scene.write(WORKSPACE, [chat("s-1")])
    assert migrator("--data-dir", scene.root, "migrate").code == 0


@pytest.mark.parametrize("options", [[], ["--dry-run"]])
def test_without_enough_space_nothing_is_written(
    options: list[str], scene: Scene, migrator: Migrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.write(WORKSPACE, [chat("s-1", text="x" * 5_000_000)])
    usage = shutil.disk_usage(scene.root)._replace(free=4_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    before = scene.listing()
    outcome = migrator("--data-dir", scene.root, "migrate", "--json", *options)
    assert outcome.code == 1
    [problem] = outcome.json["problems"]
    assert problem["code"] == "disk.full"
    assert "11.5 MB" in problem["message"]
    assert f"{scene.root} has only 4.0 MB free" in problem["message"]
    assert scene.listing() == before


def test_a_disk_that_fills_up_during_a_run_changes_nothing(
    scene: Scene, migrator: Migrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.write(WORKSPACE, [chat("s-1")])
    before = scene.listing()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        outcome = migrator("--data-dir", scene.root, "migrate", "--json")
    assert outcome.code == 1
    assert [problem["code"] for problem in outcome.json["problems"]] == ["disk.full"]
    after = {name: what for name, what in scene.listing().items() if name != "backups"}
    assert after == before
    assert migrator("--data-dir", scene.root, "migrate").code == 0


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory of several MB in the app's format."""
    root = tmp_path_factory.mktemp("corpus")
    write_corpus(Shape(4, 140, 400, 4_200), root)
    (root / "sessions.json").write_bytes((next((root / "sessions").iterdir())).read_bytes())
    return root


@pytest.fixture
def big(scene: Scene, corpus: Path) -> Scene:
    shutil.copytree(corpus, scene.root, dirs_exist_ok=True)
    return scene


def everything(root: Path) -> list[str]:
    files = [*(root / "sessions").iterdir(), root / "sessions.json"]
    return sorted(serialized(document) for file in files for document in parsed(file.read_bytes()))


def contents(root: Path) -> dict[str, bytes]:
    files = [*(root / "sessions").iterdir(), root / "sessions.json"]
    return {file.name: file.read_bytes() for file in files}


def everything_stored(scene: Scene) -> list[str]:
    hashes = [row[0] for row in scene.query("SELECT workspace_hash FROM workspaces")]
    return sorted(serialized(document) for name in hashes for document in scene.documents(name))


def require_whole_after_the_next_run(scene: Scene, migrator: Migrator, expected: list[str]) -> None:
    assert migrator("--data-dir", scene.root, "migrate").code == 0
    assert everything_stored(scene) == expected
    assert migrator("--data-dir", scene.root, "verify").code == 0
    names = {path.name for path in scene.root.iterdir()}
    assert names - {"sessions.db-wal", "sessions.db-shm"} == {
        "backups",
        "migrator.lock",
        "sessions",
        "sessions.db",
        "sessions.json",
        "storage.json",
    }
    assert not [name for name in os.listdir(scene.root / "backups") if name.startswith(".")]


def duration_of_a_run(root: Path, scratch: Path) -> float:
    shutil.copytree(root, scratch)
    started = time.perf_counter()
    process = start("--data-dir", scratch, "migrate")
    process.communicate(timeout=60)
    assert process.returncode == 0
    taken = time.perf_counter() - started
    shutil.rmtree(scratch)
    return taken


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no such signal")
@pytest.mark.parametrize("with_app", [False, True], ids=["new database", "the app's database"])
def test_after_a_kill_at_any_moment_one_store_is_complete_and_the_next_run_finishes(
    with_app: bool, corpus: Path, tmp_path: Path, migrator: Migrator
) -> None:
    expected, files = everything(corpus), contents(corpus)
    taken = duration_of_a_run(corpus, tmp_path / "measured")
    dice = random.Random(20250113)
    ended = {"before": 0, "after": 0}
    for attempt in itertools.count():
        if attempt >= KILLS // 2 + (not with_app) and ended["before"]:
            break
        scene = Scene(tmp_path / f"killed-{attempt}")
        shutil.copytree(corpus, scene.root)
        if with_app:
            app = scene.app_opens_it()
            app.close()
        process = start("--data-dir", scene.root, "migrate", "--progress", "none")
        time.sleep(dice.uniform(0.15, 1.05) * taken)
        process.kill()
        process.communicate()

        status = migrator("--data-dir", scene.root, "status", "--json")
        assert status.code == 0
        if status.json["authority"] == "sqlite":
            ended["after"] += 1
            assert everything_stored(scene) == expected
            taken *= 0.8  # the machine may have been slower when it was measured
        else:
            ended["before"] += 1
            assert scene.flag() is None
        assert contents(scene.root) == files
        require_whole_after_the_next_run(scene, migrator, expected)
        shutil.rmtree(scene.root)


@pytest.mark.skipif(os.name == "nt", reason="Windows knows no SIGINT for a single process")
@pytest.mark.parametrize(
    ("phase", "sent", "code"),
    [("backup", signal.SIGINT, 130), ("load", signal.SIGINT, 130), ("verify", signal.SIGTERM, 143)],
)
def test_an_interrupt_or_termination_signal_leaves_nothing_half_done(
    phase: str, sent: signal.Signals, code: int, big: Scene, corpus: Path, migrator: Migrator
) -> None:
    process = start("--data-dir", big.root, "migrate", "--progress", "jsonl")
    assert process.stderr is not None
    for line in process.stderr:
        if json.loads(line)["phase"] == phase:
            break
    process.send_signal(sent)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert "Interrupted" in err
    assert "Traceback" not in err
    assert not big.staging.exists()
    assert not big.database.exists()
    assert not list((big.root / "backups").glob(".*"))
    require_whole_after_the_next_run(big, migrator, everything(corpus))


PHASES = ["backup", "load", "verify", "publish"]


@pytest.mark.parametrize("phase", PHASES)
def test_an_interrupt_in_any_phase_leaves_nothing_half_done(phase: str, scene: Scene, migrator: Migrator) -> None:
    app = scene.app_opens_it()
    app_inserts(app, WORKSPACE, "s-app", "created in SQLite", "msg-app")
    app.close()
    scene.write("/w", [chat("s-1", workspace="/w")])
    before = scene.query("SELECT * FROM sessions ORDER BY id")
    happened: list[str] = []

    def interrupt(event: Progress) -> None:
        if event.phase == phase:
            happened.append(event.phase)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_migration(resolve_data_dir(scene.root), listener=interrupt)
    assert happened == [phase]
    assert [row[:3] for row in scene.query("SELECT * FROM sessions ORDER BY id")] == [row[:3] for row in before]
    assert scene.status() != "completed"
    assert scene.flag() is None
    assert not scene.staging.exists()
    assert migrator("--data-dir", scene.root, "migrate").code == 0
    assert scene.tasks("/w") == ["Weave"]
    assert scene.tasks(WORKSPACE) == ["created in SQLite"]


def test_the_remains_of_a_dead_run_are_removed(scene: Scene, migrator: Migrator) -> None:
    scene.write(WORKSPACE, [chat("s-1")])
    scene.staging.write_bytes(b"half a database")
    scene.staging.with_name(scene.staging.name + "-journal").write_bytes(b"half a journal")
    (scene.root / ".storage.json.4711.migrator-tmp").write_bytes(b"half a flag")
    (scene.root / "backups" / ".incomplete-20250113T100000Z-4711").mkdir(parents=True)
    (scene.root / ".rehearsal-dead").mkdir()
    (scene.root / ".rehearsal-dead" / "sessions.db").touch()
    assert migrator("--data-dir", scene.root, "migrate").code == 0
    assert sorted(path.name for path in scene.root.iterdir()) == [
        "backups",
        "migrator.lock",
        "sessions",
        "sessions.db",
        "storage.json",
    ]
    assert not list((scene.root / "backups").glob(".*"))


@pytest.mark.parametrize(
    "command", [["migrate"], ["rollback"], ["backend", "sqlite"], ["backups", "prune", "--keep", "1"]]
)
def test_the_next_command_that_takes_the_lock_or_sees_them_removes_the_remains_of_a_dead_run(
    command: list[str], scene: Scene, migrator: Migrator
) -> None:
    scene.write(WORKSPACE, [chat("s-1")])
    migrator("--data-dir", scene.root, "migrate")
    left = scene.root / ".storage.json.4711-1.migrator-tmp"
    left.write_bytes(b"half a flag")
    assert migrator("--data-dir", scene.root, *command).code == 0
    assert not left.exists()


def test_a_dry_run_removes_only_the_remains_of_dead_dry_runs(scene: Scene, migrator: Migrator) -> None:
    scene.write(WORKSPACE, [chat("s-1")])
    (scene.root / ".rehearsal-dead").mkdir()
    scene.staging.write_bytes(b"half a database")
    assert migrator("--data-dir", scene.root, "migrate", "--dry-run").code == 0
    assert {path.name for path in scene.root.iterdir()} == {"sessions", "sessions.db.staging"}


def test_a_file_is_synced_before_it_is_renamed(
    scene: Scene, migrator: Migrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.write(WORKSPACE, [chat("s-1")])
    order: list[str] = []
    sync, link, replace = os.fsync, os.link, os.replace

    def synced(descriptor: int) -> None:
        order.append("sync " + os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}")))
        sync(descriptor)

    def linked(source: Path, target: Path, **options: bool) -> None:
        order.append(f"name {target.name}")
        link(source, target, **options)

    def replaced(source: Path, target: Path) -> None:
        order.append(f"name {target.name}")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "link", linked)
    monkeypatch.setattr(os, "replace", replaced)
    if not os.path.exists("/proc/self/fd"):
        pytest.skip("this system does not report what a descriptor refers to")
    migrator("--data-dir", scene.root, "migrate")
    named = order.index("name sessions.db")
    assert "sync sessions.db.staging" in order[:named]
    assert order[named + 1] == "sync ait42"
    assert order.index("name storage.json") > named
    assert f"sync {scene.file_of(WORKSPACE).name}" in order[:named]


def test_the_flag_is_written_completely_or_not_at_all(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    flag = scene.root / "storage.json"
    flag.write_text('{"backend": "json"}')

    def fail(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(StorageIOError, match=flag.name):
        durable.replace(flag, [b'{"backend": "sqlite"}'])
    assert json.loads(flag.read_bytes()) == {"backend": "json"}
    assert [path.name for path in scene.root.iterdir()] == ["storage.json"]
