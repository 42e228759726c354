"""Nothing that was acknowledged is lost while all stores are written to and every switch is made."""

import sys
from pathlib import Path

import pytest

from tests.torture.hammer import Hammer
from tests.torture.launcher import Launcher

WRITES = 250

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux says whether a program may still write to a file"),
]


def test_every_acknowledged_write_is_found(tmp_path: Path, launcher: Launcher) -> None:
    hammer = Hammer(tmp_path, launcher, WRITES)
    assert hammer.lost() == set()
    assert hammer.acknowledged > WRITES / 2
