"""A command is killed and another one follows: nothing is lost, whichever it is.

A sample of kills and commands, other ones with another $TORTURE_SEED; ``make torture`` takes all.
"""

import os
import random
import sys
from pathlib import Path

import pytest

from tests.torture.aftermath import NEXT, Left, Stopped
from tests.torture.kills import points_of, run_with, sample
from tests.torture.launcher import Launcher
from tests.torture.points import Fault
from tests.torture.scenarios import SCENARIOS

SOME = 4  # scenarios
KILLS = 2  # in each
COMMANDS = 2  # after each state that these leave

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="what a descriptor is of is read from /proc"),
]

_dice = random.Random(os.environ.get("TORTURE_SEED", "2025-01-13"))
_sample = sorted(_dice.sample([*SCENARIOS], SOME))


@pytest.mark.parametrize("name", _sample)
def test_whatever_command_comes_after_a_kill_loses_nothing(
    name: str, launcher: Launcher, tmp_path: Path, dice: random.Random
) -> None:
    play = Stopped(name, tmp_path, launcher)
    commands = dice.sample([*NEXT], COMMANDS)
    for left in [*play.states(sample(points_of(play), KILLS, dice))]:
        for command in commands:
            play.require_all_found(left, command)


@pytest.mark.parametrize("command", ["migrate", "backend sqlite", "backend hybrid"])
def test_a_rollback_out_of_hybrid_mode_that_is_killed_before_it_writes_the_flag_empties_nothing(
    command: str, launcher: Launcher, tmp_path: Path
) -> None:
    play = Stopped("roll back out of hybrid mode", tmp_path, launcher)
    commit = next(
        seen for seen in points_of(play) if "COMMIT sessions.db" in seen.point.name and "rollback" in seen.point.name
    )
    play.reset()
    run_with(play, Fault(commit.point, "after", "SIGKILL"))
    assert (play.scene.status(), play.scene.flag()) == ("rolled_back", "hybrid")
    left = Left("killed after its commit", play.keep("killed"))
    play.require_all_found(left, command)
