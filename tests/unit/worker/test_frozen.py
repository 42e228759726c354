"""The main module of the single-file program; `make sidecar-check` tests the file itself."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

import migrator
from migrator.staging.shard import LoadJob
from migrator.worker.process import WorkerProcess, freeze_support, worker_if_worthwhile
from tests.behaviour.test_two_processes import is_running
from tests.support.command_line import Outcome
from tests.support.loaders import LOADERS
from tests.support.scene import CHECKOUT, Scene, chat
from tests.support.workers import SHARED

FROZEN = "import runpy, sys; sys.frozen = True; runpy.run_module('migrator.frozen', run_name='__main__')"


def sidecar(*arguments: str | Path) -> Outcome:
    done = subprocess.run(
        [sys.executable, "-c", FROZEN, *arguments],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def frozen(monkeypatch: pytest.MonkeyPatch, frozen_program: None) -> list[str]:
    """Return the command with which a frozen program would start its worker."""
    monkeypatch.setattr(WorkerProcess, "is_frozen_start_supported", False)
    assert not freeze_support()
    start = WorkerProcess.command()
    assert start
    return start


def test_an_embedder_finds_it_at_the_top() -> None:
    assert migrator.freeze_support is freeze_support


def test_it_is_the_command_line(scene: Scene) -> None:
    scene.write("/a", [chat("s-1")])
    assert sidecar("--data-dir", scene.root, "migrate", "--json").json["totals"]["sessions"] == 1


def test_the_worker_is_the_program_itself(frozen: list[str]) -> None:
    assert frozen[0] == sys.executable


def test_the_program_does_the_jobs_of_a_worker(
    frozen: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Program(WorkerProcess):
        @classmethod
        def command(cls) -> list[str] | None:
            return [sys.executable, "-c", FROZEN, *frozen[1:]]

    monkeypatch.chdir(CHECKOUT)
    with worker_if_worthwhile(SHARED, kind=Program) as worker_for:
        worker = worker_for(0, 0)
        assert worker
        assert worker.result(worker.submit(LoadJob(tmp_path / "shard.db", LOADERS[0], [], SHARED))) == []
    assert (tmp_path / "shard.db").exists()


@pytest.mark.skipif(os.name == "nt", reason="nothing reports there that a parent is gone")
def test_it_ends_when_its_launcher_is_killed() -> None:
    child = (
        "import os, time; from migrator import frozen; frozen.end_with_launcher(); "
        "print(os.getpid(), flush=True); time.sleep(60)"
    )
    launcher = subprocess.Popen(
        [sys.executable, "-c", f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert launcher.stdout
    working = int(launcher.stdout.readline())
    launcher.kill()
    launcher.communicate()
    for _ in range(300):
        if not is_running(working):
            return
        time.sleep(0.1)
    pytest.fail("it outlives its launcher")
