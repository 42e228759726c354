"""When the power goes: of what was not synced the disk keeps what it likes, and nothing is lost all the same.

A sample of the states that a disk may be left in; ``make torture`` tries all.
"""

import random
from pathlib import Path

import pytest

from tests.torture.launcher import Launcher
from tests.torture.power import Disk, cut, put, recorded, states
from tests.torture.scenarios import SCENARIOS, Play, authority, everything
from tests.torture.trace import Call, CannotTrace

CUTS = 4  # in each scenario
SOME = ("migrate", "migrate into the app's database", "roll back what changed", "write to both")

pytestmark = pytest.mark.slow


def played(name: str, folder: Path, launcher: Launcher) -> tuple[Play, list[Call]]:
    play = Play(SCENARIOS[name], folder, launcher)
    try:
        return play, recorded(play)
    except CannotTrace as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("name", SOME)
def test_whatever_the_disk_holds_after_a_power_cut_the_next_run_finishes(
    name: str, launcher: Launcher, tmp_path: Path, dice: random.Random
) -> None:
    play, calls = played(name, tmp_path, launcher)
    at = frozenset(dice.sample(range(len(calls)), min(CUTS, len(calls))))
    found = list(states(play.scene.root, calls, dice, at=at))
    for where, content in dice.sample(found, min(CUTS, len(found))):
        cut(play, where, content)


@pytest.mark.parametrize(
    ("name", "authoritative"),
    [("migrate", "sqlite"), ("migrate into the app's database", "sqlite"), ("roll back what changed", "json"),
     ("write to the JSON files", "json")],
)  # fmt: skip
def test_what_was_reported_as_done_is_done_for_good(
    name: str, authoritative: str, launcher: Launcher, tmp_path: Path
) -> None:
    play, calls = played(name, tmp_path, launcher)
    disk = Disk(play.scene.root)
    for call in calls:
        disk.apply(call)
    for path in sorted(play.scene.root.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    put(disk.after_the_cut(lambda _: 0, lambda _: False), play.scene.root)
    assert authority(play.scene) == authoritative
    assert everything(play.scene) == play.expected.states[-1]


def wrote(path: str, data: bytes, offset: int = 0) -> Call:
    return Call("write", path, offset=offset, data=data)


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    (tmp_path / "old").write_bytes(b"old")
    return Disk(tmp_path)


def nothing_more(disk: Disk) -> dict[str, bytes | None]:
    return disk.after_the_cut(lambda _: 0, lambda _: False)


def all_names(disk: Disk) -> dict[str, bytes | None]:
    return disk.after_the_cut(lambda count: count, lambda _: False)


def test_the_simulated_disk_forgets_what_was_not_synced(disk: Disk, tmp_path: Path) -> None:
    new = str(tmp_path / "new")
    for call in (Call("create", new), wrote(new, b"new"), Call("rename", str(tmp_path / "old"), new)):
        disk.apply(call)
    assert nothing_more(disk) == {"old": b"old"}
    assert all_names(disk) == {"old": b""}


def test_the_simulated_disk_keeps_what_was_synced_before_the_sync_began(disk: Disk, tmp_path: Path) -> None:
    old = str(tmp_path / "old")
    for call in (wrote(old, b"new"), wrote(old, b"er", 3), Call("sync", old, begun=1)):
        disk.apply(call)
    assert nothing_more(disk) == {"old": b"new"}


def test_the_simulated_disk_keeps_a_name_when_its_folder_was_synced(disk: Disk, tmp_path: Path) -> None:
    disk.apply(Call("rename", str(tmp_path / "new"), str(tmp_path / "old")))
    assert nothing_more(disk) == {"old": b"old"}
    disk.apply(Call("sync", str(tmp_path)))
    assert nothing_more(disk) == {"new": b"old"}
