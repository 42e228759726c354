"""Whatever happens at a step that changes something outside of memory, nothing is lost, and the next run finishes.

A sample of the points, other ones with another $TORTURE_SEED; ``make torture`` takes all.
"""

import random
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from migrator.cli import app
from tests.support.scene import Scene
from tests.torture.faults import fail, one_of_each_group
from tests.torture.kills import kill, kill_second, points_of, points_of_second, sample
from tests.torture.launcher import Launcher
from tests.torture.scenarios import PASSING, SCENARIOS, Play, Stage, migrated

KILLS = 1  # in each scenario
FAILING = 0.5  # of the scenarios, one fault each

# Every command without a scenario, with what it is given.
LOOKING = {
    "status": [],
    "report": [],
    "verify": [],
    "sessions list": [],
    "sessions show": ["loom-1"],
    "sessions search": ["weave"],
    "quarantine list": [],
    "quarantine show": ["1"],
    "deletions list": [],
    "backups list": [],
    "backups verify": [],
    "search-index status": [],
    "schema status": [],
    "schema check": [],
    "doctor": [],
    "completion": ["bash"],
    "help": [],
}
A_SERVER = "browse"  # which opens databases to read alone; its own tests hold it to that

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="what a descriptor is of is read from /proc"),
    pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no such signal"),
]


@pytest.mark.parametrize("name", SCENARIOS)
def test_killed_failing_or_interrupted_at_any_step_it_loses_nothing_and_the_next_run_finishes(
    name: str, launcher: Launcher, tmp_path: Path, dice: random.Random
) -> None:
    play = Play(SCENARIOS[name], tmp_path, launcher)
    points = points_of(play)
    assert not [seen.point.name for seen in points if seen.point.name.startswith("UNSEEN")]
    for seen, moment in sample(points, KILLS, dice):
        kill(play, seen, moment)
    if dice.random() < FAILING:
        seen, act = dice.choice(list(one_of_each_group(points, dice)))
        fail(play, seen, act)


def test_a_worker_that_dies_at_any_step_is_done_without(
    launcher: Launcher, tmp_path: Path, dice: random.Random
) -> None:
    play = Play(SCENARIOS["migrate with two processes"], tmp_path, launcher)
    points = points_of_second(play)
    assert points
    for seen, moment in sample(points, KILLS, dice):
        kill_second(play, seen, moment)


def test_every_command_has_a_scenario_or_only_looks() -> None:
    killed = {" ".join(word for word in scenario.command if word.islower()) for scenario in SCENARIOS.values()}
    without = {words for words in leaves(app.cli) if not any(f"{one} ".startswith(f"{words} ") for one in killed)}
    assert without | {"report", "doctor", "verify"} == LOOKING.keys() | {A_SERVER}


def leaves(command: click.Command, *words: str) -> Iterator[str]:
    """Every command that does something, by its words."""
    if not isinstance(command, click.Group):
        yield " ".join(words)
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        member = command.get_command(context, name)
        assert member is not None
        yield from leaves(member, *words, name)


def test_what_only_looks_changes_no_file(launcher: Launcher, tmp_path: Path) -> None:
    scene = Scene(tmp_path / "ait42")
    scene.root.mkdir()
    stage = Stage(scene, launcher)
    migrated(stage)
    before = lasting(scene)
    for words, options in LOOKING.items():
        stage.must(*words.split(), *options, codes=(0, 3))
        assert (words, lasting(scene)) == (words, before)


def lasting(scene: Scene) -> dict[str, tuple[int, int, str]]:
    return {name: what for name, what in scene.listing().items() if not PASSING.fullmatch(name)}
