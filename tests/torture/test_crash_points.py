"""Whatever happens at a step that changes something outside of memory, nothing is lost, and the next run finishes.

A sample of the points, other ones with another $TORTURE_SEED; ``make torture`` takes all.
"""

import random
import signal
import sys
from pathlib import Path

import pytest

from tests.torture.faults import fail, one_of_each_group
from tests.torture.kills import kill, kill_second, points_of, points_of_second, sample
from tests.torture.launcher import Launcher
from tests.torture.scenarios import SCENARIOS, Play

KILLS = 2  # in each scenario
FAULTS = 2

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
    for seen, act in dice.sample(list(one_of_each_group(points, dice)), FAULTS):
        fail(play, seen, act)


def test_a_second_process_that_dies_at_any_step_is_done_without(
    launcher: Launcher, tmp_path: Path, dice: random.Random
) -> None:
    play = Play(SCENARIOS["migrate with two processes"], tmp_path, launcher)
    points = points_of_second(play)
    assert points
    for seen, moment in sample(points, KILLS, dice):
        kill_second(play, seen, moment)
