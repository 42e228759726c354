"""Documents are read without loss and written byte for byte as the app writes them."""

import hashlib
import json
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.documents.app_format import app_bytes, app_file
from migrator.documents.document import (
    INSTANCE_MEMBERS,
    MESSAGE_MEMBERS,
    SESSION_MEMBERS,
    SequenceDigest,
    canonical_bytes,
    digest,
    normal_form,
)
from migrator.documents.exact_json import MAX_DEPTH, Unreadable, parse_exactly, to_json
from migrator.documents.parsing import parse_element
from tests.support.strategies import documents, files, instance, json_values, message, same, session

_ESCAPES = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r"}

STRUCT_SESSION = [
    "id",
    "type",
    "task",
    "status",
    "createdAt",
    "updatedAt",
    "completedAt",
    "instances",
    "chatHistory",
    "model",
    "timeoutSeconds",
    "preserveWorktrees",
    "winnerId",
    "runtimeMix",
    "totalDuration",
    "totalFilesChanged",
    "totalLinesAdded",
    "totalLinesDeleted",
]
STRUCT_INSTANCE = [
    "instanceId",
    "worktreePath",
    "branch",
    "agentName",
    "status",
    "tmuxSessionId",
    "output",
    "startTime",
    "endTime",
    "filesChanged",
    "linesAdded",
    "linesDeleted",
    "runtime",
    "model",
    "runtimeLabel",
]
STRUCT_MESSAGE = ["id", "role", "content", "timestamp", "instanceId"]


def serde_text(value: str) -> str:
    return '"' + "".join(_ESCAPES.get(c) or (f"\\u{ord(c):04x}" if c < " " else c) for c in value) + '"'


def serde_pretty(value: Any, indent: str = "") -> str:  # noqa: PLR0911 - one for each kind of value
    """Imitate serde_json's pretty printer, for values without fractions."""
    inner = indent + "  "
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case str():
            return serde_text(value)
        case [] | {} if not value:
            return "[]" if isinstance(value, list) else "{}"
        case list():
            parts = [inner + serde_pretty(member, inner) for member in value]
            return "[\n" + ",\n".join(parts) + f"\n{indent}]"
        case dict():
            parts = [f"{inner}{serde_text(name)}: {serde_pretty(member, inner)}" for name, member in value.items()]
            return "{\n" + ",\n".join(parts) + f"\n{indent}}}"
    raise TypeError(value)


def in_struct_order(value: dict[str, Any], names: list[str]) -> dict[str, Any]:
    return {name: value.get(name) for name in names} | {name: value[name] for name in value if name not in names}


def as_struct(document: dict[str, Any]) -> dict[str, Any]:
    """Order a document as the app's structs would be serialized; unknown members come last."""
    ordered = in_struct_order(document, STRUCT_SESSION)
    ordered["instances"] = [in_struct_order(value, STRUCT_INSTANCE) for value in document["instances"]]
    ordered["chatHistory"] = [in_struct_order(value, STRUCT_MESSAGE) for value in document["chatHistory"]]
    return ordered


def written(document: Any) -> bytes:
    """Write one document as an element of a workspace file."""
    return b"".join(app_file([document]))[len(b"[\n  ") : -len(b"\n]")]


def read(raw: bytes) -> Any:
    """Parse an element as the loader does."""
    return parse_element(raw).value


def test_the_members_are_in_the_order_of_the_apps_structs():
    assert list(SESSION_MEMBERS) == STRUCT_SESSION
    assert list(INSTANCE_MEMBERS) == STRUCT_INSTANCE
    assert list(MESSAGE_MEMBERS) == STRUCT_MESSAGE


@given(st.lists(documents(json_values(with_fractions=False)), max_size=3))
def test_app_format_equals_the_output_of_serdes_pretty_printer(sessions):
    expected = serde_pretty([as_struct(document) for document in sessions])
    assert b"".join(app_file(sessions)) == expected.encode()


def test_app_format_leaves_slashes_delete_and_non_ascii_as_they_are_and_escapes_controls_in_lower_case_hex():
    piece = written(session(task='/\x7f日本語👩‍💻\x1b\x0b\x00\b\t\n\f\r"\\'))
    assert '"task": "/\x7f日本語👩‍💻\\u001b\\u000b\\u0000\\b\\t\\n\\f\\r\\"\\\\",'.encode() in piece


def test_app_format_of_no_sessions_is_an_empty_array():
    assert b"".join(app_file([])) == b"[]"


@given(files())
def test_app_format_reads_back_exactly(sessions):
    for document in sessions:
        assert same(read(written(document)), normal_form(document))


@given(documents(unknown=None))
def test_a_document_that_the_app_wrote_is_its_own_canonical_form(document):
    raw = written(document)
    assert parse_element(raw, orjson.loads(raw)).canonical == raw == canonical_bytes(document)


@given(documents())
def test_a_canonical_form_found_while_reading_is_the_canonical_form(document):
    raw = written(document)
    value, found = parse_element(raw)
    assert found in (None, canonical_bytes(value))


@given(json_values())
def test_any_value_written_compactly_reads_back_exactly(value):
    assert same(read(to_json(value).encode()), value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("18446744073709551616", 1 << 64),
        ("-9223372036854775809", -(1 << 63) - 1),
        ("1" + "0" * 300, 10**300),
        ("1" + "0" * 5000, Decimal("1" + "0" * 5000)),
        ("-0", -0.0),
        ("1.0", 1.0),
        ("1E5", 100000.0),
        ("0.10", 0.1),
        ("1e400", Decimal("1E+400")),
        ("1e-400", Decimal("1E-400")),
        ("0.1000000000000000055511151231257827", Decimal("0.1000000000000000055511151231257827")),
        ("123456789012345678.5", Decimal("123456789012345678.5")),
    ],
)
def test_a_number_of_any_size_is_kept_exactly(text, value):
    assert same(read(f'{{"n": {text}}}'.encode()), {"n": value})


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b'{"a": 1, "a": 2}', "document.repeated_member"),
        (b'{"x": {"b": 1, "b": 1}}', "document.repeated_member"),
        (b'{"a": 1, "\\u0061": 2}', "document.repeated_member"),
        (b'{"a": "\\ud800"}', "document.lone_surrogate"),
        (b'{"\\udfff": 1}', "document.lone_surrogate"),
        (b'{"a": NaN}', "document.not_finite"),
        (b'{"a": -Infinity}', "document.not_finite"),
        (b'{"a": "\xff"}', "document.wrong_encoding"),
        (b'{"a": "\xed\xa0\x80"}', "document.wrong_encoding"),
        (b'{"a": 01}', "document.invalid_json"),
        (b'{"a": "\n"}', "document.invalid_json"),
        (b'{"a": 1,}', "document.invalid_json"),
        (b"{'a': 1}", "document.invalid_json"),
        (b'{"a": 1} {"a": 1}', "document.invalid_json"),
        (b'{"a": 1e9999999999999999999}', "document.number_too_large"),
        (b"", "document.invalid_json"),
    ],
)
def test_what_cannot_be_kept_exactly_is_unreadable_with_a_code(raw, code):
    with pytest.raises(Unreadable) as caught:
        read(raw)
    assert caught.value.code == code


def test_half_of_a_surrogate_pair_is_pointed_at():
    with pytest.raises(Unreadable) as caught:
        read(b'{"a/b": [1, "\\udc00"]}')
    assert caught.value.pointer == "/a~1b/1"


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_nesting_counts_up_to_the_depth_at_which_serde_gives_up(opening, closing):
    deepest = opening * MAX_DEPTH + "1" + closing * MAX_DEPTH
    assert read(deepest.encode()) == json.loads(deepest)
    with pytest.raises(Unreadable) as caught:
        read((opening + deepest + closing).encode())
    assert caught.value.code == "document.too_deep"


def test_a_hundred_thousand_levels_are_unreadable_without_a_crash():
    with pytest.raises(Unreadable) as caught:
        read(b"[" * 100_000 + b"]" * 100_000)
    assert caught.value.code == "document.too_deep"


def test_brackets_in_strings_do_not_count_as_nesting():
    raw = b'{"a": "' + b"[{" * 1000 + b'\\"[", "b": 1e400}'
    assert read(raw)["b"] == Decimal("1E+400")


@given(documents())
def test_absent_and_null_members_and_the_order_of_unknown_ones_do_not_change_the_canonical_form(document):
    def rearranged(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: rearranged(member) for name, member in reversed(value.items())}
        return [rearranged(member) for member in value] if isinstance(value, list) else value

    turned = rearranged(document)
    sparse: Any = {name: value for name, value in turned.items() if value is not None or name not in SESSION_MEMBERS}
    assert canonical_bytes(sparse) == canonical_bytes(document)
    found = parse_element(app_bytes(sparse))
    assert found.digest() == digest(canonical_bytes(document)) == hashlib.sha256(canonical_bytes(document)).digest()


@given(documents())
def test_the_canonical_form_contains_everything_in_the_document(document):
    again = parse_exactly(canonical_bytes(document))
    assert canonical_bytes(again) == canonical_bytes(document)
    normal: Any = normal_form(document)
    assert all(same(again[name], normal[name]) for name in SESSION_MEMBERS if name not in ("instances", "chatHistory"))


@pytest.mark.parametrize("place", ["session", "instance", "message", "inside"])
def test_values_that_are_equal_in_python_differ_in_the_canonical_form(place):
    def around(value: Any) -> Any:
        match place:
            case "session":
                return session(x=value)
            case "instance":
                return session(instances=[instance(x=value)])
            case "message":
                return session(chatHistory=[message(x=value)])
        return session(x={"y": [value]})

    values = [1, 1.0, True, "1", [1], {"1": 1}, None, 0, 0.0, -0.0, False, "", [], {}, 2**64, float(2**64)]
    assert len({canonical_bytes(around(value)) for value in values}) == len(values)


def test_an_unknown_member_that_is_null_is_not_the_same_as_an_absent_one():
    assert canonical_bytes(session(evaluation=None)) != canonical_bytes(session())


@pytest.mark.parametrize("member", ["instances", "chatHistory", "runtimeMix"])
def test_the_order_of_a_list_is_part_of_the_canonical_form(member):
    pairs: dict[str, list[Any]] = {
        "instances": [instance(instanceId=1), instance(instanceId=2)],
        "chatHistory": [message(id="a"), message(id="b")],
        "runtimeMix": ["claude", "codex"],
    }
    pair = pairs[member]
    assert canonical_bytes(session(**{member: pair})) != canonical_bytes(session(**{member: pair[::-1]}))


def test_an_empty_runtime_mix_is_not_the_same_as_none():
    assert canonical_bytes(session(runtimeMix=[])) != canonical_bytes(session(runtimeMix=None))


def test_normal_form_does_not_change_its_argument():
    document = session(zzz=1, instances=[instance()])
    copy = json.loads(json.dumps(document))
    normal_form(document)
    canonical_bytes(document)
    assert same(document, copy)


def digest_of(*forms: bytes) -> str:
    digest = SequenceDigest()
    for form in forms:
        digest.add(form)
    return digest.hexdigest()


def test_a_sequence_digest_changes_with_changed_moved_lost_and_repeated_documents():
    digests = [
        digest_of(),
        digest_of(b"a"),
        digest_of(b"a", b"b"),
        digest_of(b"b", b"a"),
        digest_of(b"ab"),
        digest_of(b"a", b"b", b"b"),
        digest_of(b"a", b""),
    ]
    assert len(set(digests)) == len(digests)


def test_a_sequence_digest_is_sha256_over_the_sha256_of_each_document():
    inner = hashlib.sha256(b"a").digest() + hashlib.sha256(b"b").digest()
    assert digest_of(b"a", b"b") == hashlib.sha256(inner).hexdigest()
