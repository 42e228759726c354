"""Splitting an app-formatted file without parsing finds the same sessions as parsing it."""

import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.documents.app_format import (
    ByteRange,
    Element,
    app_file,
    array_of,
    find_sessions,
    partition,
    split,
    split_again,
)
from migrator.documents.array_reader import read_array
from tests.support.scene import app_json
from tests.support.strategies import documents

DOCUMENTS = [
    {"id": f"s-{number}", "text": "x" * number, "deep": [{"a": 1}, {"b": "\n  },\n  {"}]} for number in range(40)
]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file.json"
    path.write_bytes(app_json(DOCUMENTS))
    return path


def extent_of(path: Path) -> ByteRange | None:
    with path.open("rb", buffering=0) as opened:
        return find_sessions(opened)


def pieces_of(path: Path, within: ByteRange, size: int) -> list[ByteRange]:
    with path.open("rb", buffering=0) as opened:
        return partition(opened, within, size)


def raws(path: Path, within: ByteRange, chunk: int = 1 << 20) -> list[bytes]:
    with path.open("rb", buffering=0) as opened:
        return [element.raw for element in split(opened, within, chunk=chunk)]


def in_memory(content: bytes) -> list[Element] | None:
    with io.BytesIO(content) as file:
        within = find_sessions(file)
        return [*split(file, within)] if within else None


def parsed_raws(content: bytes) -> list[bytes]:
    return [element.raw for element in read_array(io.BytesIO(content))]


def test_splitting_finds_the_same_elements_as_parsing(file: Path) -> None:
    within = extent_of(file)
    assert within is not None
    assert raws(file, within) == parsed_raws(file.read_bytes())


@pytest.mark.parametrize("chunk", [1, 2, 7, 64, 1000])
def test_splitting_works_at_every_chunk_size(chunk: int, file: Path) -> None:
    within = extent_of(file)
    assert within is not None
    assert raws(file, within, chunk) == parsed_raws(file.read_bytes())


@pytest.mark.parametrize("chunk", [1, 13, 1 << 20])
@pytest.mark.parametrize("size", [1, 50, 100, 700, 10_000])
def test_partitioned_ranges_have_the_same_elements(size: int, chunk: int, file: Path) -> None:
    within = extent_of(file)
    assert within is not None
    pieces = pieces_of(file, within, size)
    assert [raw for piece in pieces for raw in raws(file, piece, chunk)] == raws(file, within, chunk)
    assert all(raws(file, piece, chunk) for piece in pieces)


def test_splitting_in_memory_finds_the_same_elements(file: Path) -> None:
    with file.open("rb", buffering=0) as opened:
        within = find_sessions(opened)
        assert within is not None
        assert in_memory(file.read_bytes()) == [*split(opened, within)]


@given(st.lists(documents(), min_size=1, max_size=4))
def test_a_file_of_the_app_is_split_and_joined_again(written: list[Any]) -> None:
    content = b"".join(app_file(written))
    found = in_memory(content)
    assert found is not None
    assert b"".join(array_of(element.raw for element in found)) == content
    assert all(content[element.offset :].startswith(element.raw) for element in found)


def test_sessions_of_known_sizes_are_read_without_a_search(file: Path) -> None:
    within = extent_of(file)
    assert within is not None
    first, *_, second, _ = pieces_of(file, within, 300)
    with file.open("rb", buffering=0) as opened:
        found = list(split(opened, second))
        assert [element.position for element in found] == list(range(len(found)))
        again = split_again(opened, 7, second.start, [len(element.raw) for element in found])
        assert [(e.position - 7, e.offset, e.raw) for e in again] == [(e.position, e.offset, e.raw) for e in found]
    assert first.start == within.start


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"[\n]",
        b"null",
        b'{"a": 1}',
        b'[{"a": 1}]',
        b'[\n  {"a": 1}\n]',
        b'[\n  {\n    "a": 1\n  }',
        b"\xef\xbb\xbf[\n  {\n  }\n]",
    ],
    ids=repr,
)
def test_a_file_that_begins_or_ends_differently_is_left_to_the_scanner(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_bytes(content)
    assert extent_of(path) is None
    assert in_memory(content) is None


@pytest.mark.parametrize("space", [b"", b"\n", b"\r\n", b" \t\n\n", b" " * 1000])
def test_whitespace_after_the_end_is_ignored(space: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_bytes(app_json(DOCUMENTS) + space)
    within = extent_of(path)
    assert within is not None
    assert raws(path, within) == parsed_raws(app_json(DOCUMENTS))


@given(written=st.lists(documents(), min_size=1, max_size=4))
def test_any_file_of_the_app_is_split(written, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("file") / "file.json"
    content = b"".join(app_file(written))
    path.write_bytes(content)
    within = extent_of(path)
    assert within is not None
    assert raws(path, within) == parsed_raws(content)
