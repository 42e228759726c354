import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.torture.launcher import Launcher


@pytest.fixture(scope="session")
def launcher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launcher]:
    """Runs commands in processes of their own."""
    launcher = Launcher(tmp_path_factory.mktemp("launcher"))
    yield launcher
    launcher.close()


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the settings and the home of the user who runs the tests."""
    for name in ("AIT42_DATA_DIR", "MIGRATOR_DATABASE_URL", "DATABASE_URL", "STORAGE_BACKEND"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def dice() -> random.Random:
    """Choose points: the same ones each time, or with $TORTURE_SEED those of that number or word."""
    return random.Random(os.environ.get("TORTURE_SEED", "2025-01-13"))
