"""The database under Litestream: what the app writes arrives at a second place, and is whole there."""

import shutil
import signal
import subprocess
import sysconfig
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import pytest

import migrator
from migrator.documents.document import WorktreeSession
from tests.support.scene import Scene, chat, copy_fixture
from tests.support.strategies import message

LITESTREAM = shutil.which("litestream", path=sysconfig.get_path("scripts")) or shutil.which("litestream")
pytestmark = pytest.mark.skipif(LITESTREAM is None, reason="there is no Litestream for this system")
WORKSPACE = "/home/dev/projects/shop-frontend"
PATIENCE = 30  # seconds


@contextmanager
def replicating(database: Path, replica: Path) -> Iterator[None]:
    """Run Litestream next to the app, and end it as its manual says."""
    command = [str(LITESTREAM), "replicate", str(database), f"file://{replica}"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(PATIENCE)


def restored(replica: Path, target: Path) -> bool:
    """Whether there is anything to restore yet."""
    command = [str(LITESTREAM), "restore", "-o", str(target), f"file://{replica}"]
    return subprocess.run(command, capture_output=True, timeout=PATIENCE, check=False).returncode == 0


def elsewhere(scene: Scene, replica: Path, root: Path) -> Scene:
    """Another machine: the files as they were copied there some day, and the database from the replica."""
    shutil.copytree(scene.root, root, ignore=shutil.ignore_patterns("sessions.db*", ".sessions.db*", "storage.json"))
    assert restored(replica, root / "sessions.db")
    return Scene(root)


def test_what_the_app_writes_is_whole_at_the_second_place(tmp_path: Path) -> None:
    scene = copy_fixture(tmp_path / "here")
    migrator.migrate(scene.root, salvage=True)
    replica = tmp_path / "replica"
    written = [f"replicated {number}" for number in range(30)]
    with replicating(scene.database, replica), migrator.open_storage(scene.root) as store:
        [session, *_] = store.get_all_sessions(WORKSPACE)
        for number, text in enumerate(written):
            added = message(id=f"r-{number}", content=text)
            store.append_chat_message(WORKSPACE, session["id"], added)
        store.create_session(WORKSPACE, cast(WorktreeSession, chat("born-while-replicating", workspace=WORKSPACE)))
        expected = {path: store.get_all_sessions(path) for path in workspaces(scene)}
        for attempt in range(PATIENCE * 2):
            copy = tmp_path / f"attempt-{attempt}.db"
            if restored(replica, copy) and arrived(scene, copy):
                break
            time.sleep(0.5)
    there = elsewhere(scene, replica, tmp_path / "there")
    shutil.rmtree(scene.root)
    with migrator.open_storage(there.root) as store:
        assert {path: store.get_all_sessions(path) for path in workspaces(there)} == expected
    assert migrator.verify(there.root).status == "clean"
    messages = expected[WORKSPACE][0]["chatHistory"][-len(written) :]
    assert [said["content"] for said in messages] == written


def workspaces(scene: Scene) -> list[str]:
    return [path for (path,) in scene.query("SELECT workspace_path FROM workspaces ORDER BY id")]


def arrived(scene: Scene, copy: Path) -> bool:
    found = scene.query("SELECT count(*) FROM sessions WHERE id = 'born-while-replicating'", database=copy)
    return found == [(1,)]


def test_a_replica_can_go_back_to_json_as_well(tmp_path: Path) -> None:
    scene = copy_fixture(tmp_path / "here")
    migrator.migrate(scene.root)
    replica = tmp_path / "replica"
    subprocess.run(
        [str(LITESTREAM), "replicate", "-once", str(scene.database), f"file://{replica}"],
        capture_output=True,
        timeout=PATIENCE,
        check=True,
    )
    there = elsewhere(scene, replica, tmp_path / "there")
    before = there.file_of(WORKSPACE).read_bytes()
    there.file_of(WORKSPACE).unlink()
    migrator.rollback(there.root)
    assert there.file_of(WORKSPACE).read_bytes() == before
