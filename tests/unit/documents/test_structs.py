"""The structs accept only what the JSON Schema accepts, and lose nothing of it."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given

from migrator.documents.app_format import app_bytes
from migrator.documents.document import INSTANCE_MEMBERS, MESSAGE_MEMBERS, SESSION_MEMBERS, normal_form
from migrator.documents.exact_json import to_json
from migrator.documents.structs import Instance, Message, Session, decode_session
from migrator.documents.validation import is_valid
from tests.support.strategies import documents, instance, invalid_documents, message, same, session


@pytest.mark.parametrize(
    ("struct", "members"), [(Session, SESSION_MEMBERS), (Instance, INSTANCE_MEMBERS), (Message, MESSAGE_MEMBERS)]
)
def test_a_struct_has_the_members_in_the_order_of_the_document(struct: Any, members: tuple[str, ...]) -> None:
    assert struct.__struct_fields__ == members


@given(document=documents())
def test_an_accepted_document_is_decoded_unchanged(document):
    decoded = decode_session(app_bytes(document))
    if decoded is not None:
        assert same(msgspec.to_builtins(decoded), normal_form(document))


@given(document=documents(unknown=None))
def test_every_document_without_unknown_members_is_accepted(document):
    assert decode_session(app_bytes(document)) is not None


@given(invalid=invalid_documents())
def test_nothing_that_the_schema_rejects_is_accepted(invalid):
    document, _ = invalid
    raw = to_json(document).encode()
    assert not is_valid(document)
    decoded = decode_session(raw)
    assert decoded is None or msgspec.json.encode(decoded) != raw  # which reading it back shows


@pytest.mark.parametrize("raw", [b"", b"[]", b"null", b"{}", b'{"id": "\xff"}', b'{"id": "\\ud800"}', b"[" * 100_000])
def test_anything_but_a_session_is_rejected_without_an_error(raw: bytes) -> None:
    assert decode_session(raw) is None


@pytest.mark.parametrize("status", ["running\n", "round_", "cancelled", ""])
def test_any_text_is_a_status(status: str) -> None:
    assert decode_session(json.dumps(normal_form(session(status=status))).encode()) is not None


@pytest.mark.parametrize(("duration", "accepted"), [((1 << 64) - 1, True), (1 << 64, False), (-1, False)])
def test_a_duration_has_64_bits(duration: int, accepted: bool) -> None:
    raw = json.dumps(normal_form(session(totalDuration=duration))).encode()
    assert (decode_session(raw) is not None) == accepted


def test_a_session_with_an_unknown_or_absent_member_is_left_to_others() -> None:
    for odd in (session(more=1), session(instances=[instance(more=1)]), session(chatHistory=[message(more=1)])):
        assert decode_session(app_bytes(odd)) is None
    absent = normal_form(session())
    del absent["model"]
    assert decode_session(json.dumps(absent).encode()) is None
