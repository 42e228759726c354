"""The index for full-text search: up to date whatever is written, and continued after a kill."""

import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.database import schema
from migrator.database.connection import connect, transaction
from migrator.search.building.gradual import index_gradually
from migrator.search.building.turns import Pace
from migrator.search.index import (
    begin,
    create_tables,
    discard,
    index_differences,
    index_problems,
    index_state,
)
from migrator.search.query import LETTER_RANGES, ROUGH_RANGES, UNSPACED_RANGES, WIDE_RANGES, indexed_parts, is_mixed
from tests.support.scene import CHECKOUT, app_inserts

ENGINE = "/home/dev/engine"
TEXTS = (
    "a plain text",
    "明日の会議",
    "the API設計 of ＧＯ",
    "設計",
    '\x1b[31merror\x1b[0m \\ "x"',
    "nul\0 behind",
    "会\0議",
    "Café",
    "x" * 3000,
    "",
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sessions.db"


@pytest.fixture
def database(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(connect(path, create=True)) as connection:
        schema.apply(connection, path)
        yield connection


def is_intact(connection: sqlite3.Connection) -> bool:
    return index_state(connection) == "complete" and not index_differences(connection)


def app_says(connection: sqlite3.Connection, number: int, text: str = "hi") -> None:
    """A session with one message and one output, inserted by the app's own SQL."""
    app_inserts(connection, ENGINE, f"s-{number}", f"task {text or 'none'}", f"m-{number}")
    connection.execute("UPDATE chat_messages SET content = ? WHERE id = ?", (text or " ", f"m-{number}"))
    connection.execute(
        """
        INSERT INTO instances (session_id, instance_id, worktree_path, branch, agent_name, status, tmux_session_id,
                               output)
        VALUES (?, 1, '', '', 'agent', 'idle', '', ?)
        """,
        (f"s-{number}", text),
    )


def built(connection: sqlite3.Connection, path: Path) -> None:
    build(connection, path, lambda _: None, Pace())


def build(connection: sqlite3.Connection, path: Path, advance: Callable[[int], None], pace: Pace) -> None:
    with transaction(connection, path, "begin"):
        begin(connection)
    index_gradually(connection, path, advance, pace)


def hits(connection: sqlite3.Connection, word: str) -> list[int]:
    return [
        row_id for (row_id,) in connection.execute("SELECT rowid FROM search_words WHERE search_words MATCH ?", (word,))
    ]


def test_every_text_of_a_database_is_in_its_index(database: sqlite3.Connection, path: Path) -> None:
    for number, text in enumerate(TEXTS):
        app_says(database, number, text)
    built(database, path)
    assert is_intact(database)
    assert index_problems(database, path) == []
    assert hits(database, "error")


def test_other_programs_can_read_every_table(database: sqlite3.Connection, path: Path) -> None:
    app_says(database, 1)
    built(database, path)
    assert list(database.iterdump())
    tables = database.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'").fetchall()
    for name, sql in tables:
        database.execute(f'SELECT * FROM "{name}"').fetchall()
        assert "VIRTUAL" not in sql or " using " in sql  # what another engine recognizes, and refuses
    assert database.execute("SELECT snippet(search_words, 0, '', '', '', 5) FROM search_words('hi')").fetchall()


def test_a_text_in_the_index_that_no_row_has_is_a_problem(database: sqlite3.Connection, path: Path) -> None:
    app_says(database, 1)
    built(database, path)
    database.execute("INSERT INTO search_words (rowid, text) VALUES (1, 'nobody said this')")
    [problem] = index_problems(database, path)
    assert "search_words" in problem


def test_a_text_that_the_index_lacks_is_a_problem(database: sqlite3.Connection, path: Path) -> None:
    built(database, path)
    database.execute("DROP TRIGGER search_message_insert")
    app_says(database, 1)
    [problem] = index_problems(database, path)
    assert "search_message_insert" in problem
    assert not is_intact(database)


def test_an_interrupted_build_continues_where_it_stopped(database: sqlite3.Connection, path: Path) -> None:
    pace = Pace(seconds=0, portion=1)
    for number in range(5):
        app_says(database, number)

    class Stopped(Exception):
        pass

    sizes = []

    def stop(size: int) -> None:
        sizes.append(size)
        if len(sizes) == 4:
            raise Stopped

    with pytest.raises(Stopped):
        build(database, path, stop, pace)
    assert index_state(database) == "building"
    assert index_problems(database, path) == []
    app_says(database, 9)
    sizes.clear()
    build(database, path, sizes.append, pace)
    assert len(sizes) == 6 * 3 - 3  # all but the three that were committed
    assert index_problems(database, path) == []


def test_dropping_the_index_leaves_nothing_behind(database: sqlite3.Connection, path: Path) -> None:
    before = database.execute("SELECT name FROM sqlite_master ORDER BY name").fetchall()
    built(database, path)
    with transaction(database, path, "drop"):
        discard(database, "left_out")
    assert database.execute("SELECT name FROM sqlite_master ORDER BY name").fetchall() == before
    app_says(database, 1)
    assert index_state(database) == "left_out"


def test_the_triggers_have_the_ranges_of_the_program() -> None:
    script = (CHECKOUT / "schemas" / "sql" / "search_index.sql").read_text(encoding="utf-8")
    found = {part for pattern in re.findall(r"GLOB '\*\[(.*?)\]\*'", script) for part in pattern.split("][")}
    others = LETTER_RANGES.removeprefix("0-9A-Za-z")
    assert found == {UNSPACED_RANGES, ROUGH_RANGES, WIDE_RANGES, LETTER_RANGES, others}


def test_sqlite_and_the_program_agree_on_every_character_that_has_no_spaces() -> None:
    pattern = f"*[{UNSPACED_RANGES}{WIDE_RANGES}]*"
    with closing(sqlite3.connect(":memory:")) as connection:
        for code in (*range(1, 0x3500), *range(0x9F00, 0xD800, 7), *range(0xE000, 0x10FFFF, 97)):
            [(found,)] = connection.execute("SELECT ? GLOB ?", (f"a{chr(code)}", pattern))
            assert bool(found) == is_mixed(f"a{chr(code)}"), hex(code)


@pytest.fixture(scope="module")
def triggers() -> Iterator[sqlite3.Connection]:
    """The triggers of the index, which store what they would put into its tables in ``seen``."""
    with closing(schema.fresh()) as connection:
        create_tables(connection)
        connection.execute("DROP TRIGGER search_entry_added")
        connection.execute("CREATE TABLE seen (words, grams)")
        insert = "INSERT INTO seen VALUES (new.words, new.grams);"
        connection.execute(f"CREATE TRIGGER see INSTEAD OF INSERT ON search_entry BEGIN {insert} END")
        yield connection


def seen(connection: sqlite3.Connection, text: str) -> tuple[list[str] | str | None, str | None]:
    connection.execute("DELETE FROM seen")
    connection.execute("INSERT INTO search_change (id, text, gone) VALUES (1, ?, 0)", (text,))
    return in_words(*connection.execute("SELECT words, grams FROM seen").fetchone())


def in_words(words: str | None, grams: str | None) -> tuple[list[str] | str | None, str | None]:
    return words and words.lower().replace("\\", " ").split(), grams and grams.lower()


@given(
    st.one_of(
        st.text('a1;[?m\x1b\0\\"u会\n', max_size=30),
        st.text('aZ9é я\u0301ß\u1ebfＡ９ｚ＼：、会ガ゙ｶﾞー한\u200b🚀_-\t\n\r\\"\x0b\u3000', max_size=30),
    )
)
def test_the_triggers_and_the_program_put_the_same_of_a_text_into_the_index(
    triggers: sqlite3.Connection, text: str
) -> None:
    assert seen(triggers, text) == in_words(*indexed_parts(text))


def test_the_triggers_take_time_that_is_linear_in_the_text_and_mark_what_they_cut_off(
    triggers: sqlite3.Connection,
) -> None:
    for text in ("API設計" * 3_000, "設計 a" * 3_000, "word " * 200_001, "é設" * 1_000, "会" * 1_000_001):
        assert seen(triggers, text) == in_words(*indexed_parts(text))


def test_a_missing_part_is_named(database: sqlite3.Connection, path: Path) -> None:
    built(database, path)
    assert index_differences(database) == []
    database.execute("DROP VIEW search_plain")
    assert "search_plain" in index_differences(database)
