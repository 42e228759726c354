"""Emptying the tables of an index that is used no more."""

import sqlite3
from contextlib import closing

import pytest

from migrator.data_dir import DataDir
from migrator.database.connection import connect, transaction
from migrator.search.building.emptying import empty_unused, may_write
from migrator.search.building.gradual import index_gradually, put
from migrator.search.building.turns import Pace
from migrator.search.index import discard, start_over
from migrator.search.queries import INDEX_TABLES

OWN = [f"{table}_{own}" for table in INDEX_TABLES for own in ("data", "idx", "docsize")]


def sizes(connection: sqlite3.Connection) -> list[int]:
    return [connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in OWN]


@pytest.mark.parametrize("complete", [True, False])
def test_only_an_index_that_is_used_no_more_is_emptied(
    places: DataDir, app: sqlite3.Connection, *, complete: bool
) -> None:
    with transaction(app, places.database, "fill"):
        put(app, 0, [(number, f"some words {number} 明日の会議") for number in range(1, 30)])
    if complete:
        index_gradually(app, places.database, lambda _: None)
    full = sizes(app)
    assert 0 not in full
    empty_unused(app, places.database)
    assert sizes(app) == full
    with transaction(app, places.database, "start over"):
        start_over(app)
    assert sizes(app) == full
    empty_unused(app, places.database)
    assert sizes(app) == [0] * len(OWN)


def test_it_is_emptied_in_short_transactions(
    places: DataDir, app: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("migrator.search.building.emptying._STEP", 10)
    with transaction(app, places.database, "fill"):
        put(app, 0, [(number, "会議") for number in range(1, 31)])
        start_over(app)
    pauses: list[float] = []
    left: list[int] = []
    with closing(connect(places.database)) as other:

        def sleep(seconds: float) -> None:
            pauses.append(seconds)
            left.append(sizes(other)[-1])

        monkeypatch.setattr("time.sleep", sleep)
        empty_unused(app, places.database, Pace(seconds=0, pause=0.5))
    assert left == [20, 10, 0]
    assert pauses == [0.5] * 3
    assert sizes(app) == [0] * len(OWN)


def test_a_table_that_is_missing_is_left_out(places: DataDir, app: sqlite3.Connection) -> None:
    with transaction(app, places.database, "start over"):
        put(app, 0, [(1, "words"), (2, "会議")])
        start_over(app)
        app.execute("DROP TABLE search_grams")
    empty_unused(app, places.database)
    assert [app.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in OWN[:3]] == [0, 0, 0]


def test_without_an_index_there_is_nothing_to_write_to(places: DataDir, app: sqlite3.Connection) -> None:
    with closing(connect(places.database)) as another:
        assert may_write(another)
    with transaction(app, places.database, "drop"):
        discard(app, "left_out")
    assert not may_write(app)
    empty_unused(app, places.database)
