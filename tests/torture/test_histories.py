"""Whole histories lose nothing, in any order of steps, and whenever a command is killed.

Other histories with another $TORTURE_SEED; ``make torture`` plays thousands. What a fault lost once is played again.
"""

import random
import sys
import tempfile
from pathlib import Path

import pytest

from tests.torture.histories import SHORT, history_of, lost_by, play, shortened
from tests.torture.launcher import Launcher
from tests.torture.open_faults import FIXED, OPEN_FAULTS

HISTORIES = 40
AT_ONCE = 10

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="what a descriptor is of is read from /proc"),
]


@pytest.mark.parametrize("part", range(HISTORIES // AT_ONCE))
def test_no_history_loses_a_text_that_was_not_deleted(part: int, launcher: Launcher, dice: random.Random) -> None:
    first = dice.randrange(1 << 32)
    for seed in range(first + part * AT_ONCE, first + (part + 1) * AT_ONCE):
        history = history_of(seed, SHORT)
        if lost_by(history, launcher) is not None:
            short = shortened(history, launcher)
            pytest.fail(f"{'; '.join(short)}\n{lost_by(short, launcher)}")


@pytest.mark.parametrize(
    "history",
    [
        pytest.param(fault.history, marks=pytest.mark.xfail(strict=False, reason=f"{name}: {fault.lost}"), id=name)
        for name, fault in OPEN_FAULTS.items()
    ]
    + [pytest.param(history, id=name) for name, history in FIXED.items()],
)
def test_what_a_fault_lost_once_is_not_lost_again(history: str, launcher: Launcher) -> None:
    with tempfile.TemporaryDirectory() as folder:
        play(history.split("; "), Path(folder), launcher)
