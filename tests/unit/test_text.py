"""The fast formatting of values equals that of the standard library; sizes have the right noun."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.text import pretty, size

# The only numbers in our reports are integers.
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_a_value_is_formatted_as_by_the_standard_library(value):
    assert pretty(value) == json.dumps(value, indent=2)


@pytest.mark.parametrize("text", ["\x7f", "\x00\x1b", "\u2028", "\ud800", "日本", 'a"b\\c/'])
def test_only_printable_ascii_is_written(text):
    shown = pretty({"path": text, "places": (text,)})
    assert json.loads(shown) == {"path": text, "places": [text]}
    assert all(character == "\n" or (character.isascii() and character.isprintable()) for character in shown)


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1500, "1.5 kB"),
        (2 * 10**9, "2.0 GB"),
        (10**16, "10,000.0 TB"),
    ],
)
def test_a_size_has_the_right_unit(count, text):
    assert size(count) == text
