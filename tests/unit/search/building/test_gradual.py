"""Indexing in the database itself: what is taken, what is put into the index, how far it has come."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from migrator.data_dir import DataDir
from migrator.errors import TransactionError
from migrator.search.building import queries
from migrator.search.building.gradual import BASES, MOST_ROWS, Text, index_gradually, index_some, put, put_change, take
from migrator.search.building.turns import Pace
from migrator.search.index import index_problems, table_definitions
from tests.support.scene import app_inserts


@pytest.fixture
def tables() -> Iterator[sqlite3.Connection]:
    """The two tables of the index alone."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        for statement in table_definitions():
            connection.execute(statement)
        yield connection


def found(connection: sqlite3.Connection, table: str, words: str) -> list[int]:
    statement = f"SELECT rowid FROM {table} WHERE {table} MATCH ? ORDER BY rowid"
    return [row_id for (row_id,) in connection.execute(statement, (words,))]


@pytest.mark.parametrize(
    ("most", "count", "size"),
    [(1, 1, 3), (3, 1, 3), (4, 3, 5), (5, 3, 5), (6, 4, 8), (8, 4, 8), (9, 5, 9), (100, 5, 9)],
)
def test_texts_are_taken_until_they_have_so_many_bytes(most: int, count: int, size: int) -> None:
    rows: list[Text] = [(1, "abc"), (2, None), (3, "é"), (4, "会"), (5, "\ud800")]
    assert take(rows, 0, most) == (rows[:count], size)


def test_of_rows_without_texts_only_so_many_are_taken() -> None:
    rows: list[Text] = [(number, None) for number in range(10)]
    assert take(iter(rows), -1, 4) == (rows[:4], 0)
    assert take([], 0, 4) == ([], 0)


@pytest.mark.parametrize("rows", [[(3, "a")], [(4, "a"), (4, "b")], [(9, "a"), (5, "b")]])
def test_rows_that_come_again_are_damage_and_no_endless_work(rows: list[Text]) -> None:
    with pytest.raises(sqlite3.DatabaseError) as found:
        take(rows, 3, 10)
    assert found.value.sqlite_errorcode == sqlite3.SQLITE_CORRUPT


@pytest.mark.parametrize("kind", [0, 1, 2])
def test_a_text_is_put_under_its_number_and_the_one_of_its_kind(tables: sqlite3.Connection, kind: int) -> None:
    put(tables, kind, [(3, "plain words"), (5, None), (MOST_ROWS - 1, "words 明日の会議")])
    assert found(tables, "search_words", "words") == [BASES[kind] + 3, BASES[kind] + MOST_ROWS - 1]
    assert found(tables, "search_words", "plain") == [BASES[kind] + 3]
    assert found(tables, "search_grams", "の会議") == [BASES[kind] + MOST_ROWS - 1]


def test_a_number_that_belongs_to_the_next_kind_is_refused(tables: sqlite3.Connection) -> None:
    with pytest.raises(TransactionError) as refused:
        put(tables, 0, [(1, "words"), (MOST_ROWS, "words")])
    assert refused.value.code == "search_index.row_number"
    assert found(tables, "search_words", "words") == []


def test_a_text_is_replaced_in_both_tables(tables: sqlite3.Connection) -> None:
    put_change(tables, 7, None, "words 明日の会議")
    assert (found(tables, "search_words", "words"), found(tables, "search_grams", "の会議")) == ([7], [7])
    put_change(tables, 7, "words 明日の会議", "others")
    assert (found(tables, "search_words", "words"), found(tables, "search_grams", "の会議")) == ([], [])
    assert found(tables, "search_words", "others") == [7]
    put_change(tables, 7, "others", None)
    assert found(tables, "search_words", "others") == []


def test_each_step_indexes_a_portion_and_moves_the_marks(places: DataDir, app: sqlite3.Connection) -> None:
    for number in range(3):
        app_inserts(app, "/home/dev/engine", f"s-{number}", "a task", f"m-{number}")
    advanced: list[int] = []
    marks = [app.execute(queries.MARKS).fetchone() for _ in index_some(app, advanced.append, 7)]
    assert advanced == [12, 6, 6]
    assert marks == [("building", 2, 0, 0), ("building", 3, 0, 0), ("building", 3, 3, 0)]
    assert app.execute(queries.MARKS).fetchone() == ("complete", *[(1 << 63) - 1] * 3)
    assert index_problems(app, places.database) == []


def test_the_pace_says_how_much_is_indexed_at_once(
    places: DataDir, app: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        app_inserts(app, "/home/dev/engine", f"s-{number}", "a task", f"m-{number}")
    advanced: list[int] = []
    pauses: list[float] = []
    monkeypatch.setattr("time.sleep", pauses.append)
    index_gradually(app, places.database, advanced.append, Pace(seconds=0, portion=6, pause=0.5))
    assert advanced == [6, 6, 6, 6]
    assert pauses == [0.5] * 4
    assert index_problems(app, places.database) == []
