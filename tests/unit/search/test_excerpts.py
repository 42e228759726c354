"""What a search looks for, and where it stands in a text."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.search.excerpts import Excerpt, Matcher
from migrator.search.query import CASELESS_RANGES, Term, fold, parse_query


def excerpt(words: str, text: str) -> Excerpt | None:
    with Matcher(parse_query(words)) as matcher:
        return matcher.excerpts([text])[0]


def marked(words: str, text: str) -> list[str]:
    found = excerpt(words, text)
    assert found is not None
    return [found.text[begin:end] for begin, end in found.marks]


@pytest.mark.parametrize(
    ("typed", "terms"),
    [
        ("login  timeout", [Term("login"), Term("timeout")]),
        ('"merge conflict" now', [Term("merge conflict"), Term("now")]),
        ("refactor*", [Term("refactor", prefix=True)]),
        ('"merge con"*', [Term("merge con", prefix=True)]),
        ('an "open end', [Term("an"), Term("open end")]),
        ("twice twice", [Term("twice")]),
        ("AND OR NOT NEAR(a)", [Term("AND"), Term("OR"), Term("NOT"), Term("NEAR(a)")]),
        ('-> * "" "-" ()', []),
        ("", []),
    ],
)
def test_a_query_is_words_phrases_and_beginnings(typed: str, terms: list[Term]) -> None:
    assert list(parse_query(typed).terms) == terms


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("login", "The Login failed"),
        ("cafe", "au Café"),
        ("café", "AU CAFE"),
        ("timeout login", "login, then a timeout"),
        ('"merge conflict"', "a merge\nconflict"),
        ("refactor*", "refactoring"),
        ("src/db/pool.rs", "panicked at src/db/pool.rs:20"),
        ("error", "\x1b[1;31merror\x1b[0m: mismatched"),
        ("ready", "\x1b[38;2;255;128;0mready"),
        ("after", "before\0after"),
        ("会議", "明日の会議は延期"),
        ("議", "会議"),
        ("Go 会議", "会議でgoの話"),
        ("회의", "내일 회의를 합니다"),
        ("ประชุม", "วันนี้มีประชุมที่บริษัท"),
    ],
)
def test_a_text_that_has_all_the_words_is_found(words: str, text: str) -> None:
    assert marked(words, text)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("log", "login"),
        ("login timeout", "login"),
        ('"merge conflict"', "conflict merge"),
        ("refactor*", "a factor"),
        ("会議", "会社の議事"),
        ("会議", "meeting"),
        ("会議 login", "会議"),
    ],
)
def test_a_text_that_lacks_one_is_not_found(words: str, text: str) -> None:
    assert excerpt(words, text) is None


def test_every_place_is_marked() -> None:
    assert marked("tests failed", "Tests failed, and tests Failed") == ["Tests", "failed", "tests", "Failed"]
    assert marked("会議", "会議と会議") == ["会議", "会議"]


@pytest.mark.parametrize("filler", ["x" * 50_000, "word " * 10_000, "漢字" * 20_000])
def test_an_excerpt_is_short_and_shows_the_place(filler: str) -> None:
    found = excerpt("needle", f"{filler} needle {filler}")
    assert found is not None
    assert len(found.text) < 500
    [(begin, end)] = found.marks
    assert found.text[begin:end] == "needle"
    assert (found.text[0], found.text[-1]) == ("…", "…")


def test_an_excerpt_is_one_line() -> None:
    found = excerpt("needle", "a\n\n\t needle \r\n b")
    assert found == Excerpt("a needle b", ((2, 8),))


@given(st.text(max_size=40), st.text(max_size=200))
def test_nothing_that_can_be_typed_or_stored_is_an_error(words: str, text: str) -> None:
    found = excerpt(words, text)
    if found is not None:
        assert all(0 <= begin < end <= len(found.text) for begin, end in found.marks)


def test_a_character_is_folded_in_the_same_way_in_every_text() -> None:
    pattern = re.compile(f"[{CASELESS_RANGES}]")
    for code in (*range(0x80, 0x2000), *range(0x2E80, 0xD800, 3), *range(0x1F000, 0x20000)):
        assert not pattern.match(chr(code)) or fold(chr(code)) == fold(f"{chr(code)}é")[0], hex(code)
