"""A few forks of each situation; ``python -m tests.torture.forks --rounds 200`` makes many."""

import os
import subprocess
import sys

import pytest

from tests.torture.forks import SITUATIONS

pytestmark = [pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")]


@pytest.mark.parametrize("situation", SITUATIONS)
def test_nothing_crosses_a_fork(situation):
    command = [sys.executable, "-m", "tests.torture.forks", situation]  # with both kinds of stores
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
