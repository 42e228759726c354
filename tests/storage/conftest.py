from collections.abc import Iterator
from pathlib import Path

import pytest

from migrator.storage.sqlite import SqliteStorage
from tests.command_line import alone, migrator, scene
from tests.storage.stores import STORES, Opened, prepared

__all__ = ["alone", "folder", "migrator", "opened", "scene", "template"]


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database with the whole schema, to be copied."""
    path = tmp_path_factory.mktemp("template") / "sessions.db"
    SqliteStorage(path).close()
    return path


@pytest.fixture
def folder(tmp_path: Path, template: Path) -> Path:
    """A data directory with an empty database."""
    return prepared(template, tmp_path / "data")


@pytest.fixture(params=STORES)
def opened(request: pytest.FixtureRequest, folder: Path) -> Iterator[Opened]:
    """Each store in turn."""
    opened = STORES[request.param](folder)
    with opened.store:
        yield opened
