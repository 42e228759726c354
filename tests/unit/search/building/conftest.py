"""A database with an index that has been begun."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from migrator.data_dir import DataDir
from migrator.database.connection import connect, transaction
from migrator.search.index import begin


@pytest.fixture
def places(folder: Path) -> DataDir:
    return DataDir(folder, folder / "sessions.db")


@pytest.fixture
def app(places: DataDir) -> Iterator[sqlite3.Connection]:
    with closing(connect(places.database)) as connection:
        with transaction(connection, places.database, "begin"):
            begin(connection)
        yield connection
