"""The fixture, migrated once for each process, and a copy of it for each test."""

import shutil
from pathlib import Path

import pytest

from migrator import migrate
from tests.support.scene import Scene, copy_fixture


@pytest.fixture(scope="session")
def migrated_fixture(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    scene = copy_fixture(tmp_path_factory.mktemp("tools") / "ait42")
    migrate(scene.root, salvage=True)
    return scene


@pytest.fixture
def filled(migrated_fixture: Scene, tmp_path: Path) -> Scene:
    """The whole fixture, migrated."""
    shutil.copytree(migrated_fixture.root, tmp_path / "ait42")
    return Scene(tmp_path / "ait42")


@pytest.fixture
def path(filled: Scene) -> Path:
    """Its database."""
    return filled.database
