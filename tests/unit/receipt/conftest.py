"""The shipped fixture, migrated once, for tests that only look at it."""

import pytest

from migrator import migrate
from tests.support.scene import Scene, copy_fixture


@pytest.fixture(scope="session")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    scene = copy_fixture(tmp_path_factory.mktemp("receipt") / "ait42")
    assert migrate(scene.root).status == "completed_with_problems"
    return scene
