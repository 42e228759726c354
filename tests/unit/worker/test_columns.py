"""What goes to another process as columns comes back as it was."""

import pickle
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from migrator.worker.columns import ColumnList


class Inner(NamedTuple):
    sizes: list[int]
    whole: bool


class Outer(NamedTuple):
    name: str
    inner: Inner | None
    other: object


def outer() -> st.SearchStrategy[Outer]:
    inner = st.builds(Inner, st.lists(st.integers(), max_size=3), st.booleans())
    return st.builds(Outer, st.text() | st.just("\udcff"), st.none() | inner, st.none() | st.binary() | inner)


@given(rows=st.lists(st.none() | outer(), max_size=8) | st.lists(outer(), max_size=8) | st.lists(st.integers()))
def test_it_comes_back_as_it_was(rows: list[object]) -> None:
    found = pickle.loads(pickle.dumps(ColumnList(rows)))
    assert found == rows
    assert type(found) is ColumnList
    assert [*map(type, found)] == [*map(type, rows)]
    for before, after in zip(rows, found, strict=True):
        if isinstance(before, Outer):
            assert [*map(type, after)] == [*map(type, before)]


def test_no_row_is_pickled_by_itself() -> None:
    rows = ColumnList(Outer(f"file {number}", Inner([number], whole=True), None) for number in range(1000))
    assert len(pickle.dumps(rows)) < len(pickle.dumps([tuple(row) for row in rows]))
    assert pickle.dumps(rows).count(b"Inner") == 1
