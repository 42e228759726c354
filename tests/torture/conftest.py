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
    """No test sees the settings, or the home, of whoever runs it."""
    for name in ("AIT42_DATA_DIR", "DATABASE_URL", "STORAGE_BACKEND"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def dice() -> random.Random:
    """The same points each time, or others: with $TORTURE_SEED, a number, or a word that is another each time."""
    return random.Random(os.environ.get("TORTURE_SEED", "2025-01-13"))
