"""Short transactions, with pauses in which others write."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from migrator.data_dir import DataDir
from migrator.database.connection import connect
from migrator.errors import TransactionError
from migrator.search.building.turns import Pace, in_turns, wait_for_others_to_read_the_schema


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    pauses: list[float] = []
    monkeypatch.setattr("time.sleep", pauses.append)
    return pauses


@pytest.mark.parametrize(
    ("seconds", "committed"),
    [(0.0, [0, 1, 2, 3, 4, 5, 5]), (1.0, [0, 2, 4, 5]), (1.25, [0, 3, 5]), (9.0, [0, 5])],
)
def test_a_transaction_ends_with_the_step_in_which_its_time_is_over(
    places: DataDir, pauses: list[float], monkeypatch: pytest.MonkeyPatch, seconds: float, committed: list[int]
) -> None:
    """Each of the five steps takes half a second. What others see at the beginning of a transaction is committed."""
    now, left = 100.0, 5
    monkeypatch.setattr("time.monotonic", lambda: now)
    seen: list[int] = []
    with closing(connect(places.database)) as connection, closing(connect(places.database)) as other:
        connection.execute("CREATE TABLE steps (number)")

        def look() -> None:
            seen.append(other.execute("SELECT count(*) FROM steps").fetchone()[0])

        def steps() -> Iterator[None]:
            nonlocal left, now
            look()
            while left:
                left -= 1
                connection.execute("INSERT INTO steps VALUES (?)", (left,))
                now += 0.5
                yield

        in_turns(connection, places.database, steps, Pace(seconds=seconds, pause=0.75))
        look()
    assert seen == committed
    assert pauses == [0.75] * (len(committed) - 2)


def test_a_step_that_fails_is_undone_and_ends_it(places: DataDir, pauses: list[float]) -> None:
    def steps() -> Iterator[None]:
        connection.execute("CREATE TABLE steps (number)")
        yield
        raise sqlite3.IntegrityError

    with closing(connect(places.database)) as connection:
        with pytest.raises(TransactionError):
            in_turns(connection, places.database, steps)
        assert connection.execute("SELECT name FROM sqlite_master WHERE name = 'steps'").fetchall() == []
    assert pauses == []


def test_between_two_changes_of_the_schema_is_time_for_others_to_read_it(pauses: list[float]) -> None:
    wait_for_others_to_read_the_schema()
    [pause] = pauses
    assert 0.01 <= pause < 0.1
