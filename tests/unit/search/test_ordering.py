"""The order of sessions, from the columns alone: the one that the filters name."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.database import schema
from migrator.search.ordering import ordered_keys, sessions_in_order
from migrator.storage.filtering import Filtering
from migrator.storage.protocol import SessionFilters
from tests.support.scene import app_inserts

FIRST = "2024-03-01T00:00:00"
TIMES = st.sampled_from(
    ["2024-02-29T00:00:00Z", "2023-02-29T00:00:00Z", "2024-03-01T01:00:00+01:00", "now"]
    + [FIRST + end for end in (".5Z", ".45Z", ".500Z", "Z", "+00:00")]
)


@pytest.fixture(scope="module")
def database() -> Iterator[sqlite3.Connection]:
    with closing(schema.fresh()) as connection:
        yield connection


@given(st.lists(TIMES, max_size=6), st.booleans())
def test_sessions_are_in_the_order_of_their_instants(
    database: sqlite3.Connection, times: list[str], descending: bool
) -> None:
    filters = SessionFilters(sort_by="createdAt", descending=descending)
    database.executescript("DELETE FROM sessions; DELETE FROM chat_messages;")
    for number, time in enumerate(times):
        app_inserts(database, "/home/dev/engine", f"s-{number}", "task", f"m-{number}")
        database.execute("UPDATE sessions SET created_at = ? WHERE id = ?", (time, f"s-{number}"))
    file_order = [key for (key,) in database.execute("SELECT id FROM sessions ORDER BY updated_at DESC, rowid")]
    documents = [{"id": key, "createdAt": times[int(key[2:])]} for key in file_order]
    expected = [one["id"] for one in Filtering(filters).sort(documents)]
    assert ordered_keys(database, filters, None) == expected
    assert [session.key for session in sessions_in_order(database, filters, None)] == expected
    database.execute("""UPDATE sessions SET rescued_data = '{"columns":{"total_duration":[1,2]}}'""")
    assert not times or ordered_keys(database, SessionFilters(sort_by="duration"), None) is None
