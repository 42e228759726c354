"""Which sessions of two versions of a file are the same, and what the text of a broken element says."""

import pytest

from migrator.migration.merging.matching import (
    Identity,
    InvalidElement,
    Positioned,
    Version,
    fixes,
    ids_in,
    match_sessions,
    number_sessions,
    own_id,
    with_earlier,
)
from tests.support.strategies import session

Found = tuple[int | None, str, bytes]


def versions(*digests: bytes) -> dict[Identity, Version]:
    """The sessions of the id ``a`` in the version before."""
    return {("a", number): Version(digest) for number, digest in enumerate(digests)}


def positioned(found: list[Found]) -> list[Positioned]:
    return [Positioned(position, name, Version(digest)) for position, name, digest in found]


def test_sessions_of_one_id_are_numbered_in_their_order() -> None:
    found = positioned([(0, "a", b"x"), (1, "b", b"y"), (2, "a", b"x"), (3, "a", b"z")])
    assert number_sessions(found) == versions(b"x", b"x", b"z") | {("b", 0): Version(b"y")}


@pytest.mark.parametrize(
    ("before", "earlier", "added"),
    [
        ({0: b"x"}, [b"y"], {1: b"y"}),
        ({0: b"x"}, [b"y", b"z", b"y"], {1: b"y", 2: b"z"}),
        ({0: b"x", 1: b"y"}, [b"y", b"x"], {}),
        ({1: b"x"}, [b"y", b"z"], {0: b"y", 2: b"z"}),
        ({2: b"x"}, [b"x", b"x"], {0: b"x"}),
        ({5: b"x", 0: b"x"}, [b"x", b"y"], {1: b"y"}),
    ],
    ids=["one more", "several", "known ones", "a number is free", "before a known one", "known twice"],
)
def test_sessions_of_earlier_versions_follow_those_of_their_id(
    before: dict[int, bytes], earlier: list[bytes], added: dict[int, bytes]
) -> None:
    known: dict[Identity, Version] = {("b", 0): Version(b"y")}
    known |= {("a", number): Version(digest) for number, digest in before.items()}
    found = [Positioned(None, "a", Version(digest, "key")) for digest in earlier]
    assert with_earlier(known, found) == known | {("a", number): Version(digest) for number, digest in added.items()}


@pytest.mark.parametrize(
    ("before", "found", "broken", "numbers"),
    [
        ([], [(0, "a", b"x"), (1, "a", b"x"), (2, "a", b"y")], [], [0, 1, 2]),
        ([b"x"], [(0, "a", b"new"), (1, "a", b"newer"), (2, "a", b"newest")], [], [0, 1, 2]),
        ([b"x", b"y"], [(0, "a", b"y"), (1, "a", b"x"), (2, "a", b"x")], [], [1, 0, 2]),
        ([b"x", b"y"], [(1, "a", b"changed"), (2, "a", b"new")], [(0, "a")], [0, 1]),
        ([b"x", b"y"], [(1, "a", b"changed")], [(0, "a")], [1]),
        ([b"x", b"y"], [(None, "a", b"changed")], [(0, "a")], [1]),
        ([b"x", b"y", b"z"], [(1, "a", b"changed")], [(0, None)], [1]),
        ([b"x", b"y", b"z"], [(2, "a", b"changed")], [(0, None), (1, "a"), (3, "a")], [2]),
        ([b"x", b"y"], [(1, "a", b"changed")], [(0, "another")], [0]),
    ],
    ids=[
        "all are new",
        "changed and new",
        "moved and repeated",
        "as many as before leave none to a broken element",
        "after a broken one",
        "without a position, after a broken one",
        "after one without an id",
        "after two and before one",
        "after one with another id",
    ],
)
def test_sessions_of_one_id_are_matched_by_contents_then_by_order(
    before: list[bytes], found: list[Found], broken: list[tuple[int, str | None]], numbers: list[int]
) -> None:
    matched = match_sessions(versions(*before), positioned(found), [InvalidElement(*one) for one in broken])
    assert matched == {
        (name, number): Version(digest) for (_, name, digest), number in zip(found, numbers, strict=True)
    }


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        ('{"id": "a", "instances": [{"id": "b"}]}', "a"),
        (b'{"id": "a", "task": "\xff"}', "a"),
        ('{"id": "a", "x": NaN}', "a"),
        ('{"id": 5}', None),
        ('{"instances": [{"id": "b"}]}', None),
        ('["id"]', None),
        ('{"id": "a"', None),
        ("[" * 100_000, None),
    ],
)
def test_the_id_of_an_element_is_its_own(raw: str | bytes, name: str | None) -> None:
    assert own_id(raw) == name


def test_ids_in_a_broken_text_are_found_where_they_can_be_read() -> None:
    raw = b'"id": "a\xff", {"id" : "b", "messages": [{"id":"\\u0063"}, {"id": "d\\q"}, {"id": "to'
    assert ids_in(raw) == {"b", "c"}
    assert ids_in('{"id": "\u00e9"') == {"\u00e9"}


SESSION = session(
    id="a",
    task='say "hello" at the caf\u00e9 \U0001f600!',
    status="completed",
    instances=[{"output": "bad \ufffd text before the end"}],
)


@pytest.mark.parametrize(
    "torn",
    [
        b'{"id": "a"',
        b' ,\n{"id": "a", "ta',
        b'{"id": "a", "task"',
        b'{"id" : "a", "instances": [{"output',
        b'{"id": "a", "status": "running", "task": "say \\"hel',
        b'{"id": "a", "status": "runn',
        '{"id": "a", "task": "say \\"hello\\" at the caf\\u00e9 \\ud83d\\ude0',
        '{"id": "a", "task": "say \\"hello\\" at the caf\\u00',
        b'{"id": "a", "task": "say \\"hello\\" at the caf\\',
        b'{"id": "a", "task": "say \\"hello\\" at the caf\xc3',
        b'{"id": "a", "instances": [{"output": "bad \xff text before the',
    ],
)
def test_a_session_with_every_text_of_a_torn_end_fixes_it(torn: str | bytes) -> None:
    assert fixes(SESSION, torn)


@pytest.mark.parametrize(
    "torn",
    [
        b"",
        b"7",
        b'{"id": "b"',
        b'{"task": "a',
        b'"id": "a"',
        b'X{"id": "a"',
        b'"a", {',
        b'{"id": "a", "task": "another", "x": 1',
        b'{"id": "a", "task": "anoth',
        b'{"id": "a", "updatedAt": "2026", "task": "say \\"bye',
        b'{"id": "a", "task": "\xff", "status": "running"',
        b'{"id": "a", "task": "\\q", "status": "running"',
    ],
)
def test_a_session_does_not_fix_what_is_of_another_or_has_other_texts(torn: bytes) -> None:
    assert not fixes(SESSION, torn)
