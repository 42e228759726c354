"""What is found with the index, and how terms in scripts with and without spaces are found in one text."""

import sqlite3
import unicodedata
from collections.abc import Iterator
from contextlib import closing
from itertools import chain, islice
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.database import schema
from migrator.search import lookup
from migrator.search.excerpts import Matcher
from migrator.search.index import create_tables
from migrator.search.lookup import search_with_index
from migrator.search.queries import COMPLETE_INDEX
from migrator.search.query import parse_query
from migrator.storage.protocol import SessionFilters
from tests.support.scene import app_inserts

FORMS = ("API", "ＡＰＩ", "設計", "設", "計", "ガイド", "ﾃｽﾄ", "テスト", "회의", "Café", "x", "ไทย", "神", "㈱")
PIECES = st.sampled_from(
    [unicodedata.normalize(form, piece) for piece in FORMS for form in ("NFC", "NFD", "NFKC")]
    + [" ", " ", "\n", "・", "、", "-", "_", "\u200b", "\\", "\x1b[31m", "🚀", "ー", "神", "ｶﾞｲﾄﾞ"]
)
MIXED = st.lists(PIECES, max_size=8).map("".join)


@pytest.fixture(scope="module")
def indexed() -> Iterator[sqlite3.Connection]:
    """A database whose index is kept by the triggers."""
    with closing(schema.fresh()) as connection:
        create_tables(connection)
        connection.execute(COMPLETE_INDEX)
        yield connection


@given(st.lists(MIXED, min_size=1, max_size=4), st.one_of(MIXED, MIXED.map('"{}"'.format), MIXED.map("{}*".format)))
def test_with_and_without_the_index_the_same_is_found(
    indexed: sqlite3.Connection, texts: list[str], words: str
) -> None:
    query = parse_query(words)
    indexed.executescript("DELETE FROM sessions; DELETE FROM chat_messages;")
    for number, text in enumerate(texts):
        app_inserts(indexed, "/home/dev/engine", f"s-{number}", text or " ", f"m-{number}")
    found = search_with_index(indexed, query, SessionFilters(), workspace_hash=None, elsewhere=())
    with Matcher(query) as matcher:
        expected = [number for number, text in enumerate(texts) if matcher.excerpts([text or " "])[0]]
    assert sorted(one.session["id"] for one in found) == [f"s-{number}" for number in expected]


@given(
    texts=st.lists(st.tuples(*[st.sampled_from(["loom", "loom API設計", "API", "設計"])] * 2), max_size=9),
    words=st.sampled_from(["loom", "API", "設計", "loom 設計"]),
    size=st.integers(1, 4),
    most=st.integers(0, 9),
)
def test_pages_are_parts_of_the_whole(
    indexed: sqlite3.Connection, texts: list[tuple[str, str]], words: str, size: int, most: int
) -> None:
    indexed.executescript("DELETE FROM sessions; DELETE FROM chat_messages;")
    for number, (task, message) in enumerate(texts):
        app_inserts(indexed, "/home/dev/engine", f"s-{number}", task, f"m-{number}")
        indexed.execute("UPDATE chat_messages SET content = ? WHERE id = ?", (message, f"m-{number}"))

    def page(offset: int, limit: int | None) -> list[str]:
        filters = SessionFilters(offset=offset, limit=limit)
        found = search_with_index(indexed, parse_query(words), filters, workspace_hash=None, elsewhere=())
        end = None if limit is None else offset + limit
        return [one.session["id"] for one in islice(found, offset, end)]

    with patch.multiple(lookup, RANK_ALL_UP_TO=most, _LIST_ALL_UP_TO=3 * most, BLOCK=3):
        pages = [page(offset, size) for offset in range(0, len(texts), size)]
        assert [*chain.from_iterable(pages)] == page(0, None)


NFD_GUIDE, HALF_GUIDE = unicodedata.normalize("NFD", "ガイド"), "ｶﾞｲﾄﾞ"


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("API", "API設計"),
        ("設計", "API設計"),
        ("設", "API設計"),
        ("API設計", "the api設計 of it"),
        ('"the API"', "the API設計"),
        ('"API 設計"', "API、設計"),
        ("Café設計", "CAFE設計"),
        ("AP*", "設計API設計"),
        ("ガイド", NFD_GUIDE),
        ("ガイド", HALF_GUIDE),
        (NFD_GUIDE, "ガイドを読む"),
        (HALF_GUIDE, "ガイドを読む"),
        ("ガイド", "ガ\u200bイド"),
        ("ガ\u200bイド", "ガイド"),
        ("API", "ＡＰＩ設計"),
        ("API", "ＡPＩ"),
        ("ＡＰＩ", "the API"),
        ("회의", unicodedata.normalize("NFD", "회의를")),
        ("㈱会社", "㈱会社"),
        ("login 会議", "loginの会議"),
    ],
)
def test_it_is_found(words: str, text: str) -> None:
    assert found_in(words, text)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("PI", "API設計"),
        ("AP", "API設計"),
        ("PI設計", "API設計"),
        ("API設", "API計設"),
        ('"the room"', "the 会議 room"),
        ("API 設計", "API"),
        ("login", "会議のlogins"),
    ],
)
def test_it_is_not_found(words: str, text: str) -> None:
    assert not found_in(words, text)


def found_in(words: str, text: str) -> bool:
    query = parse_query(words)
    with Matcher(query) as matcher:
        found = matcher.excerpts([text])[0]
        assert found is None or found.marks
        return found is not None
