"""What the app's reader (serde) refuses is refused, and the few things that it reads and migrator refuses are listed.

What the app reads was determined from its structs (session_history.rs) and from serde_json's reader: known members are
read strictly, and unknown ones are only skipped.
"""

import json
from typing import Any

import pytest

from migrator.documents.parsing import Reading, Rejected, parse_session
from tests.support.scene import CHECKOUT
from tests.support.strategies import instance, message, session

PAGE = (CHECKOUT / "docs" / "session-files.md").read_text(encoding="utf-8")


def with_member(text: str) -> str:
    return f"{json.dumps(session())[:-1]}, {text}}}"


def with_value(name: str, value: str) -> str:
    """A session whose member has a value that is serialized like this."""
    members: dict[str, Any] = {**session(instances=[instance()], chatHistory=[message()]), name: "@"}
    return json.dumps(members).replace('"@"', value)


def in_array(name: str, element: str) -> str:
    return json.dumps(session()).replace(f'"{name}": []', f'"{name}": [{element}]')


READ_BY_BOTH = {
    "any text as type": with_value("type", '"tournament"'),
    "any text as status": with_value("status", '""'),
    "any text as role": in_array("chatHistory", json.dumps(message(role="tool"))),
    "an unknown member": with_member('"evaluation": {"score": [1, 2.50, 1e400]}'),
    "an unknown member of an instance": in_array("instances", json.dumps(instance(testsPassed=3))),
    "an escaped name": json.dumps(session()).replace('"task"', '"t\\u0061sk"', 1),
    "the largest u64": with_value("totalDuration", "18446744073709551615"),
    "null for an optional member": with_value("model", "null"),
    "a long integer in an unknown member": with_member(f'"big": {"9" * 5000}'),
    "as deep as migrator reads": with_member(f'"deep": {"[" * 127}{"]" * 127}'),
}
REFUSED_BY_BOTH = {
    "a missing member": json.dumps({name: value for name, value in session().items() if name != "task"}),
    "null for a required member": with_value("task", "null"),
    "a number for a text": with_value("status", "5"),
    "a fraction for an integer": with_value("winnerId", "1.0"),
    "an exponent for an integer": with_value("winnerId", "1e2"),
    "minus zero for an integer": with_value("winnerId", "-0"),
    "2^32 for a u32": with_value("winnerId", "4294967296"),
    "2^64 for a u64": with_value("totalDuration", "18446744073709551616"),
    "a number below zero": with_value("timeoutSeconds", "-1"),
    "a text for a boolean": with_value("preserveWorktrees", '"true"'),
    "null in a list of texts": with_value("runtimeMix", "[null]"),
    "a known member twice": with_member('"task": "another"'),
    "half a character in a known member": with_value("task", '"\\ud83d"'),
    "half a character in a name": with_member('"\\ud83d": 1'),
    "a control character": with_value("task", '"\x1b"'),
    "NaN": with_member('"x": NaN'),
    "a leading zero": with_value("winnerId", "01"),
    "a comma at the end": json.dumps(session())[:-1] + ",}",
    "something after the session": json.dumps(session()) + "1",
    "a text": '"session"',
}
# The differences, with the code of the refusal.
READ_BY_THE_APP_ALONE = {
    "half a character in an unknown member": (with_member('"x": "\\ud83d"'), "document.lone_surrogate"),
    "an unknown member twice": (with_member('"x": 1, "x": 2'), "document.repeated_member"),
    "a member twice in an unknown one": (with_member('"x": {"y": 1, "y": 2}'), "document.repeated_member"),
    "an unknown member of more than 127 levels": (with_member(f'"x": {"[" * 128}{"]" * 128}'), "document.too_deep"),
    "an exponent of more than 18 digits": (with_member(f'"x": 1e{"9" * 20}'), "document.number_too_large"),
    "an array in place of an object": (json.dumps([*session().values()]), "document.type"),
}


@pytest.mark.parametrize("text", READ_BY_BOTH.values(), ids=READ_BY_BOTH)
def test_what_the_app_reads_is_a_session(text: str) -> None:
    assert isinstance(parse_session(text.encode()), Reading)


@pytest.mark.parametrize("text", REFUSED_BY_BOTH.values(), ids=REFUSED_BY_BOTH)
def test_what_the_app_refuses_is_refused(text: str) -> None:
    assert isinstance(parse_session(text.encode()), Rejected)


@pytest.mark.parametrize("name", READ_BY_THE_APP_ALONE)
def test_where_migrator_is_stricter_than_the_app_the_page_says_so(name: str) -> None:
    text, code = READ_BY_THE_APP_ALONE[name]
    rejected = parse_session(text.encode())
    assert isinstance(rejected, Rejected)
    assert {problem.code for problem in rejected.problems} == {code}
    assert f"| {name} | `{code}` |" in PAGE


def test_the_page_lists_no_other_difference() -> None:
    listed = [line for line in PAGE.splitlines() if line.startswith("| ") and "| `document." in line]
    assert len(listed) == len(READ_BY_THE_APP_ALONE)
