"""The cursors of JSON files: a place between sessions is found again, whatever was written meanwhile."""

import itertools
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from migrator.errors import ValidationError
from migrator.storage.lists.paging import FilePlaces
from tests.support.strategies import session

HASH = "0123456789abcdef"
AROUND = 16


@given(
    st.lists(st.tuples(st.booleans(), st.sampled_from([0, 0, 0, 0, 1])), min_size=1, max_size=60),
    st.integers(1, 60),
    st.sets(st.integers(0, 59)),
    st.integers(0, 3),
)
def test_a_place_is_between_the_same_sessions_after_any_deletions(drawn, count, created_again, created):
    """Every fifth session has the id of the one before it, as when the app starts a competition.

    Of two with one id, the first is not deleted alone: the second would then be taken for it.
    """
    count = min(count, len(drawn))
    for at, (stays, twin) in enumerate(drawn):
        drawn[at] = stays and (not twin or at == 0 or drawn[at - 1][0]), twin
    ids = list(itertools.accumulate(twin ^ 1 for _, twin in drawn))
    before: list[Any] = [session(id=str(name), task=str(at)) for at, name in enumerate(ids)]
    cursor = FilePlaces(HASH, before).cursor(count)
    stay = [document for document, (stays, _) in zip(before, drawn, strict=True) if stays]
    left = {document["id"] for document in stay}
    again = [session(id=str(ids[at])) for at in created_again if at < len(ids) and str(ids[at]) not in left]
    now = [*stay, *again, *(session(id=f"new-{number}") for number in range(created))]
    is_left = any(stays for stays, _ in drawn[max(0, count - AROUND) : count + AROUND])
    try:
        place = FilePlaces(HASH, now).find(cursor)
    except ValidationError as error:
        assert (error.code, is_left, count > AROUND) == ("option.cursor_lost", False, True)  # noqa: PT017
        return
    if is_left or count <= AROUND:
        assert [each for each in stay if int(each["task"]) < count] == [each for each in now[:place] if each in stay]
