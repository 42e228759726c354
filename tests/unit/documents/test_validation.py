"""The fast validator and the one that explains agree with each other and with serde."""

import builtins
import json
import signal
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from enum import IntEnum, StrEnum
from typing import Any

import pytest
from hypothesis import given

from migrator.documents import validation
from migrator.documents.app_format import app_file
from migrator.documents.exact_json import MAX_DEPTH, parse_exactly
from migrator.documents.validation import abbreviated, is_valid, problems, require_message, require_session
from migrator.errors import Message, Problem, ValidationError
from tests.support.strategies import (
    U32_MAX,
    U64_MAX,
    documents,
    instance,
    invalid_documents,
    json_values,
    message,
    same,
    session,
)


class State(StrEnum):
    DONE = "completed"


class Number(IntEnum):
    ONE = 1


def only_problem(document: Any) -> Problem:
    assert not is_valid(document)
    (problem,) = problems(document)
    return problem


def places_of_problems(document: Any) -> set[str]:
    assert not is_valid(document)
    return {problem.pointer for problem in problems(document)}


def refused(document: Any) -> tuple[Problem, ...]:
    with pytest.raises(ValidationError) as caught:
        require_session(document)
    return caught.value.problems


# Two validators, one result.


@given(documents())
def test_every_valid_document_is_valid_to_both_validators(document):
    assert is_valid(document)
    assert problems(document) == []
    require_session(document)


@given(invalid_documents())
def test_one_invalid_member_makes_a_document_invalid_to_both_validators_and_is_named(invalid):
    document, pointer = invalid
    assert not is_valid(document)
    assert [problem for problem in problems(document) if problem.pointer.startswith(pointer)]
    assert [problem for problem in refused(document) if problem.pointer.startswith(pointer)]


@given(json_values())
def test_no_other_json_value_is_valid_to_either_validator(value):
    assert not is_valid(value)
    assert problems(value) != []


@given(documents(), json_values())
def test_the_validators_agree_on_a_document_with_any_value_anywhere(document, value):
    for name in [*document]:
        invalid = {**document, name: value}
        assert is_valid(invalid) == (problems(invalid) == [])


# What serde accepts and rejects.

_U32_OF_SESSION = ["timeoutSeconds", "winnerId", "totalFilesChanged", "totalLinesAdded", "totalLinesDeleted"]
_NO_INTEGERS = [1.0, 0.0, -0.0, 1e3, 0.5, Decimal("1E+400"), True, False, "1", [], {}]


@pytest.mark.parametrize("name", _U32_OF_SESSION)
@pytest.mark.parametrize("value", [0, U32_MAX, None])
def test_a_u32_may_be_anything_up_to_its_largest_or_null(name, value):
    require_session(session(**{name: value}))


@pytest.mark.parametrize("name", _U32_OF_SESSION)
@pytest.mark.parametrize("value", [*_NO_INTEGERS, -1, U32_MAX + 1, 10**30])
def test_a_u32_is_not_negative_too_large_a_fraction_or_a_boolean(name, value):
    assert places_of_problems(session(**{name: value})) == {f"/{name}"}


@pytest.mark.parametrize("value", [0, 1 << 63, U64_MAX, None])
def test_the_duration_may_be_any_u64_or_null(value):
    require_session(session(totalDuration=value))


@pytest.mark.parametrize("value", [*_NO_INTEGERS, -1, U64_MAX + 1, 10**30])
def test_the_duration_must_be_a_u64(value):
    assert places_of_problems(session(totalDuration=value)) == {"/totalDuration"}


@pytest.mark.parametrize("name", ["instanceId", "filesChanged", "linesAdded", "linesDeleted"])
@pytest.mark.parametrize("value", [*_NO_INTEGERS, -1, U32_MAX + 1])
def test_a_number_of_an_instance_must_be_a_u32(name, value):
    document = session(instances=[instance(), instance(**{name: value})])
    assert places_of_problems(document) == {f"/instances/1/{name}"}


@pytest.mark.parametrize("value", [*_NO_INTEGERS, -1, U32_MAX + 1])
def test_the_instance_of_a_message_must_be_a_u32(value):
    document = session(chatHistory=[message(instanceId=value)])
    assert places_of_problems(document) == {"/chatHistory/0/instanceId"}


@pytest.mark.parametrize("name", list(session()))
def test_a_required_member_of_a_session_is_neither_absent_nor_null(name):
    without = {other: value for other, value in session().items() if other != name}
    assert only_problem(without)[::3] == (f"/{name}", "document.required")
    assert places_of_problems(session(**{name: None})) == {f"/{name}"}


@pytest.mark.parametrize("name", list(instance()))
def test_a_required_member_of_an_instance_is_neither_absent_nor_null(name):
    without = {other: value for other, value in instance().items() if other != name}
    assert only_problem(session(instances=[without])).pointer == f"/instances/0/{name}"
    assert only_problem(session(instances=[instance(**{name: None})])).pointer == f"/instances/0/{name}"


@pytest.mark.parametrize("name", list(message()))
def test_a_required_member_of_a_message_is_neither_absent_nor_null(name):
    without = {other: value for other, value in message().items() if other != name}
    assert only_problem(session(chatHistory=[without])).pointer == f"/chatHistory/0/{name}"
    assert only_problem(session(chatHistory=[message(**{name: None})])).pointer == f"/chatHistory/0/{name}"


@pytest.mark.parametrize("name", ["completedAt", "model", "preserveWorktrees", "runtimeMix", *_U32_OF_SESSION])
def test_an_optional_member_may_be_null(name):
    require_session(session(**{name: None}))


@pytest.mark.parametrize("value", [None, 1.5, {"a": [10**40, Decimal("1E+400")]}, "x"])
def test_unknown_members_may_be_anything_at_every_level(value):
    require_session(session(x=value, instances=[instance(x=value)], chatHistory=[message(x=value)]))


@pytest.mark.parametrize("text", ["", "zombie", "cancelled", "running\n", "round_", "\x00", "Tool"])
def test_type_status_and_role_are_any_text_as_the_app_reads_them(text):
    require_session(session(type=text, status=text))
    require_session(session(instances=[instance(status=text)], chatHistory=[message(role=text)]))


@pytest.mark.parametrize("value", [None, 1, True, [], {}])
def test_type_status_and_role_are_nothing_but_texts(value):
    assert places_of_problems(session(type=value, status=value)) == {"/type", "/status"}
    assert places_of_problems(session(chatHistory=[message(role=value)])) == {"/chatHistory/0/role"}


@pytest.mark.parametrize("value", [None, True, 1, 1.0, "", "{}", [], [{}], Decimal("1.5")])
def test_a_value_that_is_not_an_object_has_one_problem(value):
    problem = only_problem(value)
    assert (problem.pointer, problem.code) == ("", "document.type")


# Saying why.


@pytest.mark.parametrize(
    ("wrong", "code", "text"),
    [
        ({"winnerId": -1}, "document.range", "/winnerId: expected a number of at least 0, found -1"),
        (
            {"winnerId": 1 << 32},
            "document.range",
            "/winnerId: expected a number of at most 4294967295, found 4294967296",
        ),
        ({"winnerId": "1"}, "document.type", '/winnerId: expected an integer or null, found "1"'),
        ({"id": [1, 2]}, "document.type", "/id: expected a string, found an array with 2 elements"),
        ({"task": {"a": 1}}, "document.type", "/task: expected a string, found an object with 1 member"),
        ({"instances": [{}]}, "document.required", "/instances/0/instanceId: required member is missing"),
        ({"x": float("inf")}, "document.not_finite", "/x: expected a finite number, found inf"),
    ],
)
def test_a_problem_says_where_it_is_what_was_expected_and_what_was_found(wrong, code, text):
    problem = refused(session(**wrong))[0]
    assert (problem.code, str(problem)) == (code, text)


def test_problems_are_in_document_order():
    document = session(
        task=1,
        instances=[*[instance()] * 2, instance(branch=1, agentName=2), *[instance()] * 7, instance(branch=3)],
        chatHistory=[message(role=7)],
    )
    assert [problem.pointer for problem in problems(document | {"model": 1})] == [
        "/task",
        "/instances/2/branch",
        "/instances/2/agentName",
        "/instances/10/branch",
        "/chatHistory/0/role",
        "/model",
    ]


@pytest.mark.parametrize("character", [chr(code) for code in [*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x202E]])
def test_what_was_found_cannot_control_a_terminal(character):
    found = only_problem(session(winnerId=f"a{character}b")).found
    assert character not in found
    assert json.loads(found) == f"a{character}b"


def test_what_was_found_is_shortened():
    found = only_problem(session(winnerId="x" * 1_000_000)).found
    assert len(found) < 100


@given(json_values())
def test_any_value_can_be_shown_in_one_short_line(value):
    text = abbreviated(value)
    assert len(text) <= 64
    assert text.isprintable()


# What a caller may pass, but a file cannot contain.


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (float("nan"), "document.not_finite"),
        (float("inf"), "document.not_finite"),
        (Decimal("NaN"), "document.not_finite"),
        (Decimal("-Infinity"), "document.not_finite"),
        (("a",), "document.not_json"),
        (b"a", "document.not_json"),
        ({"a"}, "document.not_json"),
        (object(), "document.not_json"),
        (Message("a", code="a.b"), "document.not_json"),
        ("\ud800", "document.lone_surrogate"),
    ],
)
def test_what_json_cannot_represent_is_rejected_with_its_place(value, code):
    assert refused(session(x={"a/b": [0, value]}))[0][::3] == ("/x/a~1b/1", code)
    assert refused(session(task=value))[0][::3] == ("/task", code)


def test_a_member_of_an_enumeration_is_its_value():
    require_session(session(status=State.DONE, winnerId=Number.ONE))


@pytest.mark.parametrize("name", [1, None, b"a", ("a",), Message("a", code="a.b")])
def test_a_name_that_is_not_a_string_is_rejected(name):
    [problem] = refused(session(x={name: 1}))
    assert problem[::3] == ("/x", "document.member_name")


def test_a_name_with_half_of_a_surrogate_pair_is_rejected():
    assert refused(session(**{"\udfff": 1}))[0].code == "document.lone_surrogate"


def nested(levels: int, *, inside: Any) -> Any:
    value = inside
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize("inside", [1, "text", []])
def test_a_document_may_be_nested_exactly_as_deep_as_one_in_a_file(inside):
    levels = MAX_DEPTH - 1 - isinstance(inside, list)
    document = session(x=nested(levels, inside=inside))
    require_session(document)
    raw = b"".join(app_file([document]))[2:-2]
    assert same(parse_exactly(raw)["x"], document["x"])
    assert refused(session(x=nested(levels + 1, inside=inside)))[0].code == "document.too_deep"


def test_a_document_of_thousands_of_levels_is_rejected_without_a_crash():
    assert refused(session(x=nested(5000, inside=1)))[0].code == "document.too_deep"


def test_an_invalid_session_lists_its_first_problems_and_counts_the_rest():
    with pytest.raises(ValidationError) as caught:
        require_session({})
    assert len(caught.value.problems) == 8
    assert "(8 problems)" in caught.value.message
    assert caught.value.message.endswith("; and 3 more.")
    with pytest.raises(ValidationError, match=r"\(1 problem\): /task: expected a string, found 1\."):
        require_session(session(task=1))


def test_a_valid_message_passes_by_itself():
    require_message(message())
    require_message(message(instanceId=3, unknown={"x": 10**30}))


@pytest.mark.parametrize(
    ("value", "pointer"),
    [
        (message(role=None), "/role"),
        (message(instanceId=1.0), "/instanceId"),
        (message(x=float("nan")), "/x"),
        ({name: value for name, value in message().items() if name != "content"}, "/content"),
        (None, ""),
        ([], ""),
        ("text", ""),
    ],
)
def test_the_problems_of_a_message_point_into_the_message(value, pointer):
    with pytest.raises(ValidationError) as caught:
        require_message(value)
    assert [problem.pointer for problem in caught.value.problems] == [pointer]


def test_an_integer_too_long_to_write_is_rejected() -> None:
    assert refused(session(extra=10**5000))[0].code == "document.number_too_large"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_while_the_validator_loads_waits_until_it_is_loaded(
    monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    really, loaded, interrupts = builtins.__import__, list[str](), list[int]()

    def interrupted(name: str, *arguments: Any, **more: Any) -> Any:
        if name == "jsonschema_rs" and not interrupts:
            signal.raise_signal(number)
            loaded.append(name)
        return really(name, *arguments, **more)

    def handler(number: int, _frame: object) -> None:
        interrupts.append(number)
        raise KeyboardInterrupt

    validation._fast.cache_clear()
    monkeypatch.setattr(builtins, "__import__", interrupted)
    before = signal.signal(number, handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            is_valid({})
        assert signal.getsignal(number) is handler
    finally:
        signal.signal(number, before)
    assert (loaded, interrupts) == (["jsonschema_rs"], [number])
    assert not is_valid({})


def test_the_validator_is_loaded_by_another_thread_as_well() -> None:
    validation._fast.cache_clear()
    with ThreadPoolExecutor(1) as pool:
        assert not pool.submit(is_valid, {}).result()
