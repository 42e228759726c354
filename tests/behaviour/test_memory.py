"""Memory stays bounded whatever the files' size."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.corpus import sized, write_corpus
from tests.support.scene import CHECKOUT, Scene, app_json, chat

LIMIT = 200_000_000


# A process inherits the peak of the one that starts it, and that of a test run is high: a small one stands between.
LAUNCHER = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
print(code, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def migrate_measured(root: Path) -> tuple[int, int]:
    """The exit code of ``migrate`` in a process of its own, and the bytes of memory that it took at most."""
    command = [sys.executable, "-m", "migrator", "--data-dir", str(root), "migrate", "--progress", "none"]
    launched = subprocess.run(
        [sys.executable, "-c", LAUNCHER, *command], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    code, peak = map(int, launched.stdout.split())
    return code, peak * (1 if sys.platform == "darwin" else 1024)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="this system does not report what a process used")
def test_sixty_megabytes_migrate_in_less_than_two_hundred(tmp_path: Path) -> None:
    totals = write_corpus(sized(60_000_000), tmp_path)
    code, peak = migrate_measured(tmp_path)
    assert code == 0
    assert peak < LIMIT
    assert Scene(tmp_path).query("SELECT count(*) FROM sessions") == [(totals.sessions,)]


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="this system does not report what a process used")
def test_many_broken_sessions_take_no_more(scene: Scene) -> None:
    broken = chat("s-1", text="x" * 10_000) | {"task": 7}
    scene.write_bytes("/w", app_json([broken] * 3_000 + [chat("s-2")]))
    code, peak = migrate_measured(scene.root)
    assert code == 3
    assert peak < LIMIT
