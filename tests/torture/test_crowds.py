"""Many at once: migrators, readers, writers, and an app that holds the database open."""

import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from migrator import open_storage
from migrator.database import connection as connections
from tests.support.scene import CHECKOUT, Scene, app_inserts, start
from tests.torture.launcher import Launcher
from tests.torture.programs import WORKSPACE as LOOM
from tests.torture.scenarios import SCENARIOS, Play, Stage, change_files, files, migrated_clean

pytestmark = pytest.mark.slow


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    root = tmp_path / "ait42"
    root.mkdir()
    return Scene(root)


@pytest.fixture
def stage(scene: Scene, launcher: Launcher) -> Stage:
    return Stage(scene, launcher)


@pytest.mark.parametrize(("name", "crowd"), [("migrate", 8), ("merge changed files", 4), ("roll back what changed", 3)])
def test_of_many_at_once_each_does_it_or_waits_and_the_result_is_that_of_one(
    name: str, crowd: int, launcher: Launcher, tmp_path: Path
) -> None:
    play = Play(SCENARIOS[name], tmp_path, launcher)
    play.reset()
    command = play.stage.command(play.scenario.command)
    ended = Counter[int]()
    started = [start(*command) for _ in range(crowd)]
    for process in started:
        _, err = process.communicate(timeout=100)
        assert "Traceback" not in err
        assert "bug in migrator" not in err, err
        ended[process.returncode] += 1
    assert set(ended) <= {*play.scenario.codes, 4}
    assert ended.total() > ended[4]
    play.require_whole()
    play.require_finished()


APP = """
import sys, time
from migrator import MigratorError, open_storage
from tests.support.scene import chat
root, mine, workspace = sys.argv[1:]
kept = 0
while True:
    try:
        with open_storage(root) as store:
            store.create_session(workspace, chat(f"{mine}-{kept}", workspace=workspace, task=f"{mine} {kept}"))
            # Not those before: what is written while files are migrated is there after the next run.
            assert f"{mine}-{kept}" in [session["id"] for session in store.get_all_sessions(workspace)]
    except MigratorError as error:
        print("refused", type(error).__name__, flush=True)
        continue
    print("kept", f"{mine}-{kept}", flush=True)
    kept += 1
"""


def app(root: Path, mine: str) -> subprocess.Popen[str]:
    """A program that keeps writing through the authoritative store, and reports what was accepted."""
    return subprocess.Popen(
        [sys.executable, "-c", APP, str(root), mine, LOOM],
        cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.mark.parametrize(
    "commands",
    [
        [["migrate"]],
        [["migrate"], ["rollback"]],
        [["migrate"], ["backend", "hybrid"], ["backend", "sqlite"]],
    ],
    ids=["migrate", "there and back", "both"],
)
def test_with_other_writers_everything_that_was_accepted_is_there_in_the_end(
    commands: list[list[str]], stage: Stage
) -> None:
    files(stage)
    writers = [app(stage.scene.root, name) for name in ("one", "two")]
    kept: list[str] = []
    try:
        for writer in writers:
            assert writer.stdout is not None
            assert writer.stdout.readline().startswith("kept")
        for command in commands:
            stage.run(*command)
            time.sleep(0.2)
    finally:
        for writer in writers:
            writer.send_signal(signal.SIGTERM)
        ended = [writer.communicate(timeout=60) for writer in writers]
    for number, (out, err) in enumerate(ended):
        assert "Traceback" not in err, err  # a trial reports what a writer did that does not know of it yet
        name = ("one", "two")[number]
        kept += [f"{name}-0", *(line.split()[1] for line in out.splitlines() if line.startswith("kept"))]
    stage.must("migrate", codes=(0, 3))
    with open_storage(stage.scene.root) as store:
        found = {session["id"] for session in store.get_all_sessions(LOOM)}
    conflicts = {document["id"] for document in stage.scene.conflicts()}
    assert set(kept) <= found | conflicts
    assert {"loom-1", "loom-2"} <= found


def test_a_reader_sees_the_old_or_the_new_and_nothing_in_between(stage: Stage) -> None:
    migrated_clean(stage)
    change_files(stage)
    with open_storage(stage.scene.root) as store:
        before = [session["task"] for session in store.get_all_sessions(LOOM)]
        process = start(*stage.command(["migrate"]))
        seen = set()
        while process.poll() is None:
            seen.add(tuple(session["task"] for session in store.get_all_sessions(LOOM)))
        process.communicate()
        after = [session["task"] for session in store.get_all_sessions(LOOM)]
    assert process.returncode == 0
    assert before != after
    assert seen <= {tuple(before), tuple(after)}


def test_an_app_in_the_middle_of_a_transaction_is_waited_for(stage: Stage) -> None:
    files(stage)
    held = stage.scene.app_opens_it()
    held.execute("BEGIN IMMEDIATE")
    app_inserts(held, LOOM, "open", "not committed yet", "msg-open")
    process = start(*stage.command(["migrate"]))
    time.sleep(1)
    held.execute("COMMIT")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "not committed yet" in stage.scene.tasks(LOOM)
    held.close()


def test_the_lock_of_a_process_that_was_killed_blocks_no_one(stage: Stage) -> None:
    files(stage)
    program = "import sys, filelock; lock = filelock.FileLock(sys.argv[1]); lock.acquire(); print(flush=True); input()"
    lock = stage.scene.root / "migrator.lock"
    holder = subprocess.Popen(
        [sys.executable, "-c", program, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    holder.stdout.readline()
    stage.must("migrate", codes=(4,))
    holder.kill()
    holder.communicate()
    assert lock.exists()
    stage.must("migrate")


def test_on_a_network_file_system_there_is_no_log_in_shared_memory(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "network_file_system", lambda _: "nfs4")
    with closing(connections.connect(scene.database, create=True)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)


def test_a_whole_migration_on_a_network_file_system_leaves_no_log(stage: Stage) -> None:
    files(stage)
    stage.scene.app_opens_it().close()
    assert stage.run("migrate", patch="on_a_network").code == 0
    assert stage.scene.query("PRAGMA journal_mode") == [("delete",)]
    stage.must("verify")
    change_files(stage)
    assert stage.run("migrate", patch="on_a_network").code == 0
    assert not [path.name for path in stage.scene.root.iterdir() if path.name.endswith(("-wal", "-shm"))]
