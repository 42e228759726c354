"""SessionFilters and what they mean, on documents in memory; and the timestamps of the documents."""

import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.errors import ValidationError
from migrator.storage import timestamps
from migrator.storage.filtering import Filtering
from migrator.storage.protocol import SessionFilters
from migrator.storage.timestamps import instant, instant_of
from tests.support.strategies import session

AWARE = st.datetimes(timezones=st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes))))


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ("2025-01-13T10:00:00Z", "2025-01-13T10:00:00.000000001+00:00"),
        ("2025-01-13T10:00:00.1Z", "2025-01-13T10:00:00.12Z"),
        ("2025-01-13T10:00:00.9Z", "2025-01-13T10:00:01Z"),
        ("2025-01-13T10:00:00+01:00", "2025-01-13T10:00:00-01:00"),
        ("2016-12-31T23:59:59.999Z", "2016-12-31T23:59:60Z"),
        ("1969-12-31T23:59:59Z", "1970-01-01T00:00:00Z"),
    ],
)
def test_instants_sort_in_time(earlier, later):
    assert sorted([later, earlier], key=lambda text: instant(text) or pytest.fail(text)) == [earlier, later]


@pytest.mark.parametrize(
    "spelling",
    ["2025-01-13t10:00:00z", "2025-01-13 10:00:00.000Z", "2025-01-13T11:30:00+01:30", "2025-01-13T10:00:00-00:00"],
)
def test_one_instant_has_many_notations(spelling):
    assert instant(spelling) == instant("2025-01-13T10:00:00Z")


@pytest.mark.parametrize(
    "text",
    ["", "now", "2025-01-13", "2025-01-13T10:00:00", "2025-02-30T10:00:00Z", "2025-01-13T24:00:00Z",
     "0000-01-01T00:00:00Z", "2025-01-13T10:00:00.Z", "2025-01-13T10:00:00+0100", "2025-01-13T10:00:00Z\n",
     "２025-01-13T10:00:00Z",
     "2025-01-13T10:00:61Z", "2025-01-13T10:00:00+24:00"],
)  # fmt: skip
def test_a_text_that_is_not_a_timestamp_has_no_instant(text):
    assert instant(text) is None


@given(AWARE)
def test_a_datetime_is_the_instant_that_its_text_names(moment):
    assert instant_of(moment) == instant(moment.isoformat())


@given(AWARE, AWARE)
def test_instants_compare_as_datetimes_do(left, right):
    assert (instant_of(left) < instant_of(right)) == (left < right)


@pytest.mark.parametrize(
    ("microsecond", "written"),
    [
        (0, "2025-01-13T10:00:00+00:00"),
        (123000, "2025-01-13T10:00:00.123+00:00"),
        (7, "2025-01-13T10:00:00.000007+00:00"),
    ],
)
def test_an_instant_is_written_as_chrono_writes_it(microsecond, written):
    assert timestamps.rfc3339(datetime(2025, 1, 13, 10, 0, 0, microsecond, UTC)) == written
    assert re.fullmatch(r"[-\dT:.]+\+00:00", timestamps.now())


@pytest.mark.parametrize(
    "wrong",
    [
        {"status": 1},
        {"status": ["running", None]},
        {"session_type": 2},
        {"session_type": [[]]},
        {"created_from": "2025-01-13"},
        {"created_to": datetime(2025, 1, 13)},  # noqa: DTZ001 - that is what is wrong with it
        {"created_to": 5},
        {"text": 5},
        {"sort_by": "created_at"},
        {"sort_by": []},
        {"descending": "yes"},
        {"descending": None},
        {"limit": -1},
        {"limit": True},
        {"limit": 1.0},
        {"offset": -1},
        {"offset": None},
    ],
)
def test_invalid_filters_are_refused(wrong):
    with pytest.raises(ValidationError):
        SessionFilters(**wrong)


def test_filters_take_any_text_and_compare_the_documents_own_values():
    documents = [session(id="a", status="cancelled"), session(id="b", status="paused"), session(id="c", type="cup")]
    assert [found["id"] for found in Filtering(SessionFilters(status="cancelled")).apply(documents)] == ["a"]
    assert [found["id"] for found in Filtering(SessionFilters(status="paused")).apply(documents)] == ["b"]
    assert [found["id"] for found in Filtering(SessionFilters(session_type=["cup", "x"])).apply(documents)] == ["c"]


def test_without_filters_everything_matches_in_file_order():
    documents = [session(id=name) for name in "cab"]
    for filters in (None, SessionFilters(), SessionFilters(status=(), session_type=[], text="")):
        assert Filtering(filters).apply(documents) == documents


def test_without_a_key_descending_is_file_order_from_its_end():
    documents = [session(id=name) for name in "cab"]
    assert Filtering(SessionFilters(descending=True, limit=2)).apply(documents) == documents[:0:-1]


@pytest.mark.parametrize("descending", [False, True])
def test_ties_stay_in_file_order_and_what_lacks_the_value_comes_last(descending):
    values = [("a", 1), ("b", None), ("c", 2), ("d", 1), ("e", None), ("f", 2)]
    documents = [session(id=name, totalDuration=value) for name, value in values]
    del documents[1]["totalDuration"]
    found = Filtering(SessionFilters(sort_by="duration", descending=descending)).paginate(documents)
    assert "".join(document["id"] for document in found) == ("cfadbe" if descending else "adcfbe")


@given(st.lists(AWARE, max_size=6), st.tuples(AWARE, AWARE).map(sorted))
def test_a_range_of_dates_includes_both_its_ends(moments, ends):
    start, end = ends
    documents = [session(createdAt=moment.isoformat()) for moment in moments]
    found = Filtering(SessionFilters(created_from=start, created_to=end)).apply(documents)
    assert found == [document for document, moment in zip(documents, moments, strict=True) if start <= moment <= end]


@given(st.text(max_size=3), st.text(max_size=6))
def test_text_is_compared_without_case(text, task):
    found = Filtering(SessionFilters(text=text)).matches(session(id="0", task=task))
    assert found == (text.casefold() in task.casefold() or text in ("", "0"))


def test_the_first_and_the_last_moments_of_any_time_zone_work():
    east, west = timezone(timedelta(hours=14)), timezone(timedelta(hours=-12))
    early, late = datetime(1, 1, 1, tzinfo=east), datetime(9999, 12, 31, 23, tzinfo=west)
    filtering = Filtering(SessionFilters(created_from=early, created_to=late))
    assert filtering.matches(session(createdAt="2025-01-13T10:00:00Z"))
