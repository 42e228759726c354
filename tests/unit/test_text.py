"""Values as text for people: what is written fast is what the standard library writes."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.text import pretty

# Of numbers, those that our reports have.
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_it_is_what_the_standard_library_writes(value):
    assert pretty(value) == json.dumps(value, indent=2)


@pytest.mark.parametrize("text", ["\x7f", "\x00\x1b", "\u2028", "\ud800", "日本", 'a"b\\c/'])
def test_nothing_but_printable_ascii_comes_out(text):
    shown = pretty({"path": text, "places": (text,)})
    assert json.loads(shown) == {"path": text, "places": [text]}
    assert all(character == "\n" or (character.isascii() and character.isprintable()) for character in shown)
