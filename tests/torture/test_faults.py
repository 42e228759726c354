"""Real faults of a machine: each gives a clear message, leaves the same store authoritative, and a retry works."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.scene import CHECKOUT, Scene, chat, hash_of, parsed, serialized
from tests.torture.launcher import Ended, Launcher
from tests.torture.programs import NOBODY
from tests.torture.programs import WORKSPACE as LOOM
from tests.torture.scenarios import ENGINE, SCENARIOS, Play, everything, names

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="these are faults as Linux has them"),
]


@pytest.fixture
def play(launcher: Launcher, tmp_path: Path) -> Play:
    return Play(SCENARIOS["migrate"], tmp_path, launcher)


def require_reported(ended: Ended, *words: str) -> None:
    assert ended.code == 1, ended
    assert "Traceback" not in ended.err
    assert "bug in migrator" not in ended.err, ended
    assert any(word in ended.err for word in words), ended


@pytest.mark.parametrize("limit", [1_000, 4_096, 20_000, 90_000, 150_000])
def test_a_file_that_may_grow_no_further_leaves_everything_as_it_was(limit: int, play: Play) -> None:
    play.reset()
    before = names(play.scene.root)
    ended = play.stage.run("migrate", limits=(("RLIMIT_FSIZE", limit),))
    require_reported(ended, "File too large", "full", "disk I/O error")
    assert names(play.scene.root) - {"backups", "migrator.lock"} <= before | {"backups/<time>-<id>"} | {
        name for name in names(play.scene.root) if name.startswith("backups/<time>-<id>/")
    }
    play.require_whole()
    play.require_finished()


FULL_DISK = """
mount -t tmpfs -o size={size}k tmpfs {root} || exit 77
cp -a {model}/. {root}/
run() {{ {python} -c "{program}" --data-dir {root} "$@" > /dev/null 2>> {log}; echo $?; }}
run migrate
run status
mount -o remount,size=64m {root}
run migrate
run verify
ls -A {root} {root}/backups
"""
PROGRAM = (
    "import sys; from tests.torture.programs import plenty_of_space; plenty_of_space(); "
    "from migrator.cli.app import run; sys.exit(run(sys.argv[1:]))"
)


@pytest.mark.parametrize("size", [36, 120, 240])
def test_a_disk_that_is_full_leaves_everything_as_it_was_and_with_space_it_goes_on(
    size: int, play: Play, tmp_path: Path
) -> None:
    play.reset()
    model, root = tmp_path / "copied", play.scene.root
    shutil.copytree(root, model)
    log = tmp_path / "log"
    script = FULL_DISK.format(size=size, root=root, model=model, python=sys.executable, program=PROGRAM, log=log)
    try:
        done = subprocess.run(
            ["unshare", "--mount", "bash", "-c", script],
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    except OSError as error:
        pytest.skip(f"no mounts of our own here: {error}")
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip(f"no mounts of our own here: {done.stderr.strip()}")
    lines = done.stdout.split()
    reported = log.read_text(encoding="utf-8")
    assert lines[:4] == ["1", "0", "3", "0"], (done, reported)
    assert "No space left on device" in reported or "is full" in reported
    assert "bug in migrator" not in reported
    assert not [name for name in lines if name.startswith(".") or "staging" in name]


@pytest.fixture
def nobodys(play: Play) -> Iterator[Scene]:
    """The data directory of a user who may not do everything; in the end everything may be removed again."""
    play.reset()
    scene = play.scene
    folder = scene.root
    while folder != folder.parent:
        folder.chmod(folder.stat().st_mode | 0o011) if os.geteuid() == 0 and folder.stat().st_uid == 0 else None
        folder = folder.parent
    if os.geteuid() == 0:
        for path in (scene.root, *scene.root.rglob("*")):
            os.chown(path, NOBODY, NOBODY)
    yield scene
    for path in (scene.root, *scene.root.rglob("*")):
        path.chmod(0o700)


DENIALS: dict[str, tuple[str, int, tuple[int, ...]]] = {
    "a workspace file": (f"sessions/{hash_of(LOOM)}.json", 0o000, (3,)),
    "the folder of the workspace files": ("sessions", 0o000, (1, 3)),
    "the data directory": (".", 0o500, (1,)),
}


@pytest.mark.parametrize("name", DENIALS)
def test_what_may_not_be_read_or_written_is_named_and_once_it_may_be_the_next_run_finishes(
    name: str, nobodys: Scene, play: Play
) -> None:
    place, mode, codes = DENIALS[name]
    before = everything(nobodys)
    path = nobodys.root / place
    path.chmod(mode)
    ended = play.stage.run("migrate", patch="as_nobody")
    path.chmod(0o700)
    assert ended.code in codes, ended
    assert "permission denied" in (ended.out + ended.err).lower()
    assert "bug in migrator" not in ended.err
    assert set(before) <= set(everything(nobodys)) or ended.code == 3
    play.require_finished()


def test_a_file_that_the_app_rewrites_while_it_is_read_is_migrated_by_the_next_run(play: Play) -> None:
    play.reset()
    ended = play.stage.run("migrate", patch="an_old_build_runs")
    assert "bug in migrator" not in ended.err, ended
    assert ended.code in (0, 1, 3), ended
    play.stage.must("migrate", codes=(0, 3))
    for path in (LOOM, ENGINE):
        now = [serialized(document) for document in parsed(play.scene.file_of(path).read_bytes())]
        assert {serialized(document) for document in play.scene.documents(hash_of(path))} >= {*now}  # more may be held
    play.stage.must("verify")


def test_a_file_that_vanishes_before_it_is_read_fails_alone_and_its_neighbours_migrate(play: Play) -> None:
    play.reset()
    ended = play.stage.run("migrate", patch="files_vanish")
    assert "bug in migrator" not in ended.err, ended
    assert ended.code in (1, 3), ended
    shutil.move(play.scene.root / "gone", play.scene.file_of(LOOM))
    play.require_finished()


def test_a_clock_that_goes_back_changes_nothing_but_names(play: Play) -> None:
    play.reset()
    play.stage.must("migrate", codes=(3,))
    play.scene.write(LOOM, [chat("loom-1", workspace=LOOM, task="later, by an earlier clock")])
    play.stage.run("migrate", patch="the_clock_is_a_day_behind")
    play.stage.must("verify")
    assert play.scene.tasks(LOOM) == ["later, by an earlier clock"]
    play.scene.write(LOOM, [chat("loom-1", workspace=LOOM, task="by the right clock again")])
    play.stage.must("migrate", codes=(0, 3))
    play.stage.must("backups", "prune", "--keep", "1")
    play.scene.write(LOOM, [chat("loom-1", workspace=LOOM, task="once more")])
    play.stage.must("migrate", codes=(0, 3))
    assert play.scene.tasks(LOOM) == ["once more"]
    play.stage.must("verify")
