"""A workspace file is split into its elements in bounded memory, however it is written, truncated or broken."""

import io
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.documents.app_format import Element, app_file
from migrator.documents.array_reader import read_array
from migrator.errors import SourceFileError, TornFileError
from tests.support.strategies import AWKWARD_TEXTS, documents, instance, message, session

CHUNKS = [*range(1, 51), 1 << 20]


def elements(data: bytes, chunk: int = 1 << 20) -> list[Element]:
    return list(read_array(io.BytesIO(data), chunk=chunk))


def raws(data: bytes, chunk: int = 1 << 20) -> list[bytes]:
    return [element.raw for element in elements(data, chunk)]


def read_until_torn(data: bytes, chunk: int = 1 << 20) -> tuple[list[Element], TornFileError]:
    taken: list[Element] = []
    with pytest.raises(TornFileError) as caught:
        taken.extend(read_array(io.BytesIO(data), chunk=chunk))  # what extend took stays when it raises
    return taken, caught.value


plain_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.sampled_from(AWKWARD_TEXTS) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
styles: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "indent": st.sampled_from([None, 0, 1, 2, 3, 4, "\t", "\r\n"]),
        "separators": st.sampled_from([(",", ":"), (", ", ": "), (" ,\t", "\n:\r\n "), ("\n  ,\n  ", ": ")]),
        "ensure_ascii": st.booleans(),
    }
)


@given(st.lists(plain_json, max_size=4), styles, st.sampled_from(CHUNKS), st.sampled_from(["", " ", "\n\t\r "]))
def test_the_elements_are_those_of_any_json_reader_however_the_array_is_written(values, style, chunk, space):
    text = space + json.dumps(values, **style) + space
    found = elements(text.encode(), chunk)
    assert [json.loads(element.raw) for element in found] == json.loads(text)
    assert [element.value for element in found] == values
    assert [element.position for element in found] == list(range(len(values)))


@given(st.lists(documents(unknown=None), min_size=1, max_size=3))
def test_a_file_that_the_app_wrote_gives_the_same_elements_at_every_chunk_size(sessions):
    data = b"".join(app_file(sessions))
    whole = elements(data)
    assert [element.value for element in whole] == json.loads(data)
    assert all(data[element.offset :].startswith(element.raw) for element in whole)
    for chunk in CHUNKS:
        assert elements(data, chunk) == whole


@given(st.binary(max_size=60), st.sampled_from(CHUNKS))
def test_any_bytes_raise_only_the_two_errors_of_a_file(noise, chunk):
    try:
        found = raws(b"[" + noise, chunk)
    except SourceFileError:
        return
    assert all(raw in noise for raw in found)


SMALL = b"".join(
    app_file([session(task='a "quoted" } ] \\'), session(instances=[instance()]), session(chatHistory=[message()])])
)
MINIFIED = json.dumps(json.loads(SMALL), separators=(",", ":")).encode()


@pytest.mark.parametrize("data", [SMALL, MINIFIED], ids=["pretty", "minified"])
@pytest.mark.parametrize("chunk", [7, 1 << 20])
def test_a_file_truncated_at_any_byte_keeps_its_complete_elements_and_says_where_the_rest_begins(data, chunk):
    complete = elements(data)
    ends = [element.offset + len(element.raw) for element in complete]
    assert elements(b"", chunk) == []
    for length in range(1, len(data)):
        taken, error = read_until_torn(data[:length], chunk)
        assert taken == complete[: len(taken)]
        assert len(taken) == error.whole == sum(end <= length for end in ends)
        assert error.whole == 0 or error.offset >= ends[error.whole - 1]
        begun = [element for element in complete if element.offset < length]
        if len(begun) > error.whole:  # an incomplete element: the rest begins exactly with it
            assert error.offset == begun[-1].offset
        else:  # nothing but punctuation is lost
            assert not data[ends[error.whole - 1] if error.whole else 1 : length].strip(b", \n")
        assert error.exit_code == 3


@pytest.mark.parametrize(
    ("data", "code", "text"),
    [
        (
            b'[{}, {"id"',
            "source.truncated",
            "truncated: the file ends inside a session at byte 5, after 1 complete session.",
        ),
        (
            b"[1,",
            "source.truncated",
            "truncated: the file ends where a session should begin, at byte 3, after 1 complete session.",
        ),
        (
            b"[1",
            "source.truncated",
            "truncated: the file ends before its closing ']' at byte 2, after 1 complete session.",
        ),
        (
            b"[1,]",
            "source.malformed",
            "malformed at byte 3, after 1 complete session: expected a session after the comma, found ']'.",
        ),
        (
            b"[1 2]",
            "source.malformed",
            "malformed at byte 3, after 1 complete session: expected ',' or ']', found '2'.",
        ),
        (b"[}", "source.malformed", "malformed at byte 1, after 0 complete sessions: expected a session, found '}'."),
        (
            b"[] x",
            "source.malformed",
            "malformed at byte 3, after 0 complete sessions: there is text after the end of the array.",
        ),
    ],
)
def test_a_damaged_file_says_what_is_wrong_where_it_is_and_how_many_sessions_are_complete(data, code, text):
    _, error = read_until_torn(data)
    assert (error.code, error.message) == (code, text)
    assert error.as_problem() == ("", text.removesuffix("."), "", code)
    assert "--salvage" in str(error.hint)


def test_a_file_that_ends_in_nul_bytes_says_so():
    _, error = read_until_torn(b'[{"id": "\0\0')
    assert error.code == "source.truncated"
    assert "NUL bytes" in error.message


@pytest.mark.parametrize("chunk", [1, 3, 1 << 20])
@pytest.mark.parametrize("blank", [b"", b" ", b"\n\r\t ", b"\xef\xbb\xbf", b"\xef\xbb\xbf \n", b"\xc2\x85\xe2\x80\xa8"])
def test_an_empty_or_blank_file_has_no_sessions(blank, chunk):
    assert elements(blank, max(chunk, 8)) == []
    if blank.isspace():
        assert elements(blank, chunk) == []


@pytest.mark.parametrize("chunk", [1, 2, 5, 1 << 20])
def test_a_byte_order_mark_is_skipped_and_offsets_still_count_from_the_start_of_the_file(chunk):
    (element,) = elements(b'\xef\xbb\xbf[ {"a": 1} ]', chunk)
    assert (element.raw, element.offset) == (b'{"a": 1}', 5)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_another_encoding_is_named_as_the_reason(encoding):
    with pytest.raises(SourceFileError) as caught:
        elements('[{"a": 1}]'.encode(encoding))
    assert caught.value.code == "source.wrong_encoding"
    assert not isinstance(caught.value, TornFileError)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b'{"id": 1}', "object"),
        (b"null", "'n'"),
        (b"\x1b[31m", "'\\x1b'"),
        (b"\x80[]", "0x80"),
        (b"\x0b[]", "'\\x0b'"),
        (b"]", "']'"),
    ],
)
def test_a_file_that_is_not_an_array_says_what_it_begins_with(data, reason):
    with pytest.raises(SourceFileError) as caught:
        elements(data)
    assert reason in caught.value.message
    assert caught.value.code == "source.not_array"
    assert not isinstance(caught.value, TornFileError)


@pytest.mark.parametrize(
    ("data", "whole", "offset"),
    [
        (b"[", 0, 1),
        (b"[ \n", 0, 3),
        (b"[1", 1, 2),
        (b"[1,", 1, 3),
        (b"[1, ", 1, 4),
        (b"[1,]", 1, 3),
        (b"[,1]", 0, 1),
        (b"[1,,2]", 1, 3),
        (b"[1 2]", 1, 3),
        (b'[{"a": 1} {"a": 2}]', 1, 10),
        (b"[1] x", 1, 4),
        (b"[][]", 0, 2),
        (b"[1]\x00\x00", 1, 3),
        (b"[1, }", 1, 4),
        (b'["open', 0, 1),
        (b'[1, "open \\"', 1, 4),
        (b"[[1, [2]", 0, 1),
        (b"[1:2]", 1, 2),
    ],
)
@pytest.mark.parametrize("chunk", [1, 2, 1 << 20])
def test_an_array_that_becomes_invalid_is_damaged_from_there_on(data, whole, offset, chunk):
    _, error = read_until_torn(data, chunk)
    assert (error.whole, error.offset) == (whole, offset)


@pytest.mark.parametrize("chunk", [64, 1 << 20])
@pytest.mark.parametrize("pretty", [True, False])
@pytest.mark.parametrize(
    "bad",
    [
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b'{"a": NaN}',
        b'{"a": 1e9999}',
        b'{"a": \xff}',
        b'{"a" 1}',
        b'{"a": "raw \n line feed"}',
        b'{"a": "\\x"}',
        b"{]",
        b"tru",
        b"-",
    ],
    ids="deep-arrays deep-objects nan infinity no-utf-8 no-colon line-feed escape mixed word minus".split(),  # noqa: SIM905
)
def test_an_element_that_is_not_json_is_isolated_between_its_valid_neighbours(bad, pretty, chunk):
    good = json.dumps(session(), indent=2 if pretty else None).replace("\n", "\n  ").encode()
    first, middle, last = elements(b"[\n  " + good + b",\n  " + bad + b",\n  " + good + b"\n]", chunk)
    assert first.raw == last.raw == good
    assert first.value == last.value == session()
    assert (middle.raw, middle.value) == (bad, None)


@pytest.mark.parametrize("chunk", [1, 16, 1 << 20])
@pytest.mark.parametrize(
    "text",
    [
        # The app's delimiter between two sessions, inside of one session and at other depths.
        '[{\n    "a": {\n      "b": {\n  },\n  "c": [{\n  },\n  {\n  }]},\n  "d": 1},\n  {\n    "a": 2\n  }\n]',
        '[[\n  {\n  },\n  {\n  }\n], {\n    "a": [{\n  }\n]\n  },\n  {\n    "b": 1\n  }\n]',
        '[{\n    "a": [\n  {\n  },\n  {\n  }\n]}]',
        '[{"a": "\\n  },\\n  {"}, {"b": "\\n  }\\n]"}]',
        '[{\r\n    "a": {\r\n  },\r\n  "b": 1\r\n  },\r\n  {\r\n    "c": 1\r\n  }\r\n]',
        '[\n\t{\n\t\t"a": 1\n\t},\n\t{\n\t\t"b": {}\n\t}\n]',
        '[{"a":{},"b":[{}]},{"c":"}],[{"}]',
        '[\n  {\n    "a": 1\n  }\n  ,\n  {\n    "b": 2\n  }\n  ,\n  {\n    "c": 3\n  }\n]',
    ],
)
def test_what_only_looks_like_the_delimiter_of_the_app_splits_nothing(text, chunk):
    assert [element.value for element in elements(text.encode(), chunk)] == json.loads(text)


def write_sessions(path: Path, count: int, *, minified: bool) -> None:
    document = session(chatHistory=[message(content="x" * 8000)] * 4)
    one = json.dumps([document], separators=(",", ":")).encode() if minified else b"".join(app_file([document]))
    element = one[1:-1] if minified else one[2:-2]
    with path.open("wb") as file:
        file.write(b"[" if minified else b"[\n")
        file.write(element)
        for _ in range(count - 1):
            file.write((b"," if minified else b",\n") + element)
        file.write(b"]" if minified else b"\n]")


@pytest.mark.parametrize("minified", [False, True])
def test_memory_stays_bounded_however_long_the_file(minified, tmp_path):
    path = tmp_path / "file.json"
    write_sessions(path, 930, minified=minified)  # 30 MB
    tracemalloc.start()
    try:
        count = size = 0
        with path.open("rb", buffering=0) as file:
            for element in read_array(file):
                count += 1
                size += len(element.raw)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 930
    assert size > 29_000_000
    assert peak < 12_000_000
